"""Finds every resource of an AWS account."""
