"""Imports the anomalies that AWS itself detected, and compares them with ours."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from costbatch.application.jobs.budget import ApiBudget, Meter
from costbatch.application.ports import Database
from costbatch.application.selection import select_accounts
from costbatch.application.sources import AwsAnomalySource
from costbatch.domain.accounts import NO_PROGRESS, Account, Failing, Progress
from costbatch.domain.anomalies import AnomalyFilter
from costbatch.domain.costs import REQUEST_PRICE_USD
from costbatch.domain.credentials import Access
from costbatch.domain.detection import Rule
from costbatch.domain.periods import ONE_DAY, DateRange, utc_day
from costbatch.domain.runs import SkipReason
from costbatch.domain.second_opinion import (
    ALL_KNOWN,
    AWS_KEEPS,
    IMPORT,
    NOTHING_SAVED,
    AwsAnomaly,
    Compared,
    NotKnown,
    Opinion,
    SavedOpinions,
    compare,
    not_known_of,
)
from costbatch.errors import AccountError, BudgetSpent, ConfigError, CostbatchError, ErrorKind
from costbatch.logs import get_logger

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpinionReport:
    """What was imported, and who found what. failures: why an account was not read, by 12-digit id.

    asked: the days that AWS still has; None: it has none of them. not_known: where AWS was not asked, in this
    import or an earlier one, so that nothing can be ours alone.
    """

    days: DateRange
    accounts: int
    asked: DateRange | None = None
    not_known: NotKnown = ALL_KNOWN
    requests: int = 0
    saved: SavedOpinions = NOTHING_SAVED
    failures: Mapping[str, str] = field(default_factory=dict)
    compared: Sequence[Compared] = ()

    @property
    def read(self) -> int:
        """How many accounts were read."""
        return self.accounts - len(self.failures) if self.asked else 0

    @property
    def cost_usd(self) -> Decimal:
        """What the requests cost, if AWS charges them as those for cost."""
        return self.requests * REQUEST_PRICE_USD

    def count(self, opinion: Opinion) -> int:
        """Return how many there are."""
        return sum(each.opinion is opinion for each in self.compared)

    def to_document(self) -> dict[str, Any]:
        """Return the report as JSON has it."""
        return {
            "from": self.days.start.isoformat(),
            "to": self.days.last.isoformat(),
            "accounts": self.accounts,
            "accounts_read": self.read,
            "accounts_not_compared": self.not_known.accounts,
            "api_requests": self.requests,
            "api_cost_usd": f"{self.cost_usd:f}",
            "imported": self.saved._asdict(),
            "not_known": self.not_known.to_document(),
            "failures": dict(self.failures),
            "counts": {
                "both": self.count(Opinion.BOTH),
                "only_aws": self.count(Opinion.ONLY_AWS),
                "only_we": self.count(Opinion.ONLY_WE),
            },
            "anomalies": [each.to_document() for each in self.compared],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondOpinion:
    """Asks AWS account by account; each is stored by itself. most_requests: the cap; None: there is none."""

    database: Database
    source: AwsAnomalySource
    rule: Rule
    now: Callable[[], datetime]
    most_requests: int | None = None

    def run(self, days: DateRange, aws_account_ids: Sequence[str] = ()) -> OpinionReport:
        """Import what AWS still has of the days, and compare all that is stored of them.

        Raises:
            ConfigError: an account is not registered or not active.
            CostbatchError: no account could be read; the text says why.

        """
        self.database.check_schema()
        with self.database.transaction() as tx:
            accounts = select_accounts(tx, list(dict.fromkeys(aws_account_ids)))
            accesses = tx.accounts.load_accesses(accounts)
            before = tx.progress.load(IMPORT, [account.id for account in accounts])
        if not accounts:
            raise ConfigError("No account is active; `costbatch accounts list` shows them all.")
        asked = self._days_to_ask(days)
        # Under a standing cap each gets its turn.
        accounts.sort(key=lambda account: _turn(before.get(account.id, NO_PROGRESS), asked))
        read = self._import(accounts, accesses, before, days, asked)
        if len(read.failures) == len(accounts):
            raise CostbatchError(next(iter(read.failures.values())))
        with self.database.transaction() as tx:
            names = {account.id: account.aws_account_id for account in accounts}
            gap = self.rule.merge_window
            wide = days.widened(gap)
            wanted = AnomalyFilter(aws_account_ids=list(names.values()), since=wide.start)
            ours = [(names[each.account_id], each) for each in tx.anomalies.list_matching(wanted)]
            theirs = tx.aws_anomalies.load(wide)
            paid_for = set[str]().union(*tx.first_charges.services(names).values())
            progress = tx.progress.load(IMPORT, names)
        # Also of an account that was not read this time: what earlier imports asked about it is stored.
        covered = {name: progress.get(row, NO_PROGRESS).covered for row, name in names.items()}
        found, left_out = compare(theirs, ours, accounts=covered, services=paid_for, days=days, gap=gap)
        end = max(min(days.end_exclusive, utc_day(self.now()) + ONE_DAY), days.start + ONE_DAY)
        not_known = not_known_of(covered.values(), DateRange(days.start, end), left_out)
        return replace(read, compared=found, not_known=not_known)

    def _days_to_ask(self, days: DateRange) -> DateRange | None:
        """Return the days and those around them that AWS still has; what is older, it has forgotten."""
        wide, today = days.widened(self.rule.merge_window), utc_day(self.now())
        start, end = max(wide.start, today - AWS_KEEPS + ONE_DAY), min(wide.end_exclusive, today + ONE_DAY)
        return DateRange(start, end) if start < end else None

    def _with_days_between(self, asked: DateRange, covered: DateRange | None) -> DateRange:
        """Return the days to ask an account about: also those up to the days it was asked about before.

        One range tells what AWS was asked about, so that days apart would take the place of those before.
        Of days between that AWS has forgotten nothing can be known any more.
        """
        if covered is None:
            return asked
        start = min(asked.start, covered.end_exclusive)
        is_kept = start > utc_day(self.now()) - AWS_KEEPS
        return DateRange(start, max(asked.end_exclusive, covered.start)) if is_kept else asked

    def _import(
        self,
        accounts: Sequence[Account],
        accesses: Mapping[int, Access],
        before: Mapping[int, Progress],
        days: DateRange,
        asked: DateRange | None,
    ) -> OpinionReport:
        """Read and store what AWS has of the days to ask about."""
        report = OpinionReport(days=days, accounts=len(accounts), asked=asked)
        if asked is None:
            return report
        budget = ApiBudget(self.most_requests)
        for account in accounts:
            meter = Meter(budget)
            found, problem, kind = list[AwsAnomaly](), "", ErrorKind.INTERNAL.value
            window = self._with_days_between(asked, before.get(account.id, NO_PROGRESS).covered)
            try:
                found = self.source.fetch_anomalies(accesses[account.id], window, meter)
            except AccountError as error:
                problem, kind = str(error), error.kind.value
            except BudgetSpent as error:
                problem, kind = str(error), SkipReason.API_COST_CAP.value
            except Exception:
                log.exception("aws_anomalies_crashed", aws_account_id=account.aws_account_id)
                problem = ErrorKind.INTERNAL.advice
            meter.close()
            report = replace(report, requests=report.requests + meter.requests)
            if problem:
                report = replace(report, failures={**report.failures, account.aws_account_id: problem})
                if not meter.requests:
                    continue  # it takes nothing from the turns of others
            with self.database.transaction() as tx:
                progress = tx.progress.load(IMPORT, [account.id]).get(account.id, NO_PROGRESS)
                if problem:
                    # The last attempt, not the first: it is when the account had its turn.
                    progress = replace(progress, failing=Failing(since=self.now(), kind=kind))
                else:
                    saved = tx.aws_anomalies.save(account.id, found, now=self.now())
                    report = replace(report, saved=report.saved.plus(saved))
                    progress = replace(progress.extended(window, is_ordinary=True), failing=None)
                tx.progress.save(IMPORT, {account.id: progress})
        return report


def _turn(progress: Progress, asked: DateRange | None) -> tuple[bool, date]:
    """Return what an account's turn follows from: the smallest comes first.

    That is who was not asked about all of these days yet, then whose newest day is the oldest. An attempt
    that was paid and failed counts as a day, too.
    """
    covered, failing = progress.covered, progress.failing
    is_read = bool(covered and asked and covered.touches(asked) and covered.join(asked) == covered)
    newest = covered.end_exclusive if covered else date.min
    return is_read, max(newest, utc_day(failing.since) + ONE_DAY) if failing else newest
