"""Pods that share a run: none claims what another could begin now, and none repeats its own failures."""

import time

import pytest

from costbatch.application.collect.job import CollectTask
from costbatch.application.jobs import pool as pool_module
from costbatch.application.jobs.budget import ApiBudget
from costbatch.application.jobs.pool import Claimed, WorkerPool
from costbatch.domain.costs import NO_DIGESTS
from costbatch.simulator.world import Fault
from tests.support.factories import NOW, days, make_access, make_item
from tests.support.factories import make_account as make_account_row
from tests.support.fork_server import Process
from tests.support.harness import Harness, make_account, wait_for
from tests.support.run_harness import RunHarness
from tests.support.waiting import MOST_SECONDS, until

RUN_KEY = "shared"
ELSEWHERE = "elsewhere/boot/pid:[1]/77/123"

pytestmark = pytest.mark.timeout(200)


def start(harness: Harness, *, concurrency: int) -> Process:
    """Start a pod of the run."""
    return harness.start(
        "collect", "--run-key", RUN_KEY, "--output", "json", COSTBATCH_CONCURRENCY=str(concurrency)
    )


def claimed(harness: Harness) -> dict[str, int]:
    """Return how many accounts each pod has in hand."""
    rows = harness.rows(
        "SELECT claimed_by, count(*) AS accounts FROM run_items WHERE state = 'running' GROUP BY 1"
    )
    return {row["claimed_by"]: row["accounts"] for row in rows}


@pytest.mark.parametrize(("pods", "concurrency", "accounts"), [(1, 2, 7), (2, 3, 14), (3, 2, 13)])
def test_a_pod_never_holds_more_accounts_than_it_has_begun(
    harness: Harness, pods: int, concurrency: int, accounts: int
) -> None:
    """An account that waits for a thread of one pod could be under way in another one."""
    harness.open(*map(make_account, range(1, accounts + 1)), latency_seconds=1.5)
    processes = [start(harness, concurrency=concurrency) for _ in range(pods)]
    most = 0
    while any(process.poll() is None for process in processes):
        most = max([most, *claimed(harness).values()])
        time.sleep(0.1)
    for process in processes:
        assert wait_for(process, timeout_seconds=MOST_SECONDS).status == 0
    assert most == concurrency
    assert harness.value("SELECT count(*) FROM run_items WHERE state = 'succeeded'") == accounts


@pytest.mark.parametrize(("seconds", "soon"), [(0.01, 40), (0.1, 4), (0.39, 1), (0.5, 0), (20.0, 0)])
def test_only_what_is_begun_within_an_instant_is_claimed_ahead(
    monkeypatch: pytest.MonkeyPatch, seconds: float, soon: int
) -> None:
    """So that no thread waits for a claim; nothing is known before the first account has landed."""
    clock = iter([0.0, 0.0, seconds, 0.0])
    monkeypatch.setattr(pool_module, "monotonic", lambda: next(clock))
    job = RunHarness().job()
    pool = WorkerPool(job, ApiBudget(), threads=2, clock=lambda: NOW)
    items = [make_item(account) for account in map(make_account_row, range(1, 4))]
    tasks = {
        item.id: CollectTask(
            access=make_access(item.account), window=days(0, 3), digests=NO_DIGESTS, totals=()
        )
        for item in items
    }
    pool.start(Claimed(items, tasks))
    assert pool.begun_soon == 0
    (first,) = pool.finished(timeout_seconds=10, most=1)
    pool.saved([first])
    assert (pool.in_flight, pool.begun_soon) == (2, soon)
    pool.close()


def _leave_to_dead_pod(harness: Harness, number: int) -> None:
    """Make an account of the run look as if a pod had died with it; every other one is to be done."""
    harness.rows("UPDATE run_items SET state = 'pending', attempts = 0, finished_at = NULL, failed_by = NULL")
    harness.rows(
        "UPDATE run_items SET state = 'running', claimed_by = %s, claim_token = gen_random_uuid(),"
        " lease_expires_at = now() + interval '4 seconds'"
        " FROM accounts WHERE accounts.id = account_id AND aws_account_id = %s",
        ELSEWHERE,
        harness.ids[number],
    )


def _asked(harness: Harness, number: int) -> int:
    requests = harness.aws.requests()["accounts"].get(harness.ids[number], {"requests": {}})["requests"]
    return int(requests.get("GetCostAndUsage", 0))


@pytest.mark.parametrize("kind", ["access_denied", "not_enabled"])
def test_after_a_takeover_a_pod_does_not_repeat_its_own_failures(harness: Harness, kind: str) -> None:
    """Only the dead pod's accounts are tried again; for the others the run has decided."""
    harness.open(make_account(1), make_account(2, faults=(Fault(kind),)), make_account(3))
    harness.aws.set_outage(on=True)
    harness.collect("--run-key", RUN_KEY)
    harness.aws.set_outage(on=False)
    _leave_to_dead_pod(harness, 0)
    harness.aws.reset_requests()
    finished = wait_for(start(harness, concurrency=2), timeout_seconds=MOST_SECONDS)
    assert [finished.outcomes[account] == "collected" for account in harness.ids] == [True, False, True]
    assert [_asked(harness, number) for number in range(3)] == [1, 1, 1]
    assert finished.logs("accounts_requeued") == []


def test_after_a_takeover_a_living_pods_failures_stay(harness: Harness) -> None:
    """Two pods live; one of them finds an account failing, the other one takes over from a dead pod."""
    harness.open(
        make_account(1),
        make_account(2, faults=(Fault("access_denied"),)),
        make_account(3, faults=(Fault("latency", seconds=6, times=1),)),
    )
    harness.aws.set_outage(on=True)
    harness.collect("--run-key", RUN_KEY)
    harness.aws.set_outage(on=False)
    _leave_to_dead_pod(harness, 0)
    harness.aws.reset_requests()
    processes = [start(harness, concurrency=1) for _ in range(2)]
    until(lambda: _asked(harness, 1) > 0)
    for process in processes:
        assert wait_for(process, timeout_seconds=MOST_SECONDS).outcomes[harness.ids[0]] == "collected"
    assert _asked(harness, 1) == 1
