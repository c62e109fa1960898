"""The harness of the chaos tests, and databases that are copied for each trial."""

from collections.abc import Callable, Iterator
from itertools import count

import pytest

from costbatch.demo.postgres import EmbeddedPostgres
from costbatch.simulator.client import SimulatorProcess
from tests.chaos.scenes import Scene, make_scene
from tests.support.harness import Harness, aws, harness
from tests.support.machine import unmeasured_children

__all__ = ["aws", "harness"]

_numbers = count(1)

CopyScene = Callable[[Scene], Harness]


@pytest.fixture(scope="package", autouse=True)
def _unmeasured() -> Iterator[None]:
    with unmeasured_children():
        yield


@pytest.fixture(scope="session")
def scenes(postgres: EmbeddedPostgres, template: str, aws: SimulatorProcess) -> dict[str, Scene]:
    """Prepare each scene once, with what an undisturbed run makes of it."""
    return {name: make_scene(name, aws, postgres, template) for name in ("fresh", "grown")}


@pytest.fixture
def copy_scene(postgres: EmbeddedPostgres, aws: SimulatorProcess) -> CopyScene:
    """Return the function that sets up a scene on a database of the test's own."""

    def copy(scene: Scene) -> Harness:
        url = postgres.create_database(f"trial_{next(_numbers)}", template=f"scene_{scene.name}")
        return scene.set_up(aws, url)

    return copy
