"""Reads daily cost from Cost Explorer. Everything fast and unusual about it is in this package."""
