"""When a process stops: by a signal or its deadline, and how long it waits for what is in flight."""

from dataclasses import dataclass, field
from datetime import timedelta
from threading import Event as Signal
from time import monotonic

from costbatch.domain.runs import StopReason
from costbatch.logs import get_logger

log = get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class StopConditions:
    """Why and when this process stops.

    signal: set when the process is asked to stop. deadline: from ``began`` on; None: none.
    grace: how long the accounts in flight may still take once the process stops.
    began: this process, or the run that it resumes, by the monotonic clock.
    """

    signal: Signal
    deadline: timedelta | None
    grace: timedelta
    began: float = field(default_factory=monotonic)
    _stopped: tuple[StopReason, float] | None = None

    def resume(self, age: timedelta) -> None:
        """Count the deadline from the start of a run that began ``age`` ago: it is not given anew.

        If that time is over, who resumes the run asks for as much again. The clocks of two pods tell the
        age: what they cannot tell counts from the start of this process too.
        """
        if self.deadline is not None and timedelta(0) <= age < self.deadline:
            self.began = min(self.began, monotonic() - age.total_seconds())

    @property
    def reason(self) -> StopReason | None:
        """Why no more accounts are taken, once that is so."""
        if self._stopped is None:
            if self.signal.is_set():
                self._stopped = StopReason.SIGNAL, monotonic()
            elif self.deadline is not None and monotonic() - self.began >= self.deadline.total_seconds():
                log.warning("deadline_reached", seconds=self.deadline.total_seconds())
                self._stopped = StopReason.DEADLINE, monotonic()
        return self._stopped[0] if self._stopped else None

    def is_grace_over(self) -> bool:
        """Return whether the accounts in flight are given up."""
        if self.reason is None or self._stopped is None:
            return False
        return monotonic() - self._stopped[1] > self.grace.total_seconds()
