"""The stage for the tests of what once went wrong."""

from tests.stage import aws, stage

__all__ = ["aws", "stage"]
