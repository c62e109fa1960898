"""The foreign programs that the contract tests talk to."""

from tests.support.programs import promtool
from tests.support.pushgateway import gateway_url

__all__ = ["gateway_url", "promtool"]
