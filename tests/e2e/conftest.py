"""The stage for the tests of the whole program, and a real Pushgateway beside it."""

from tests.metrics.conftest import gateway_url
from tests.stage import aws, stage

__all__ = ["aws", "gateway_url", "stage"]
