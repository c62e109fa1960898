"""A PostgreSQL, a local AWS that lives today, and the image; `.ci/e2e-image` names image and engine."""

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from costbatch.simulator.world import Account
from tests.image.containers import Box, Engine, engine_from
from tests.support.harness import Harness, make_account

# What needs a built image is collected by `make e2e-image` only, which names one.
_BUILT = (
    "test_contents",
    "test_hardened_run",
    "test_image_version",
    "test_native_code",
    "test_stopping",
    "test_trial",
)
collect_ignore = [] if "IMAGE_ENGINE" in os.environ else [f"{name}.py" for name in _BUILT]


@pytest.fixture(scope="session")
def engine() -> Engine:
    """Return the container engine."""
    return engine_from(os.environ)


@pytest.fixture(scope="session")
def image(engine: Engine) -> str:
    """Return the image."""
    return os.environ["IMAGE_UNDER_TEST"]


@pytest.fixture(scope="session")
def demo_image(engine: Engine) -> str:
    """Return the image of the trial."""
    return os.environ["DEMO_IMAGE_UNDER_TEST"]


@pytest.fixture(scope="session")
def postgres_image(engine: Engine) -> str:
    """Return the image of PostgreSQL that stands for the official one."""
    return os.environ["POSTGRES_IMAGE_UNDER_TEST"]


@pytest.fixture(scope="session")
def files(engine: Engine, image: str) -> Iterator[Path]:
    """Return the folder that shows the image's files."""
    with engine.unpacked(image) as folder:
        yield folder


@pytest.fixture
def empty_box(engine: Engine, image: str, harness: Harness, empty_database_url: str) -> Box:
    """Return the image with a database that was never migrated."""
    return _box(engine, image, harness, empty_database_url)


@pytest.fixture
def box(engine: Engine, image: str, harness: Harness) -> Box:
    """Return the image with a migrated database."""
    return _box(engine, image, harness, harness.database_url)


@pytest.fixture
def harness(engine: Engine, aws: object, database_url: str, request: pytest.FixtureRequest) -> Harness:
    """Return a harness whose clock is the real one, as a container's is."""
    harness = Harness(request.getfixturevalue("aws"), database_url)
    harness.wake_at(datetime.now(tz=UTC))
    return harness


def account(number: int, **changes: object) -> Account:
    """Return a healthy account that began two months ago."""
    start = datetime.now(tz=UTC).date() - timedelta(days=60)
    return replace(make_account(number), **{"start": start, **changes})  # type: ignore[arg-type] # fields by name


def _box(engine: Engine, image: str, harness: Harness, database_url: str) -> Box:
    socket_folder = Path(parse_qs(urlsplit(database_url).query)["host"][0])
    # The server's folder is another user's; the container's may look for the socket in it.
    socket_folder.chmod(0o755)
    variables = {
        **harness.environ,
        "DATABASE_URL": database_url,
        "COSTBATCH_LOG_FORMAT": "json",
        "COSTBATCH_GRACE_SECONDS": "10",
    }
    return Box(engine, image, variables, socket_folder)
