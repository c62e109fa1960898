"""Servers for the real program: an embedded PostgreSQL and the simulated AWS, without any configuration."""
