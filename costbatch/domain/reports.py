"""The report of a run of any job: its summary, its metrics and its event are all made from it."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from costbatch.domain.deliveries import Backlog
from costbatch.domain.metrics import (
    ACCOUNTS,
    DURATION,
    EVENTS_DEAD,
    EVENTS_PENDING,
    FAILURES,
    LAST_REPORT,
    Sample,
)
from costbatch.domain.periods import instant
from costbatch.domain.runs import UNFINISHED, ItemRecord, ItemState, Run, RunCounts
from costbatch.errors import ErrorKind


@dataclass(frozen=True, slots=True, kw_only=True)
class JobWords:
    """A job's name, and what it does to accounts: "collect", "collecting", "collected".

    advice: what to do about failures whose own advice is of another job.
    """

    name: str
    doing: str
    done: str
    advice: Mapping[ErrorKind, str] = field(default_factory=dict)

    def state(self, state: ItemState) -> str:
        """Return the state of an account in the words of the job."""
        return {ItemState.RUNNING: self.doing, ItemState.SUCCEEDED: self.done}.get(state, state.value)

    def advice_for(self, kind: str) -> str:
        """Return what to do about a stored kind of failure; empty for one of a later release."""
        if kind not in set(ErrorKind):
            return ""
        return self.advice.get(ErrorKind(kind), ErrorKind(kind).advice)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport(ABC):
    """What a run did, all its processes together. A job adds what is its own.

    counts: all its accounts. event_counts: events that the run wrote, by type.
    backlog: of each sink, with the events of any run.
    """

    words: ClassVar[JobWords]

    run: Run
    counts: RunCounts
    reported_at: datetime
    event_counts: Mapping[str, int] = field(default_factory=dict)
    backlog: Mapping[str, Backlog] = field(default_factory=dict)

    @property
    def ended_at(self) -> datetime:
        """The run's end, or now."""
        return self.run.finished_at or self.reported_at

    @property
    def duration_seconds(self) -> float:
        """From the run's start to its end, or to now."""
        return (self.ended_at - self.run.started_at).total_seconds()

    @property
    def summary(self) -> dict[str, Any]:
        """The numbers of the run as JSON has them: the data of its event.

        Raises:
            ValueError: a number of the job has the name of one that every run has.

        """
        run, counts = self.run, self.counts
        common: dict[str, Any] = {
            "job": run.request.job,
            "id": str(run.id),
            "key": run.key,
            "status": run.status.value,
            "stopped_by": run.stopped_by.value if run.stopped_by else None,
            "is_restricted": not run.request.is_whole,
            "started_at": instant(run.started_at),
            "finished_at": instant(run.finished_at) if run.finished_at else None,
            "duration_seconds": round(self.duration_seconds, 3),
            "accounts": {
                "total": counts.count(),
                self.words.done: counts.count(ItemState.SUCCEEDED),
                "failed": counts.count(ItemState.FAILED),
                "skipped": counts.count(ItemState.SKIPPED) - counts.not_active,
                "not_active": counts.not_active,
                "unfinished": counts.count(*UNFINISHED),
            },
            "failures": {kind.value: counts.failures[kind] for kind in sorted(counts.failures)},
        }
        own = self.job_summary()
        if taken := sorted(common.keys() & own.keys()):
            raise ValueError(f"job_summary of {run.request.job} names what every run has: {', '.join(taken)}")
        return common | own

    @property
    def events_pending(self) -> int:
        """How many deliveries of events are still to be made."""
        return sum(each.pending for each in self.backlog.values())

    @abstractmethod
    def job_summary(self) -> dict[str, Any]:
        """Return the numbers that only this job has, JSON-ready."""

    def to_document(self) -> dict[str, Any]:
        """Return the whole report as JSON has it: the output of the job's command."""
        return {
            "run": self.summary,
            "events": {
                "written": dict(self.event_counts),
                "pending": self.events_pending,
                "dead": sum(each.dead for each in self.backlog.values()),
            },
        }

    def samples(self) -> Iterable[Sample]:
        """Yield the run's numbers, with a zero for each value of a closed list, so that alerts see it."""
        yield Sample(LAST_REPORT, self.ended_at.timestamp())
        yield Sample(DURATION, self.duration_seconds)
        for outcome, number in self.summary["accounts"].items():
            if outcome != "total":
                yield Sample(ACCOUNTS, number, (outcome,))
        for kind in ErrorKind:
            yield Sample(FAILURES, self.counts.failures.get(kind, 0), (kind.value,))
        yield from self.job_samples()

    def job_samples(self) -> Iterable[Sample]:
        """Return the run's numbers that only this job has."""
        return ()

    def database_samples(self) -> Iterable[Sample]:
        """Yield the numbers of the whole database: in one group only, so that no sum counts them twice."""
        for sink, backlog in self.backlog.items():
            yield Sample(EVENTS_PENDING, backlog.pending, (sink,))
            yield Sample(EVENTS_DEAD, backlog.dead, (sink,))


def item_data(item: ItemRecord, words: JobWords) -> dict[str, Any]:
    """Return an account of a run of any job, as JSON has it."""
    failure = item.failure
    return {
        "aws_account_id": item.aws_account_id,
        "name": item.name,
        "state": words.state(item.state),
        "attempts": item.attempts,
        "error": {"kind": failure.kind.value, "message": failure.message} if failure else None,
        "skip_reason": item.skip_reason.value if item.skip_reason else None,
        "duration_seconds": item.duration_seconds,
    }
