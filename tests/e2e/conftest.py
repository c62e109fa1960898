"""The stage for the tests of the whole program, its twin, and a real Pushgateway beside it."""

from tests.metrics.conftest import gateway_url
from tests.stage import aws, stage
from tests.twins import twin

__all__ = ["aws", "gateway_url", "stage", "twin"]
