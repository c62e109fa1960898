"""Rate limits of the local AWS, over HTTP: who is throttled how often, and who waits for whom.

Here the pauses are real. What is compared are counts at the local AWS, never times.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from threading import current_thread
from typing import TYPE_CHECKING

import pytest

from costbatch.adapters.aws.operations import COST_EXPLORER, STS
from costbatch.adapters.aws.rate_limiter import RateLimiter
from costbatch.application.jobs.budget import ApiBudget, Meter
from costbatch.domain.accounts import Partition
from costbatch.domain.periods import DateRange
from costbatch.errors import AccountError, ErrorKind
from costbatch.simulator.client import SimulatorProcess
from costbatch.simulator.demo_world import load_world

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from costbatch.adapters.aws.cost_explorer.source import CostExplorerSource
    from costbatch.simulator.world import Account
    from tests.support.aws import Harness

TODAY = date(2024, 3, 20)
WINDOW = DateRange(date(2024, 3, 17), TODAY)
THREADS = 32


@pytest.fixture(autouse=True)
def _no_backoff() -> None:
    """Let everybody wait as long as they would."""


@pytest.fixture(scope="module")
def limited_process(_clean_environment: None) -> Iterator[SimulatorProcess]:
    """Start a local AWS of its own for this module."""
    with SimulatorProcess(load_world(300, services=2, days=3, today=TODAY)) as simulator:
        yield simulator


@pytest.fixture
def limited(limited_process: SimulatorProcess, monkeypatch: pytest.MonkeyPatch) -> SimulatorProcess:
    """Point boto3 to it, with the same accounts and no faults and limits."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", limited_process.url)
    limited_process.replace_world(load_world(300, services=2, days=3, today=TODAY))
    return limited_process


def fetch(aws: Harness, source: CostExplorerSource, account: Account) -> ErrorKind | None:
    """Fetch an account; return why it failed."""
    # So that it can be told who naps.
    current_thread().name = account.account_id
    access = aws.keys(account.account_id, account.access_key_id, account.secret_access_key)
    try:
        assert len(source.fetch(access, WINDOW, Meter(ApiBudget())).costs) == 6
    except AccountError as error:
        return error.kind
    return None


def fetch_all(
    aws: Harness, source: CostExplorerSource, accounts: Sequence[Account]
) -> dict[str, ErrorKind | None]:
    """Fetch accounts on many threads; return why each of them failed."""
    with ThreadPoolExecutor(THREADS) as pool:
        kinds = list(pool.map(lambda account: fetch(aws, source, account), accounts))
    return {account.account_id: kind for account, kind in zip(accounts, kinds, strict=True)}


def asked_for_costs(simulator: SimulatorProcess) -> dict[str, int]:
    """Count the cost requests of each account, answered or throttled."""
    accounts = simulator.requests()["accounts"]
    return {name: counts["requests"].get("GetCostAndUsage", 0) for name, counts in accounts.items()}


def throttled(simulator: SimulatorProcess) -> int:
    """Count the cost requests that were throttled."""
    return sum(asked_for_costs(simulator).values()) - simulator.paid()


def test_a_limit_of_all_accounts_is_learnt(
    limited: SimulatorProcess, aws: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fifty a second for 300 accounts on 32 threads: all are collected, and few attempts are for nothing."""
    accounts = limited.current_world().accounts
    limited.set_rate_limit(50)
    source = aws.source(max_attempts=5, concurrency=THREADS)
    assert set(fetch_all(aws, source, accounts).values()) == {None}
    assert limited.paid() == len(accounts)
    with_limiter = throttled(limited)

    limited.reset_requests()
    monkeypatch.setattr(RateLimiter, "seconds_left", lambda _self, _request: 0.0)
    fetch_all(aws, aws.source(max_attempts=5, concurrency=THREADS), accounts)
    assert with_limiter * 2 < throttled(limited)


@pytest.mark.parametrize("broken", [1, 12])
def test_accounts_that_are_throttled_for_ever_hold_up_nobody_else(
    limited: SimulatorProcess, aws: Harness, monkeypatch: pytest.MonkeyPatch, broken: int
) -> None:
    """The others ask once each and never wait for a turn, also where the broken ones are asked first."""
    accounts = limited.current_world().accounts[: 100 + broken]
    troubled = {account.account_id for account in accounts[:broken]}
    for name in troubled:
        limited.add_fault(name, "limit_exceeded")
    source, sleepers = aws.source(max_attempts=3, concurrency=THREADS), set[str]()
    limiter = source._clients.limiter(COST_EXPLORER, Partition.AWS)
    sleep = limiter._sleep

    def note_and_sleep(seconds: float) -> None:
        sleepers.add(current_thread().name)
        sleep(seconds)

    monkeypatch.setattr(limiter, "_sleep", note_and_sleep)
    kinds = fetch_all(aws, source, accounts)
    assert {name for name, kind in kinds.items() if kind} == troubled
    asked = asked_for_costs(limited)
    assert {name: asked[name] for name in troubled} == dict.fromkeys(troubled, 3)
    assert all(count == 1 for name, count in asked.items() if name not in troubled)
    assert sleepers <= troubled
    assert limiter.per_second is None


def test_an_account_with_a_slow_limit_gets_all_its_pages(limited: SimulatorProcess, aws: Harness) -> None:
    """Page after page: it is slowed down to what AWS takes of it, and so it gets through."""
    world = limited.current_world()
    slow, *others = world.accounts[:20]
    limited.replace_world(
        replace(world, accounts=(replace(slow, requests_per_second=2.0), *others), page_size=1)
    )
    source = aws.source(max_attempts=5, concurrency=THREADS)
    assert set(fetch_all(aws, source, [slow, *others]).values()) == {None}
    asked = asked_for_costs(limited)
    assert asked.pop(slow.account_id) > 6
    assert set(asked.values()) == {6}


def test_each_service_learns_for_itself(limited: SimulatorProcess, aws: Harness) -> None:
    """Cost Explorer's trouble is not that of STS, nor another partition's."""
    source = aws.source()
    limiters = [
        source._clients.limiter(service, partition)
        for service in (COST_EXPLORER, STS)
        for partition in (Partition.AWS, Partition.CHINA)
    ]
    assert len(set(map(id, limiters))) == 4
    limited.add_fault(
        limited.current_world().accounts[0].account_id, "throttling", operation="GetCallerIdentity"
    )
    assert fetch(aws, source, limited.current_world().accounts[0]) is ErrorKind.THROTTLED
    assert [len(limiter._each) for limiter in limiters] == [0, 0, 1, 0]
