"""What the month will cost, of each account and in total."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from operator import itemgetter

from costbatch.application.ports import Database, Transaction
from costbatch.application.selection import check_registered
from costbatch.domain.accounts import NO_PROGRESS
from costbatch.domain.collection import COLLECT
from costbatch.domain.detection import Rule
from costbatch.domain.forecast import Forecast, forecast_month, history_of, sum_forecasts
from costbatch.domain.periods import ONE_DAY, month_start


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecasts:
    """Forecasts from what is stored; writes nothing.

    Raises:
        ConfigError: the schema does not fit, or an account is not registered.
        StorageError: the database is unreachable.

    """

    database: Database
    rule: Rule

    def month(self, today: date, aws_account_ids: Sequence[str] = ()) -> list[Forecast]:
        """Return the forecast of each account in each currency, then of all of these together.

        The total is forecast as a series of its own: it is steadier than its parts, and not their exact sum.
        Accounts that were not collected as far as others are a part of it that is forecast by itself.
        """
        self.database.check_schema()
        with self.database.transaction() as tx:
            check_registered(tx, aws_account_ids)
            costs = tx.costs.cost_by_day(
                history_of(today), self.rule, by_account=True, aws_account_ids=aws_account_ids
            )
            known = _Known.load(tx, today, aws_account_ids)
        amounts: defaultdict[tuple[str, str], dict[date, Decimal]] = defaultdict(dict)
        sums: _Sums = defaultdict(lambda: defaultdict(Decimal))
        for account, (day, currency, amount) in costs:
            amounts[account, currency][day] = amount
            sums[currency, known.end_of(account)][day] += amount
        found = [
            forecast_month(
                mine,
                today=today,
                known_until=known.until.get(account, today),
                settle_days=self.rule.settle_days,
                currency=currency,
                aws_account_id=account,
            )
            for (account, currency), mine in sorted(amounts.items())
        ]
        return found + _of_totals(sums, today, self.rule)


def forecast_totals(tx: Transaction, today: date, rule: Rule) -> list[Forecast]:
    """Return the forecast of all accounts together, by currency."""
    known, days = _Known.load(tx, today), history_of(today)
    sums: _Sums = defaultdict(lambda: defaultdict(Decimal))
    for _, (day, currency, amount) in tx.costs.cost_by_day(days, rule, by_account=False):
        sums[currency, known.newest][day] += amount
    for end, accounts in known.behind.items():
        for _, (day, currency, amount) in tx.costs.cost_by_day(
            days, rule, by_account=False, aws_account_ids=accounts
        ):
            sums[currency, end][day] += amount
            sums[currency, known.newest][day] -= amount
    return _of_totals(sums, today, rule)


# By currency and the end of what is known: the cost of each day.
_Sums = defaultdict[tuple[str, date], defaultdict[date, Decimal]]


@dataclass(frozen=True, slots=True)
class _Known:
    """Until when each account was collected: what is missing of those that failed is not zero.

    until: the day after the last stored one, by account. newest: the latest of these, today at most.
    """

    until: Mapping[str, date]
    newest: date
    month: date

    @classmethod
    def load(cls, tx: Transaction, today: date, aws_account_ids: Sequence[str] = ()) -> "_Known":
        progress = tx.progress.load(COLLECT)
        until = {
            account.aws_account_id: covered.end_exclusive
            for account in tx.accounts.list_all()
            if (covered := progress.get(account.id, NO_PROGRESS).covered) is not None
            and (not aws_account_ids or account.aws_account_id in aws_account_ids)
        }
        newest = min(max(until.values(), default=today), today)
        return cls(until, newest, month_start(today - ONE_DAY))

    def end_of(self, aws_account_id: str) -> date:
        """Return until when an account is known, for the total: nothing is expected of an old one."""
        end = self.until.get(aws_account_id, self.newest)
        return end if self.month <= end < self.newest else self.newest

    @property
    def behind(self) -> Mapping[date, Sequence[str]]:
        """The accounts that are known less far than others, by their end."""
        found: defaultdict[date, list[str]] = defaultdict(list)
        for account in self.until:
            if (end := self.end_of(account)) != self.newest:
                found[end].append(account)
        return found


def _of_totals(sums: _Sums, today: date, rule: Rule) -> list[Forecast]:
    """Forecast together the accounts that are known equally far, and add these up."""
    parts: defaultdict[str, list[Forecast]] = defaultdict(list)
    for (currency, end), amounts in sorted(sums.items(), key=itemgetter(0), reverse=True):
        # All accounts with this currency may be behind.
        if any(amounts.values()):
            part = forecast_month(
                amounts, today=today, known_until=end, settle_days=rule.settle_days, currency=currency
            )
            parts[currency].append(part)
    return [sum_forecasts(mine) for _, mine in sorted(parts.items())]
