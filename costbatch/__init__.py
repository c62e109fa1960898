"""costbatch collects the daily cost of every AWS account into PostgreSQL and flags anomalies."""

__version__ = "0.1.0"
