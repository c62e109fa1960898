"""Servers for the real program: an embedded PostgreSQL and the local AWS, without any configuration."""
