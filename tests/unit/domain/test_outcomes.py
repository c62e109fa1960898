"""How accounts and runs end."""

from decimal import Decimal

import pytest

from costbatch.domain.reports import Collection
from costbatch.domain.runs import FailOn, ItemRecord, ItemState, RunStatus, is_success, status_of
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
    """Total failure: there were accounts, and none succeeded; one unfinished keeps the run going."""
    assert status_of(states) is status


def test_only_complete_runs_succeed_and_partial_ones_by_default() -> None:
    """--fail-on partial makes a partial failure a failed run."""
    successes = {mode: {status for status in RunStatus if is_success(status, mode)} for mode in FailOn}
    assert successes == {
        FailOn.TOTAL: {RunStatus.COMPLETED, RunStatus.PARTIAL},
        FailOn.PARTIAL: {RunStatus.COMPLETED},
    }


def test_every_request_costs_a_cent() -> None:
    """The price of an account is exact."""
    item = ItemRecord(id=1, aws_account_id="1" * 12, name="", state=C, api_requests=7)
    account = Collection(item=item)
    assert account.api_cost_usd == Decimal("0.07")


def test_these_kinds_of_failure_are_transient() -> None:
    """Only what may be over in minutes is tried again within the run."""
    transient = {kind for kind in ErrorKind if kind.is_transient}
    assert transient == {ErrorKind.THROTTLED, ErrorKind.TIMEOUT, ErrorKind.INTERNAL}


@pytest.mark.parametrize("kind", ErrorKind)
def test_every_kind_of_failure_says_what_to_do(kind: ErrorKind) -> None:
    """A person is never left with a code alone."""
    assert kind.advice.endswith(".")
    assert len(kind.advice.split()) > 8
