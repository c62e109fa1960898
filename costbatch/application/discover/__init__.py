"""The discovery job: what exists in every account."""
