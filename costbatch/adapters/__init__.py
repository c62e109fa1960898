"""The outside world, one adapter each, fitting the ports by shape."""
