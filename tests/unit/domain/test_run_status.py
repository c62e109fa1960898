"""How runs end, and which failures are worth another attempt."""

import pytest

from costbatch.domain.runs import FailOn, ItemState, RunStatus, is_success, status_of
from costbatch.errors import ErrorKind

C, F, S = ItemState.SUCCEEDED, ItemState.FAILED, ItemState.SKIPPED
P, W = ItemState.PENDING, ItemState.RUNNING


@pytest.mark.parametrize(
    ("states", "status"),
    [
        (set(), RunStatus.COMPLETED),
        ({C}, RunStatus.COMPLETED),
        ({C, F}, RunStatus.PARTIAL),
        ({C, S}, RunStatus.PARTIAL),
        ({C, F, S}, RunStatus.PARTIAL),
        ({F}, RunStatus.FAILED),
        ({S}, RunStatus.FAILED),
        ({F, S}, RunStatus.FAILED),
        ({P}, RunStatus.RUNNING),
        ({W}, RunStatus.RUNNING),
        ({C, P}, RunStatus.RUNNING),
        ({C, F, S, W}, RunStatus.RUNNING),
    ],
)
def test_the_status_of_a_run_follows_from_its_accounts(states: set[ItemState], status: RunStatus) -> None:
    """Total failure: there were accounts, and none succeeded; an unfinished one keeps the run going."""
    assert status_of(states) is status


@pytest.mark.parametrize(
    ("fail_on", "successes"),
    [(FailOn.TOTAL, {RunStatus.COMPLETED, RunStatus.PARTIAL}), (FailOn.PARTIAL, {RunStatus.COMPLETED})],
)
def test_whether_a_run_succeeded_depends_on_which_failures_count(
    fail_on: FailOn, successes: set[RunStatus]
) -> None:
    """Total failure always counts, a partial one if it is set; a run that has not ended did not succeed."""
    assert {status for status in RunStatus if is_success(status, fail_on)} == successes


def test_these_kinds_of_failure_are_transient() -> None:
    """Only what may be over in minutes is tried again within the run."""
    transient = {kind for kind in ErrorKind if kind.is_transient}
    assert transient == {ErrorKind.THROTTLED, ErrorKind.TIMEOUT, ErrorKind.INTERNAL}


@pytest.mark.parametrize("kind", ErrorKind)
def test_every_kind_of_failure_says_what_to_do(kind: ErrorKind) -> None:
    """No failure is reported by its code alone."""
    assert kind.advice.endswith(".")
    assert len(kind.advice.split()) > 8
