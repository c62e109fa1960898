"""The fixtures of the whole program, as in tests/e2e, and a database that the tests of a file share."""

from collections.abc import Iterator

import pytest

from costbatch.demo.postgres import EmbeddedPostgres
from costbatch.simulator.client import SimulatorProcess
from costbatch.simulator.world import World
from tests.support.databases import copied_database
from tests.support.harness import Harness, harness, prepare, prepare_shared
from tests.support.programs import promtool
from tests.support.pushgateway import gateway_url
from tests.support.second_database import second
from tests.support.web_servers import answering, answering_over_tls, certificate, closed_port, silent_port

__all__ = [
    "answering",
    "answering_over_tls",
    "certificate",
    "closed_port",
    "gateway_url",
    "harness",
    "prepare",
    "prepare_shared",
    "promtool",
    "second",
    "silent_port",
]


@pytest.fixture(scope="module")
def shared_database_url(postgres: EmbeddedPostgres, template: str) -> Iterator[str]:
    """Return the URL of a migrated database for all tests of a file."""
    with copied_database(postgres, template) as url:
        yield url


@pytest.fixture(scope="module")
def shared(aws: SimulatorProcess, shared_database_url: str) -> Harness:
    """Return a harness for what a file does once and its tests only read."""
    aws.replace_world(World(accounts=()))
    return Harness(aws, shared_database_url)


@pytest.fixture
def idle(aws: SimulatorProcess, shared_database_url: str) -> Harness:
    """Return a harness for commands that change nothing, and so need no database of their own."""
    return Harness(aws, shared_database_url)
