"""The report of a run of the discovery job, its metrics, and the plan of a dry run."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import Any, ClassVar

from costbatch.domain.accounts import Account
from costbatch.domain.discovery import (
    DISCOVER,
    AccountDiscovery,
    DiscoveryCounts,
    DiscoveryRecord,
)
from costbatch.domain.metrics import Metric, Sample
from costbatch.domain.periods import instant
from costbatch.domain.reports import JobWords, RunReport, item_data
from costbatch.domain.resources import SourceChoice
from costbatch.domain.runs import ItemRecord
from costbatch.errors import ErrorKind

WORDS = JobWords(
    name=DISCOVER,
    doing="discovering",
    done="discovered",
    advice={
        ErrorKind.ACCESS_DENIED: (
            "The credentials are valid but lack a permission of discovery; `costbatch discover --account ID` "
            "names it, and docs/installation.md has the whole policy."
        )
    },
)
_PARTIAL = "partial"

PARTIAL_ACCOUNTS = Metric(
    "costbatch_accounts_partial", (), "Accounts that the last run discovered without some of their regions."
)
REGIONS = Metric(
    "costbatch_regions", ("outcome",), "Regions of all accounts that the last run read, and that failed."
)
RESOURCES = Metric("costbatch_resources", (), "Resources that the last run found.")
RESOURCES_WRITTEN = Metric(
    "costbatch_resources_written", ("change",), "Resources that the last run changed in the database."
)
DISCOVER_METRICS = (PARTIAL_ACCOUNTS, REGIONS, RESOURCES, RESOURCES_WRITTEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """One account within a run: its item, and what was read and changed if it was discovered."""

    item: ItemRecord
    record: DiscoveryRecord | None = None

    @property
    def state(self) -> str:
        """The state in the words of the job; "partial" if a region could not be read."""
        return _PARTIAL if self.record and self.record.is_partial else WORDS.state(self.item.state)


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoverReport(RunReport):
    """Everything that a run of the discovery job did, all its processes together.

    discovered: all its accounts. discoveries: the accounts to list; if there are very many, those that need
    attention.
    """

    words: ClassVar[JobWords] = WORDS

    discovered: DiscoveryCounts = field(default_factory=DiscoveryCounts)
    discoveries: tuple[Discovery, ...] = ()

    def job_summary(self) -> dict[str, Any]:
        """Return what was read and stored."""
        counts = self.discovered
        return {
            "accounts_partial": counts.partial_accounts,
            "regions": {"read": counts.regions_read, "failed": counts.regions_failed},
            "resources": {"found": counts.resources, **counts.change.to_document()},
        }

    def to_document(self) -> dict[str, Any]:
        """Return the whole report as JSON has it: the output of ``discover --output json``."""
        return {
            **RunReport.to_document(self),
            "accounts": [
                {
                    **item_data(each.item, WORDS),
                    "state": each.state,
                    "discovery": each.record.to_document() if each.record else None,
                }
                for each in self.discoveries
            ],
        }

    def job_samples(self) -> Iterable[Sample]:
        """Yield what was read and stored."""
        counts = self.discovered
        yield Sample(PARTIAL_ACCOUNTS, counts.partial_accounts)
        yield Sample(REGIONS, counts.regions_read, ("read",))
        yield Sample(REGIONS, counts.regions_failed, ("failed",))
        yield Sample(RESOURCES, counts.resources)
        for change, number in counts.change.to_document().items():
            yield Sample(RESOURCES_WRITTEN, number, (change,))


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedDiscovery:
    """One account, the API that would be read first, and what is stored of it; None: nothing yet."""

    account: Account
    choice: SourceChoice
    stored: AccountDiscovery | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoveryPlan:
    """Every account that a run on ``today`` would discover. resumes: the key of the run that it resumes."""

    today: date
    discoveries: tuple[PlannedDiscovery, ...]
    resumes: str | None = None

    def to_document(self) -> dict[str, Any]:
        """Return the plan as JSON has it."""
        return {
            "today": self.today.isoformat(),
            "resumes": self.resumes,
            "accounts": [
                {
                    "aws_account_id": planned.account.aws_account_id,
                    "name": planned.account.name,
                    "source": planned.choice.value,
                    "discovered_at": instant(planned.stored.discovered_at) if planned.stored else None,
                    "resources": planned.stored.resources if planned.stored else None,
                }
                for planned in self.discoveries
            ],
        }
