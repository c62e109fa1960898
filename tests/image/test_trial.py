"""The chart's pods as they were rendered, one container after the other: the trial, and the hook."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from tests.chart.chart import Rendered, render
from tests.image.containers import Engine
from tests.image.kubelet import Kubelet

# These stand in the chart, for everybody to read.
_OF_THE_CHART = {"user": "costbatch", "password": "not-for-production", "dbname": "costbatch"}


@pytest.fixture
def values(image: str, postgres_image: str) -> dict[str, Any]:
    """Return values that name the images under test; their tag is the chart's own."""
    registry = image.rpartition("/")[0]
    return {"image": {"registry": registry}, "demo": {"enabled": True, "postgres": {"image": postgres_image}}}


@pytest.fixture
def trial(engine: Engine, values: dict[str, Any], tmp_path: Path) -> Kubelet:
    """Return what runs the trial mode's pods."""
    return Kubelet(engine, render(values), tmp_path)


@pytest.fixture
def servers(trial: Kubelet) -> Iterator[Rendered]:
    """Run the trial mode's PostgreSQL and its stand-in for AWS, until each is ready."""
    with ExitStack() as running:
        for component in ("demo-postgres", "demo-aws"):
            running.enter_context(trial.serving(trial.rendered.pod(component)))
        yield trial.rendered


def test_the_trial_collects_on_its_first_night_and_on_the_next(trial: Kubelet, servers: Rendered) -> None:
    """Migrate, register, collect: the CronJob's pod ends well, and the costs are there."""
    nights = [trial.run(servers.pod("collect"), job=job) for job in ("first", "second")]

    for ended in nights:
        assert [each.status for each in ended] == [0, 0, 0], ended[-1].log
    (_, registered, collected), (migrated_again, registered_again, collected_again) = nights
    assert registered.last_line == "Registered 27 accounts; 0 were there already."
    assert "Accounts   25 collected, 2 failed" in collected.stdout
    assert migrated_again.last_line.startswith("Schema is up to date")
    assert registered_again.last_line == "Registered 0 accounts; 27 were there already."
    assert "Accounts   25 collected, 2 failed" in collected_again.stdout
    assert _rows("SELECT run_key FROM runs ORDER BY started_at") == [("first",), ("second",)]
    assert _rows("SELECT count(*) > 50000 FROM daily_costs") == [(True,)]


def test_helm_test_finds_the_trial_well(trial: Kubelet, servers: Rendered) -> None:
    """The doctor's pod, which migrates and registers first, as it may be the first to run."""
    ended = trial.run(servers.pod("test"), job="")

    assert [each.status for each in ended] == [0, 0, 0], ended[-1].log
    assert "FAILED" not in ended[-1].stdout


@pytest.mark.parametrize("as_files", [False, True], ids=["variables", "files"])
def test_the_hook_migrates_and_the_run_follows(
    engine: Engine, values: dict[str, Any], servers: Rendered, tmp_path: Path, *, as_files: bool
) -> None:
    """Outside the trial mode: the hook's Job comes first; the Secret is variables, or files."""
    secrets = {name: servers.one("Secret")["stringData"][name] for name in ("DATABASE_URL", "ENCRYPTION_KEY")}
    names = [service["metadata"]["name"] for service in servers.of_kind("Service")]
    installed = render(
        {
            "image": values["image"],
            "secrets": {"values": secrets, "mountAsFiles": as_files},
            "hostAliases": [{"ip": "127.0.0.1", "hostnames": names}],
        }
    )
    kubelet = Kubelet(engine, installed, tmp_path / "installed")

    (migrated,) = kubelet.run(installed.pod("migrate"), job="hook")
    (collected,) = kubelet.run(installed.pod("collect"), job="night")

    assert migrated.status == 0, migrated.log
    assert migrated.last_line.startswith("Upgraded the schema from nothing to ")
    assert collected.status == 0, collected.log
    assert "NOTHING TO DO: there are no accounts to collect" in collected.stdout
    assert _rows("SELECT run_key FROM runs") == [("night",)]


def _rows(query: str) -> list[tuple[Any, ...]]:
    """Ask the trial's PostgreSQL, which is in this network."""
    connection = psycopg2.connect(host="127.0.0.1", port=5432, **_OF_THE_CHART)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())
    finally:
        connection.close()
