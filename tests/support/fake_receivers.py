"""Stand-ins for what a run sends to: a sink and a receiver of metrics that keep what they get."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from typing_extensions import override

from costbatch.application.outbox import Sink
from costbatch.application.ports import Metrics
from costbatch.domain.reports import RunReport
from costbatch.errors import DeliveryError


@dataclass
class FakeSink(Sink):
    """Takes every event but those of the refused subjects ("*": all); ``error`` is raised in any case.

    unwanted: subjects that make it refuse the message itself. largest: how many events a message may have,
    if it is limited; a larger one is never sent. is_unclear: whether it cannot be told why it did not take
    the refused subjects.
    """

    name: str = "log"
    refused: set[str] = field(default_factory=set)
    unwanted: set[str] = field(default_factory=set)
    error: Exception | None = None
    on_delivery: Callable[[Mapping[str, Any]], None] = lambda _: None
    is_digest: bool = False
    is_unclear: bool = False
    largest: int | None = None
    tried: int = 0
    taken: list[Mapping[str, Any]] = field(default_factory=list)
    messages: list[list[str]] = field(default_factory=list)

    @override
    def deliver(self, cloudevents: Sequence[Mapping[str, Any]]) -> str:
        self.tried += 1
        if self.error:
            raise self.error
        subjects = [str(each["subject"]) for each in cloudevents]
        if self.largest is not None and len(subjects) > self.largest:
            raise DeliveryError("The message is too large.", is_refused=True, is_too_large=True)
        if self.refused & {"*", *subjects}:
            raise DeliveryError("The receiver is away.", is_unclear=self.is_unclear)
        if self.unwanted & set(subjects):
            raise DeliveryError("The message is no good.", is_refused=True)
        self.messages.append(subjects)
        for cloudevent in cloudevents:
            self.taken.append(cloudevent)
            self.on_delivery(cloudevent)
        return "taken"

    @property
    def subjects(self) -> list[str]:
        """What the taken events are about."""
        return [str(each["subject"]) for each in self.taken]

    @property
    def types(self) -> list[str]:
        """The types of the taken events."""
        return [str(each["type"]) for each in self.taken]


@dataclass
class FakeMetrics(Metrics):
    """Notes what was pushed, and then refuses it if a test says so."""

    refuses: bool = False
    pushed: list[tuple[RunReport | None, bool]] = field(default_factory=list)
    whole: list[bool] = field(default_factory=list)

    @override
    def push(
        self, report: RunReport | None, *, succeeded: bool, now: datetime, is_whole: bool = True
    ) -> None:
        self.whole.append(is_whole)
        self.pushed.append((report, succeeded))
        if self.refuses:
            raise DeliveryError("The gateway is away.")
