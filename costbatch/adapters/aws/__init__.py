"""AWS: from sealed credentials to parsed daily cost. No database, no policy."""
