"""The harness for the tests of the whole program, its twin, and a real Pushgateway beside it."""

from tests.metrics.conftest import gateway_url
from tests.support.harness import aws, harness
from tests.support.twins import twin

__all__ = ["aws", "gateway_url", "harness", "twin"]
