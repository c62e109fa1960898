"""The fixtures for the chart's tests."""

from tests.support.programs import kubernetes_validate, promtool

__all__ = ["kubernetes_validate", "promtool"]
