"""What costbatch does, one story per file, told in terms of the domain and of the ports."""
