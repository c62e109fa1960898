"""The stage for the inputs that once did silent harm."""

from tests.stage import aws, stage

__all__ = ["aws", "stage"]
