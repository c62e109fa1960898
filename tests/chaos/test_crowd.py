"""Four processes with one run key over 240 accounts, killed at random, their database restarted once.

CHAOS_SEED chooses other moments; a failure names the seed that it happened with.
"""

import os
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from costbatch.application.registration import Registration
from costbatch.bootstrap import Bootstrap
from costbatch.config import Settings
from costbatch.domain.accounts import AccessMethod
from costbatch.domain.credentials import AccessKeys, Secret, StoredSecrets
from costbatch.simulator.client import SimulatorProcess
from tests.chaos.contents import contents, event_ids
from tests.chaos.crowd import ACCOUNTS, CONCURRENCY, ENVIRON, PROCESSES, RUN_KEY, Crowd, crowd_accounts
from tests.chaos.postgres_servers import Server, serve_pgbouncer, serve_postgres
from tests.support.fake_gateway import Gateway, serve_gateway
from tests.support.harness import Harness, wait_for
from tests.support.in_process import closed_databases

pytestmark = pytest.mark.timeout(300)

_SEED = os.environ.get("CHAOS_SEED", "1")
_TEMPLATE = "crowd"
# What a run tells Prometheus and what does not differ between two that did the same.
_LASTING_METRICS = (
    "costbatch_account_cost",
    "costbatch_account_failures",
    "costbatch_accounts",
    "costbatch_anomalies",
    "costbatch_last_run_succeeded",
    "costbatch_rows_fetched",
    "costbatch_rows_written",
)
_numbers = count(1)


@dataclass(frozen=True)
class Undisturbed:
    """What one process that nobody disturbs makes of it; ``asked`` and ``paid`` are requests by account."""

    contents: Mapping[str, Any]
    metrics: set[str]
    asked: Mapping[str, int]
    paid: Mapping[str, int]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Run a PostgreSQL that the tests may stop."""
    with serve_postgres() as server:
        yield server


@pytest.fixture(scope="module")
def new_harness(server: Server, aws: SimulatorProcess) -> Callable[[], Harness]:
    """Return what opens the accounts on a database where they are registered and never were collected."""
    _register(server.new_database(_TEMPLATE), aws)

    def make() -> Harness:
        url = server.postgres.create_database(f"crowd_{next(_numbers)}", template=_TEMPLATE)
        harness = Harness(aws, url)
        harness.open(*crowd_accounts())
        return harness

    return make


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    """Take metrics as they come."""
    with serve_gateway() as gateway:
        gateway.open.set()
        yield gateway


@pytest.fixture(scope="module")
def undisturbed(new_harness: Callable[[], Harness]) -> Undisturbed:
    """Run once without any trouble but AWS's."""
    harness = new_harness()
    with serve_gateway() as gateway:
        gateway.open.set()
        environ = {**ENVIRON, "COSTBATCH_CONCURRENCY": str(PROCESSES * CONCURRENCY)}
        environ["PUSHGATEWAY_URL"] = gateway.url
        finished = wait_for(harness.start("collect", "--run-key", RUN_KEY, "--output", "json", **environ))
    assert finished.status == 0, finished.stderr
    outcomes = Counter(finished.outcomes.values())
    assert outcomes.keys() == {
        "collected",
        "access_denied",
        "credentials_rejected",
        "cost_explorer_not_enabled",
    }
    assert outcomes["collected"] > ACCOUNTS * 0.9
    asked, paid = _requests(harness)
    return Undisturbed(contents(harness, RUN_KEY), _metrics(gateway), asked, paid)


