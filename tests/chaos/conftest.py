"""The harness of the chaos tests, and databases that are copied for each trial."""

from collections.abc import Callable, Iterator
from itertools import count

import pytest

from costbatch.demo.postgres import EmbeddedPostgres
from costbatch.simulator.client import SimulatorProcess
from tests.chaos.scenarios import Scenario, make_scenario
from tests.support.harness import Harness, aws, harness
from tests.support.machine import unmeasured_children
from tests.support.pushgateway import gateway_url

__all__ = ["aws", "gateway_url", "harness"]

_numbers = count(1)

CopyScenario = Callable[[Scenario], Harness]


@pytest.fixture(scope="package", autouse=True)
def _unmeasured() -> Iterator[None]:
    with unmeasured_children():
        yield


@pytest.fixture(scope="session")
def scenarios(postgres: EmbeddedPostgres, template: str, aws: SimulatorProcess) -> dict[str, Scenario]:
    """Prepare each scenario once, with what an undisturbed run makes of it."""
    return {name: make_scenario(name, aws, postgres, template) for name in ("fresh", "grown")}


@pytest.fixture
def copy_scenario(postgres: EmbeddedPostgres, aws: SimulatorProcess) -> CopyScenario:
    """Return the function that sets up a scenario on a database of the test's own."""

    def copy(scenario: Scenario) -> Harness:
        url = postgres.create_database(f"trial_{next(_numbers)}", template=f"scenario_{scenario.name}")
        return scenario.set_up(aws, url)

    return copy
