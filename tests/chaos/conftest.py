"""The harness of the chaos tests, and databases that are copied for each trial."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from costbatch.demo.postgres import EmbeddedPostgres
from costbatch.simulator.client import SimulatorProcess
from tests.chaos.scenarios import Scenario, make_scenario
from tests.support.databases import copied_database
from tests.support.harness import Harness, harness, prepare
from tests.support.pushgateway import gateway_url

__all__ = ["gateway_url", "harness", "prepare"]

CopyScenario = Callable[[Scenario], Harness]


@pytest.fixture(scope="session")
def scenarios(postgres: EmbeddedPostgres, template: str, aws: SimulatorProcess) -> dict[str, Scenario]:
    """Prepare each scenario once, with what an undisturbed run makes of it."""
    return {name: make_scenario(name, aws, postgres, template) for name in ("fresh", "grown")}


@pytest.fixture
def copy_scenario(postgres: EmbeddedPostgres, aws: SimulatorProcess) -> Iterator[CopyScenario]:
    """Give the function that sets up a scenario on a database of the test's own."""
    with ExitStack() as databases:

        def copy(scenario: Scenario) -> Harness:
            url = databases.enter_context(copied_database(postgres, f"scenario_{scenario.name}"))
            return scenario.set_up(aws, url)

        yield copy
