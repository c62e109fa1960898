"""Imports the anomalies that AWS itself detected, and compares them with ours."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from costbatch.application.jobs.budget import ApiBudget, Meter
from costbatch.application.ports import Database
from costbatch.application.selection import select_accounts
from costbatch.application.sources import AwsAnomalySource
from costbatch.domain.accounts import Account
from costbatch.domain.anomalies import AnomalyFilter
from costbatch.domain.costs import REQUEST_PRICE_USD
from costbatch.domain.credentials import Access
from costbatch.domain.detection import Rule
from costbatch.domain.periods import ONE_DAY, DateRange, utc_day
from costbatch.domain.second_opinion import (
    AWS_KEEPS,
    NOTHING_SAVED,
    AwsAnomaly,
    Compared,
    Opinion,
    SavedOpinions,
    compare,
)
from costbatch.errors import AccountError, BudgetSpent, ConfigError, CostbatchError, ErrorKind
from costbatch.logs import get_logger

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpinionReport:
    """What was imported, and who found what. failures: why an account was not read, by 12-digit id."""

    days: DateRange
    accounts: int
    requests: int = 0
    saved: SavedOpinions = NOTHING_SAVED
    failures: Mapping[str, str] = field(default_factory=dict)
    compared: Sequence[Compared] = ()

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
            "api_requests": self.requests,
            "api_cost_usd": f"{self.cost_usd:f}",
            "imported": self.saved._asdict(),
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
            accounts = select_accounts(tx, aws_account_ids)
            accesses = tx.accounts.load_accesses(accounts)
        if not accounts:
            raise ConfigError("No account is active; `costbatch accounts list` shows them all.")
        read = self._import(accounts, accesses, days)
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
        compared = compare(theirs, ours, accounts=names.values(), services=paid_for, days=days, gap=gap)
        return replace(read, compared=compared)

    def _import(
        self, accounts: Sequence[Account], accesses: Mapping[int, Access], days: DateRange
    ) -> OpinionReport:
        """Read and store what AWS has of the days and those around them; what is older, it has forgotten."""
        report = OpinionReport(days=days, accounts=len(accounts))
        wide, today = days.widened(self.rule.merge_window), utc_day(self.now())
        start, end = max(wide.start, today - AWS_KEEPS + ONE_DAY), min(wide.end_exclusive, today + ONE_DAY)
        if start >= end:
            return report
        asked, budget = DateRange(start, end), ApiBudget(self.most_requests)
        for account in accounts:
            meter = Meter(budget)
            found, problem = list[AwsAnomaly](), ""
            try:
                found = self.source.fetch_anomalies(accesses[account.id], asked, meter)
            except (AccountError, BudgetSpent) as error:
                problem = str(error)
            except Exception:
                log.exception("aws_anomalies_crashed", aws_account_id=account.aws_account_id)
                problem = ErrorKind.INTERNAL.advice
            meter.close()
            report = replace(report, requests=report.requests + meter.requests)
            if problem:
                report = replace(report, failures={**report.failures, account.aws_account_id: problem})
                continue
            with self.database.transaction() as tx:
                saved = tx.aws_anomalies.save(account.id, found, now=self.now())
            report = replace(report, saved=report.saved.plus(saved))
        return report
