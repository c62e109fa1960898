"""The engine: runs any job over every account. It knows nothing of what a job does."""
