"""What costbatch does, one use case per file, in terms of the domain and of the ports."""
