"""AWS: from encrypted credentials to parsed daily cost. No database, no policy."""
