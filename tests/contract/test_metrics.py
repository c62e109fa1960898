"""What the port promises of a receiver of metrics, by the real one and by the one that other tests use."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime

import pytest

from costbatch.adapters.pushgateway import Pushgateway
from costbatch.application.ports import Metrics
from costbatch.domain.credentials import Secret
from costbatch.errors import DeliveryError
from tests.support.fake_gateway import serve_gateway
from tests.support.fake_receivers import FakeMetrics

NOW = datetime(2025, 1, 15, 3, 30, tzinfo=UTC)
# A port that nothing serves.
NOWHERE = "http://127.0.0.1:9"

MakeMetrics = Callable[[bool], Metrics]


@pytest.fixture(params=["real", "fake"])
def make_metrics(request: pytest.FixtureRequest) -> Iterator[MakeMetrics]:
    """Return what makes a receiver that is there, or one that is away."""
    with ExitStack() as stack:

        def make(is_there: bool) -> Metrics:  # noqa: FBT001 - the one question
            if request.param == "fake":
                return FakeMetrics(refuses=not is_there)
            gateway = stack.enter_context(serve_gateway())
            gateway.open.set()
            url = gateway.url if is_there else NOWHERE
            return Pushgateway(Secret(url), job="collect", timeout_seconds=5, version="1.2.3")

        yield make


@pytest.mark.parametrize("succeeded", [True, False])
@pytest.mark.parametrize("is_whole", [True, False])
def test_a_run_without_a_report_is_pushed(
    make_metrics: MakeMetrics, *, succeeded: bool, is_whole: bool
) -> None:
    """It failed before there was one."""
    make_metrics(True).push(None, succeeded=succeeded, now=NOW, is_whole=is_whole)


def test_what_is_not_taken_is_a_delivery_error(make_metrics: MakeMetrics) -> None:
    """Which does not fail the run."""
    with pytest.raises(DeliveryError):
        make_metrics(False).push(None, succeeded=True, now=NOW)


def test_a_push_may_be_repeated(make_metrics: MakeMetrics) -> None:
    """It replaces what was there."""
    metrics = make_metrics(True)
    for _ in range(2):
        metrics.push(None, succeeded=True, now=NOW)
