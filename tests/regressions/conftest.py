"""What the tests of this folder work with: the whole program, a real Pushgateway, Helm and promtool."""

from tests.helm.conftest import _helm, promtool
from tests.metrics.conftest import gateway_url
from tests.stage import aws, stage

__all__ = ["_helm", "aws", "gateway_url", "promtool", "stage"]
