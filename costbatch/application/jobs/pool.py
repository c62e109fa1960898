"""Works on items in threads: network only, one result for each item, and never an exception."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic
from typing import Generic
from uuid import UUID

from costbatch.application.jobs.budget import ApiBudget, Meter
from costbatch.application.jobs.job import Attempt, Job, R, Result, T
from costbatch.application.ports import Clock
from costbatch.domain.runs import Failure, WorkItem
from costbatch.errors import AccountError, BudgetSpent, ErrorKind
from costbatch.logs import get_logger

log = get_logger(__name__)

# For this number of threads one more item may begin while results wait to be saved: no thread waits for that.
_THREADS_PER_SPARE = 8
# How far ahead is "soon": several times what a claim takes, and nothing that another process would notice.
_SOON_SECONDS = 0.2
# The part of a new duration in the mean.
_WEIGHT_OF_NEW = 0.1


@dataclass(frozen=True, slots=True)
class Claimed(Generic[T]):
    """Claimed items and what the job prepared for each, by item; a Failure if it could not."""

    items: Sequence[WorkItem]
    tasks: Mapping[int, T | Failure]


class WorkerPool(Generic[T, R]):
    """A fixed number of threads, and the items that wait for one.

    An item is in flight until its result is saved. At most an eighth more items are in flight than there are
    threads, so a process that dies wastes the requests of that many accounts at most.
    The threads are daemons: after the grace period of a shutdown the process does not wait for an answer.
    """

    def __init__(self, job: Job[T, R], budget: ApiBudget, *, threads: int, clock: Clock) -> None:
        self._job, self._budget, self._clock = job, budget, clock
        self._waiting: deque[tuple[WorkItem, T | Failure]] = deque()
        self._started: SimpleQueue[tuple[WorkItem, T | Failure] | None] = SimpleQueue()
        self._finished: SimpleQueue[Attempt[T, R]] = SimpleQueue()
        self._threads = [Thread(target=self._run, name=f"work-{n}", daemon=True) for n in range(threads)]
        self._places = threads + threads // _THREADS_PER_SPARE
        # By claim: an item may be claimed again while earlier work on it, whose result is dropped, continues.
        self._in_flight: dict[UUID, tuple[WorkItem, float]] = {}
        self._mean_seconds: float | None = None
        for thread in self._threads:
            thread.start()

    @property
    def in_flight(self) -> int:
        """How many items are being worked on, or are not saved yet."""
        return len(self._in_flight)

    @property
    def waiting(self) -> int:
        """How many items wait for a free thread."""
        return len(self._waiting)

    @property
    def free(self) -> int:
        """How many more items could begin at once."""
        return len(self._threads) - self.in_flight - self.waiting

    @property
    def begun_soon(self) -> int:
        """How many items can probably begin soon; 0 before the first one is saved."""
        if self._mean_seconds is None:
            return 0
        return int(self.in_flight * _SOON_SECONDS / max(self._mean_seconds, 0.001))

    @property
    def items(self) -> list[WorkItem]:
        """The items that are in flight or wait."""
        return [*(item for item, _ in self._in_flight.values()), *(item for item, _ in self._waiting)]

    def start(self, claimed: Claimed[T]) -> None:
        """Begin the work on items as soon as threads are free."""
        self._waiting += [(item, claimed.tasks[item.id]) for item in claimed.items]
        self._start_waiting()

    def finished(self, *, timeout_seconds: float, most: int) -> list[Attempt[T, R]]:
        """Return up to ``most`` results, waiting for the first one."""
        results: list[Attempt[T, R]] = []
        try:
            results.append(self._finished.get(timeout=timeout_seconds))
            while len(results) < most:
                results.append(self._finished.get_nowait())
        except Empty:
            pass
        return results

    def saved(self, results: Iterable[Attempt[T, R]]) -> None:
        """Note that these results are saved; waiting items take their places."""
        for result in results:
            _, began = self._in_flight.pop(result.item.token)
            seconds = monotonic() - began
            mean = seconds if self._mean_seconds is None else self._mean_seconds
            self._mean_seconds = mean + _WEIGHT_OF_NEW * (seconds - mean)
        self._start_waiting()

    def drop_waiting(self) -> None:
        """Forget the items that no thread has begun."""
        self._waiting.clear()
        with suppress(Empty):
            while begun := self._started.get_nowait():
                del self._in_flight[begun[0].token]

    def close(self) -> None:
        """Let idle threads end; those in flight end with their answer."""
        for _ in self._threads:
            self._started.put(None)

    def _start_waiting(self) -> None:
        while self._waiting and self.in_flight < self._places:
            item, task = self._waiting.popleft()
            self._in_flight[item.token] = item, monotonic()
            self._started.put((item, task))

    def _run(self) -> None:
        while (started := self._started.get()) is not None:
            self._finished.put(self._work(*started))

    def _work(self, item: WorkItem, task: T | Failure) -> Attempt[T, R]:
        """Turn whatever happens to one account into its result, so that no other account is affected."""
        meter, started_at = Meter(self._budget), self._clock()
        value: R | Failure | None
        if isinstance(task, Failure):
            return Result(item=item, task=None, value=task, api_requests=0, started_at=started_at)
        try:
            value = self._job.work(item, task, meter)
        except BudgetSpent:
            value = None
        except AccountError as error:
            if error.kind is ErrorKind.INTERNAL:
                log.exception("account_crashed", aws_account_id=item.account.aws_account_id)
            value = Failure(kind=error.kind, message=str(error))
        except Exception:
            log.exception("account_crashed", aws_account_id=item.account.aws_account_id)
            value = Failure(kind=ErrorKind.INTERNAL, message=ErrorKind.INTERNAL.advice)
        meter.close()
        return Result(
            item=item,
            task=task,
            value=value,
            api_requests=meter.requests,
            unanswered=meter.unanswered,
            started_at=started_at,
        )