@pytest.mark.parametrize("way", ["directly", "through PgBouncer"])
def test_a_crowd_that_dies_and_comes_back_ends_as_if_nothing_had_happened(
    way: str,
    new_harness: Callable[[], Harness],
    server: Server,
    undisturbed: Undisturbed,
    gateway: Gateway,
    tmp_path: Path,
) -> None:
    """The same rows, each event once, no account lost, and a bound on what the deaths have cost.

    Directly the dead are known by their host's process table, whose lease nobody waits for: it is longer
    than any wait here. Through PgBouncer they are as on another host: only their lease tells.
    """
    harness, chance = new_harness(), random.Random(f"{_SEED}/{way}")
    is_pooled = way == "through PgBouncer"
    environ = {"PUSHGATEWAY_URL": gateway.url, "COSTBATCH_LEASE_SECONDS": "12" if is_pooled else "90"}
    with ExitStack() as stack:
        if is_pooled:
            pooler = stack.enter_context(serve_pgbouncer(server, server_connections=2))
            harness.environ["DATABASE_URL"] = f"{pooler}/{make_url(harness.database_url).database}"
        crowd = Crowd(harness, server, tmp_path, chance, environ, elsewhere=is_pooled)
        _disturb(crowd)
        crowd.finish()
    story = f"CHAOS_SEED={_SEED}, {way}: {'; '.join(crowd.story)}"
    printed = "".join(member.printed for member in crowd.members)
    (tmp_path / "all").write_text(printed)
    statuses = [member.process.returncode for member in crowd.ended]
    assert set(statuses) <= {0, 1}, story
    assert statuses.count(0) == PROCESSES, story
    found = contents(harness, RUN_KEY)
    for table, rows in undisturbed.contents.items():
        assert found[table] == rows, f"{table} differs, see {tmp_path}: {story}"
    for event_id in event_ids(harness, RUN_KEY):
        told = printed.count(f'"cloudevent": {{"id": "{event_id}"')
        assert told == 1, f"{event_id} was told {told} times, see {tmp_path}: {story}"
    assert _metrics(gateway) == undisturbed.metrics, story
    _check_requests(harness, undisturbed, len(crowd.killed), story)


def _disturb(crowd: Crowd) -> None:
    """Kill six to ten times, spread over the run, and restart PostgreSQL in the middle of it."""
    chance = crowd.chance
    kills = sorted(chance.sample(range(ACCOUNTS // 20, ACCOUNTS * 9 // 10), chance.randint(6, 10)))
    restart = chance.randrange(ACCOUNTS * 3 // 10, ACCOUNTS * 7 // 10)
    for _ in range(PROCESSES):
        crowd.start()
    for moment in sorted([*kills, restart]):
        crowd.wait_for(moment)
        if moment == restart:
            crowd.restart_database()
        if moment in kills:
            crowd.kill()


def _check_requests(harness: Harness, undisturbed: Undisturbed, kills: int, story: str) -> None:
    """A kill may cost what was in flight; accounts that fail a retry asks again, which costs nothing."""
    asked, paid = _requests(harness)
    assert sum(paid.values()) <= sum(undisturbed.paid.values()) + kills * CONCURRENCY, story
    served = [account_id for account_id, pages in undisturbed.paid.items() if pages]
    most = sum(undisturbed.asked[account_id] for account_id in served) + kills * CONCURRENCY
    assert sum(asked[account_id] for account_id in served) <= most, story
    for account_id in served:
        assert asked[account_id] <= undisturbed.asked[account_id] + kills, f"{account_id}: {story}"


def _requests(harness: Harness) -> tuple[dict[str, int], dict[str, int]]:
    """Return the cost requests and the paid ones among them, by account."""
    accounts: dict[str, dict[str, Any]] = harness.aws.requests()["accounts"]
    asked = {name: int(each["requests"].get("GetCostAndUsage", 0)) for name, each in accounts.items()}
    return asked, {name: int(each["paid"]) for name, each in accounts.items()}


def _metrics(gateway: Gateway) -> set[str]:
    """Return the lines of the last push that two runs share which did the same."""
    lines = gateway.pushed[-1].splitlines()
    return {line for line in lines if line.startswith(_LASTING_METRICS)}


def _register(database_url: str, aws: SimulatorProcess) -> None:
    harness = Harness(aws, database_url)
    bootstrap = Bootstrap(settings=Settings.from_environment(harness.environ), now=harness.now)
    with closed_databases():
        accounts = bootstrap.accounts()
        for account in crowd_accounts():
            keys = AccessKeys(
                access_key_id=Secret(account.access_key_id),
                secret_access_key=Secret(account.secret_access_key),
            )
            registration = Registration(
                aws_account_id=account.account_id, name=account.name, access=AccessMethod.ACCESS_KEYS
            )
            accounts.add(registration, StoredSecrets(access_keys=keys))
