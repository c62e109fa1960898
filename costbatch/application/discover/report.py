"""Gathers what a run of the discovery job did, and what a run of it would do."""

from dataclasses import replace
from datetime import date, datetime

from costbatch.application.ports import Transaction
from costbatch.application.selection import accounts_left
from costbatch.domain.discover_report import DiscoverReport, Discovery, DiscoveryPlan, PlannedDiscovery
from costbatch.domain.discovery import DiscoverOptions, choice_for
from costbatch.domain.resources import SourceChoice
from costbatch.domain.runs import Run, RunRequest

# With more accounts than this, a list of all is too long to read: only those that need attention are listed.
_MOST_ACCOUNTS = 40


def brief_report(tx: Transaction, run: Run, *, now: datetime) -> DiscoverReport:
    """Return the counts of a run: enough for its event."""
    return DiscoverReport(
        run=tx.runs.load(run),
        counts=tx.items.counts(run),
        discovered=tx.discoveries.counts(run),
        reported_at=now,
    )


def full_report(tx: Transaction, run: Run, *, now: datetime, every_account: bool) -> DiscoverReport:
    """Return everything about a run, with its accounts or those that need a look."""
    report = brief_report(tx, run, now=now)
    lists_all = every_account or report.counts.count() <= _MOST_ACCOUNTS
    records = tx.discoveries.of_run(run, partial_only=not lists_all)
    items = tx.items.records(run, succeeded_too=lists_all, also=records)
    return replace(
        report,
        discoveries=tuple(Discovery(item=item, record=records.get(item.id)) for item in items),
    )


def plan_run(
    tx: Transaction, request: RunRequest, *, today: date, choice: SourceChoice, resumed: Run | None = None
) -> DiscoveryPlan:
    """Return which accounts a run would discover, without asking AWS. resumed: the run that it would resume.

    Raises:
        ConfigError: the run would be refused.

    """
    accounts = accounts_left(tx, request, resumed)
    stored = tx.resources.discoveries([account.id for account in accounts])
    asked = DiscoverOptions.of(request).source or choice
    planned = []
    for account in accounts:
        known = stored.get(account.id)
        source = choice_for(asked, known.source if known else None)
        planned.append(PlannedDiscovery(account=account, choice=source, stored=known))
    return DiscoveryPlan(today=today, discoveries=tuple(planned), resumes=resumed.key if resumed else None)
