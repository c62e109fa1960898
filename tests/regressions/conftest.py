"""What the regression tests share: the stage with the local AWS, a database and the command line."""

from tests.stage import aws, stage

__all__ = ["aws", "stage"]
