"""The fixtures for tests of the whole program: PostgreSQL, the local AWS, and servers beside them."""

from datetime import UTC, datetime

import pytest

from tests.support.harness import Harness, harness, prepare
from tests.support.programs import promtool
from tests.support.pushgateway import gateway_url, guarded_gateway
from tests.support.second_database import second
from tests.support.web_servers import answering, answering_over_tls, certificate, closed_port, silent_port

__all__ = [
    "answering",
    "answering_over_tls",
    "certificate",
    "closed_port",
    "gateway_url",
    "guarded_gateway",
    "harness",
    "prepare",
    "promtool",
    "second",
    "silent_port",
]


@pytest.fixture
def now(harness: Harness) -> datetime:
    """Let the harness have the real time, which is also the database's."""
    instant = datetime.now(tz=UTC)
    harness.wake_at(instant)
    return instant
