"""The cost job: what it reads of an account, stores and detects."""
