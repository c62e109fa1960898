"""A sample run whose metrics are pushed."""

from datetime import date, datetime, timedelta
from uuid import UUID

from costbatch.domain.costs import StoredChange
from costbatch.domain.runs import Collection, CollectionState, Failure, Run, RunRequest, RunStatus
from costbatch.errors import ErrorKind

ONE, TWO = "1" * 12, "2" * 12
COLLECTED = Collection(
    aws_account_id=ONE,
    name="one",
    state=CollectionState.COLLECTED,
    rows_fetched=70,
    change=StoredChange(inserted=5, updated=4, deleted=3),
    api_requests=2,
)
DENIED = Collection(
    aws_account_id=TWO,
    name="two",
    state=CollectionState.FAILED,
    api_requests=1,
    failure=Failure(kind=ErrorKind.ACCESS_DENIED, message="No."),
)


def partial_run(now: datetime) -> Run:
    """Return a run that ended at this instant, with some accounts not collected."""
    return Run(
        id=UUID(int=1),
        key="nightly",
        request=RunRequest(),
        status=RunStatus.PARTIAL,
        today=date(2025, 1, 15),
        started_at=now - timedelta(seconds=90),
        finished_at=now,
    )
