"""Which accounts and days a run would read: checked before anything is opened, paid or written."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from math import ceil

from costbatch.application.collect.root_causes import list_unexplained
from costbatch.application.ports import Transaction
from costbatch.application.selection import accounts_left
from costbatch.domain.accounts import NO_PROGRESS, Progress
from costbatch.domain.causes import CausePolicy
from costbatch.domain.collection import CollectOptions
from costbatch.domain.periods import (
    DateRange,
    WindowPolicy,
    collection_window,
    earliest_available,
    month_start,
)
from costbatch.domain.plans import CollectionPlan, PlannedCauses, PlannedCollection
from costbatch.domain.runs import Run, RunRequest
from costbatch.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanPolicy:
    """What the settings say of a run that is planned.

    most_requests: the cap of the whole run; None: there is none. causes: None: no root cause is asked for.
    """

    windows: WindowPolicy
    most_requests: int | None = None
    causes: CausePolicy | None = None


def check_days(days: DateRange, *, today: date, policy: WindowPolicy) -> None:
    """Refuse the days of a backfill that AWS cannot give, or that are not kept.

    Raises:
        ConfigError: with the days to ask for instead.

    """
    if days.end_exclusive > today:
        raise ConfigError(
            f"{days.last} is not over yet; ask for days before {today} (today, UTC), whose cost is whole."
        )
    earliest = earliest_available(today)
    if days.start < earliest:
        raise ConfigError(f"AWS no longer gives the cost of {days.start}; ask for {earliest} or later.")
    if policy.keep_months is None:
        return
    first_kept = month_start(today, months_back=policy.keep_months)
    if days.start < first_kept:
        # They would be read, paid for, and dropped again at the end of the run.
        raise ConfigError(
            f"The cost of {days.start} is not kept, because COSTBATCH_KEEP_MONTHS is {policy.keep_months}; "
            f"ask for {first_kept} or later."
        )


def window_of(progress: Progress, options: CollectOptions, *, today: date, policy: WindowPolicy) -> DateRange:
    """Return the days that a run reads of an account."""
    return options.days_of(today) or collection_window(
        today, ordinary_end=progress.ordinary_end, policy=policy
    )


@dataclass(frozen=True, kw_only=True)
class _Estimate:
    """How many pages a window has. By account row (requests, days) of its newest and oldest collection."""

    newest: Mapping[int, tuple[int, int]]
    oldest: Mapping[int, tuple[int, int]]

    def of(self, account_id: int, days: int) -> tuple[int, bool]:
        """Return how many, and whether it is only known that they are not fewer."""
        if account_id not in self.newest:
            return self._of_new(days)
        requests, days_read = self.newest[account_id]
        by_newest = 1 + ceil(max(requests - 1, 0) * days / days_read)
        if days <= days_read:
            return by_newest, False
        # A single page does not tell how full it was, and so nothing of more days.
        requests, days_known = self.oldest.get(account_id, (0, 0))
        if days_known > days_read and requests > 1:
            # Its last page is taken for half full: a day more or less then makes no page.
            return max(by_newest, ceil((2 * requests - 1) * days / (2 * days_known))), False
        return by_newest, by_newest == 1 and days > days_known

    def _of_new(self, days: int) -> tuple[int, bool]:
        further, days_read, most_days = self._known
        # Each collection has a first page, however few its days; only further pages grow with them.
        return 1 + ceil(further * days / (days_read or 1)), not further and days > most_days

    @cached_property
    def _known(self) -> tuple[int, int, int]:
        """The further pages, the days and the most days of the oldest collections, counted once."""
        days = [days_read for _, days_read in self.oldest.values()]
        further = sum(max(requests - 1, 0) for requests, _ in self.oldest.values())
        return further, sum(days), max(days, default=0)


def plan_run(
    tx: Transaction,
    request: RunRequest,
    *,
    today: date,
    policy: PlanPolicy,
    resumed: Run | None = None,
) -> CollectionPlan:
    """Return what a run would read, without paying for anything.

    resumed: the run that it would resume, whose day is ``today``.
    The requests are estimated from each account's collections, or from those of the other accounts.

    Raises:
        ConfigError: the run would be refused.

    """
    options = CollectOptions.of(request)
    if days := options.days_of(today):
        check_days(days, today=today, policy=policy.windows)
    estimate = _Estimate(newest=tx.collections.last_requests(), oldest=tx.collections.first_requests())
    progress = tx.progress.load(request.job)
    planned = []
    for account in accounts_left(tx, request, resumed):
        window = window_of(progress.get(account.id, NO_PROGRESS), options, today=today, policy=policy.windows)
        requests, is_least = estimate.of(account.id, len(window))
        planned.append(
            PlannedCollection(account=account, window=window, api_requests=requests, is_least=is_least)
        )
    spent = tx.items.api_requests(resumed) if resumed else 0
    left = None if policy.most_requests is None else max(policy.most_requests - spent, 0)
    plan = CollectionPlan(
        today=today,
        collections=tuple(planned),
        is_backfill=options.is_backfill,
        resumes=resumed.key if resumed else None,
        requests_left=left,
    )
    if (causes := policy.causes) is None:
        return plan
    found = PlannedCauses(
        minimum=causes.minimum,
        open_anomalies=len(list_unexplained(tx, request, causes)),
        requests_left=None if left is None else left - plan.api_requests,
    )
    return replace(plan, root_causes=found)
