"""How runs work, as the settings say."""

from dataclasses import dataclass
from datetime import timedelta

from costbatch.domain.routing import Route


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPolicy:
    """How a run works, whatever its job.

    concurrency: threads of each process. lease: a claim ends this long after its worker's last sign of life.
    retry_pause: before an account's second attempt; it doubles for the next.
    grace: time for the accounts in flight once the process is asked to stop.
    deadline: the process takes no more accounts after this time; None: until all are done.
    routes: where events go. most_requests: the cap on the paid requests of the whole run; None: no cap.
    """

    concurrency: int
    lease: timedelta
    retry_pause: timedelta
    grace: timedelta
    routes: tuple[Route, ...]
    version: str
    deadline: timedelta | None = None
    most_requests: int | None = None
