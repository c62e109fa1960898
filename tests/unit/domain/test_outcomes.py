"""How accounts and runs end."""

from decimal import Decimal

import pytest

from costbatch.domain.runs import Collection, CollectionState, RunStatus, status_of
from costbatch.errors import ErrorKind

C, F, S = CollectionState.COLLECTED, CollectionState.FAILED, CollectionState.SKIPPED
P, W = CollectionState.PENDING, CollectionState.COLLECTING


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
def test_the_status_of_a_run_follows_from_its_accounts(
    states: set[CollectionState], status: RunStatus
) -> None:
    """Total failure: there were accounts, and none was collected; one unfinished keeps the run going."""
    assert status_of(states) is status


def test_every_request_costs_a_cent() -> None:
    """The price of an account is exact."""
    account = Collection(aws_account_id="1" * 12, name="", state=C, api_requests=7)
    assert account.api_cost_usd == Decimal("0.07")


def test_the_kinds_of_failure_that_pass_are_these() -> None:
    """Only what may be over in minutes is tried again within the run."""
    passing = {kind for kind in ErrorKind if kind.is_passing}
    assert passing == {ErrorKind.THROTTLED, ErrorKind.TIMEOUT, ErrorKind.INTERNAL}


@pytest.mark.parametrize("kind", ErrorKind)
def test_every_kind_of_failure_says_what_to_do(kind: ErrorKind) -> None:
    """A person is never left with a code alone."""
    assert kind.advice.endswith(".")
    assert len(kind.advice.split()) > 8
