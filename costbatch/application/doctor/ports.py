"""What the examination needs from outside, besides the ports of the other stories."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from costbatch.domain.accounts import AwsNeeds, Partition
from costbatch.domain.health import (
    Caller,
    Endpoint,
    NewestRun,
    Rights,
    SchemaVersion,
    SealedSample,
    Server,
    WaitingEvents,
)


class DatabaseHealth(Protocol):
    """Looks at the database and changes nothing. Every method may raise StorageError."""

    def server(self) -> Server:
        """Connect, and return what answered."""

    def clock(self) -> datetime:
        """Return what time it is there."""

    def schema(self) -> SchemaVersion:
        """Return which schema is there."""

    def rights(self) -> Rights:
        """Return what a run may not do that it must."""

    def sealed_samples(self) -> Sequence[SealedSample] | None:
        """Return one credential of each key that has sealed any; None if our role may not read them."""

    def newest_run(self, job: str) -> NewestRun | None:
        """Return the newest run over all accounts and their ordinary days."""

    def events_before(self, instant: datetime) -> Sequence[WaitingEvents]:
        """Return, by sink, the events from before an instant that it has not taken."""


class Gateway(Protocol):
    """The receiver of metrics."""

    @property
    def address(self) -> str:
        """Where it is, without credentials."""

    def check_ready(self) -> None:
        """Ask whether it would take metrics.

        Raises:
            DeliveryError: it would not; the message ends with what to do.

        """


class AwsProbe(Protocol):
    """Looks at AWS without paying."""

    def check_environment(self, needs: AwsNeeds) -> None:
        """Examine what the process was given to call AWS with, without calling it.

        Raises:
            ConfigError: a variable or a file that cannot be used.

        """

    def endpoints(self, partition: Partition) -> Sequence[Endpoint]:
        """Return how each address that a collection in the partition needs answers."""

    def pod(self, partition: Partition) -> Caller:
        """Return who the pod's own credentials are.

        Raises:
            AccountError: there are none, or AWS refuses them.

        """
