"""What the tests of faults that were found run on."""

from tests.stage import aws, stage

__all__ = ["aws", "stage"]
