"""How a run works, as the settings say."""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from costbatch.domain.detection import Rule
from costbatch.domain.periods import WindowPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectPolicy:
    """How a run works.

    lease: a claim dies this long after its worker's last sign of life.
    retry_pause: before an account's second attempt; it doubles for the next.
    grace: time for the accounts in flight once the run is asked to stop.
    deadline: from then on the process takes no more accounts; None: it works until every one is done.
    most_requests: the cap on API cost in paid requests; None: no cap.
    vanished_ratio: the share of an account's stored days with cost that an answer may remove.
    """

    concurrency: int
    lease: timedelta
    retry_pause: timedelta
    grace: timedelta
    windows: WindowPolicy
    rule: Rule
    sinks: tuple[str, ...]
    version: str
    vanished_ratio: Decimal = Decimal("0.5")
    deadline: timedelta | None = None
    most_requests: int | None = None
