"""Pods that share a run: none claims what another could begin now, and none repeats its own failures."""

import subprocess
import time

import pytest

from costbatch.application import fetching
from costbatch.application.budget import ApiBudget
from costbatch.application.fetching import FetchPool, Flight
from costbatch.simulator.world import Fault
from tests.chaos.waiting import MOST_SECONDS, until
from tests.factories import NOW, days, make_access, make_claim
from tests.factories import make_account as make_account_row
from tests.fake_runs import FakeSource
from tests.stage import Stage, make_account, wait_for

RUN_KEY = "shared"
ELSEWHERE = "elsewhere/boot/pid:[1]/77/123"

pytestmark = pytest.mark.timeout(200)


def start(stage: Stage, *, concurrency: int) -> subprocess.Popen[str]:
    """Start a pod of the run."""
    return stage.start(
        "collect", "--run-key", RUN_KEY, "--output", "json", COSTBATCH_CONCURRENCY=str(concurrency)
    )


def claimed(stage: Stage) -> dict[str, int]:
    """Return how many accounts each pod has in hand."""
    rows = stage.rows(
        "SELECT claimed_by, count(*) AS accounts FROM collections WHERE state = 'collecting' GROUP BY 1"
    )
    return {row["claimed_by"]: row["accounts"] for row in rows}


@pytest.mark.parametrize(("pods", "concurrency", "accounts"), [(1, 2, 7), (2, 3, 14), (3, 2, 13)])
def test_a_pod_never_holds_more_accounts_than_it_has_begun(
    stage: Stage, pods: int, concurrency: int, accounts: int
) -> None:
    """An account that waits for a thread of one pod could be under way in another one."""
    stage.open(*map(make_account, range(1, accounts + 1)), latency_seconds=1.5)
    processes = [start(stage, concurrency=concurrency) for _ in range(pods)]
    most = 0
    while any(process.poll() is None for process in processes):
        most = max([most, *claimed(stage).values()])
        time.sleep(0.1)
    for process in processes:
        assert wait_for(process, timeout_seconds=MOST_SECONDS).status == 0
    assert most == concurrency
    assert stage.value("SELECT count(*) FROM collections WHERE state = 'collected'") == accounts


@pytest.mark.parametrize(("seconds", "soon"), [(0.01, 40), (0.1, 4), (0.39, 1), (0.5, 0), (20.0, 0)])
def test_only_what_is_begun_within_an_instant_is_claimed_ahead(
    monkeypatch: pytest.MonkeyPatch, seconds: float, soon: int
) -> None:
    """So that no thread waits for a claim; nothing is known before the first account has landed."""
    clock = iter([0.0, 0.0, seconds, 0.0])
    monkeypatch.setattr(fetching, "monotonic", lambda: next(clock))
    source = FakeSource()
    pool = FetchPool(source, ApiBudget(), threads=2, clock=lambda: NOW)
    flights = [
        Flight(claim=make_claim(account), access=make_access(account), window=days(0, 3), known={}, totals=())
        for account in map(make_account_row, range(1, 4))
    ]
    pool.start(flights)
    assert pool.begun_soon == 0
    (first,) = pool.landed(timeout_seconds=10, most=1)
    pool.settled([first])
    assert (pool.in_flight, pool.begun_soon) == (2, soon)
    pool.close()


def _leave_to_dead_pod(stage: Stage, number: int) -> None:
    """Make an account of the run look as if a pod had died with it; every other one is to be done."""
    stage.rows("UPDATE collections SET state = 'pending', attempts = 0, finished_at = NULL, failed_by = NULL")
    stage.rows(
        "UPDATE collections SET state = 'collecting', claimed_by = %s, claim_token = gen_random_uuid(),"
        " lease_expires_at = now() + interval '4 seconds'"
        " FROM accounts WHERE accounts.id = account_id AND aws_account_id = %s",
        ELSEWHERE,
        stage.ids[number],
    )


def _asked(stage: Stage, number: int) -> int:
    requests = stage.aws.requests()["accounts"].get(stage.ids[number], {"requests": {}})["requests"]
    return int(requests.get("GetCostAndUsage", 0))


@pytest.mark.parametrize("kind", ["access_denied", "not_enabled"])
def test_after_a_takeover_a_pod_does_not_repeat_its_own_failures(stage: Stage, kind: str) -> None:
    """Only the dead pod's accounts are tried again; for the others the run has decided."""
    stage.open(make_account(1), make_account(2, faults=(Fault(kind),)), make_account(3))
    stage.aws.set_outage(on=True)
    stage.collect("--run-key", RUN_KEY)
    stage.aws.set_outage(on=False)
    _leave_to_dead_pod(stage, 0)
    stage.aws.reset_requests()
    finished = wait_for(start(stage, concurrency=2), timeout_seconds=MOST_SECONDS)
    assert [finished.outcomes[account] == "collected" for account in stage.ids] == [True, False, True]
    assert [_asked(stage, number) for number in range(3)] == [1, 1, 1]
    assert finished.logs("accounts_put_back") == []


def test_after_a_takeover_a_living_pods_failures_stay(stage: Stage) -> None:
    """Two pods live; one of them finds an account failing, the other one takes over from a dead pod."""
    stage.open(
        make_account(1),
        make_account(2, faults=(Fault("access_denied"),)),
        make_account(3, faults=(Fault("latency", seconds=6, times=1),)),
    )
    stage.aws.set_outage(on=True)
    stage.collect("--run-key", RUN_KEY)
    stage.aws.set_outage(on=False)
    _leave_to_dead_pod(stage, 0)
    stage.aws.reset_requests()
    processes = [start(stage, concurrency=1) for _ in range(2)]
    until(lambda: _asked(stage, 1) > 0)
    for process in processes:
        assert wait_for(process, timeout_seconds=MOST_SECONDS).outcomes[stage.ids[0]] == "collected"
    assert _asked(stage, 1) == 1
