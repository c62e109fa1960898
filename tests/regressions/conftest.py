"""The stage for the tests of what real bills and clusters showed."""

from tests.stage import aws, stage

__all__ = ["aws", "stage"]
