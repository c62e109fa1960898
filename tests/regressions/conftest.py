"""What the tests of this folder work with: the whole program, a real Pushgateway, Helm and promtool."""

from tests.chart.conftest import _helm, promtool
from tests.metrics.conftest import gateway_url
from tests.support.harness import aws, harness

__all__ = ["_helm", "aws", "gateway_url", "harness", "promtool"]
