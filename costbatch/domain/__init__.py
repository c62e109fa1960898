"""What costbatch knows about cost: pure, standard library only, no clock, no environment, no I/O."""
