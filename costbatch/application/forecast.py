"""What the month will cost, of each account and in total."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from operator import itemgetter

from costbatch.application.ports import Database, Transaction
from costbatch.application.selection import check_registered
from costbatch.domain.accounts import NO_PROGRESS, Account, AccountStatus, Progress
from costbatch.domain.collection import COLLECT
from costbatch.domain.detection import Rule
from costbatch.domain.forecast import (
    NOTHING_MISSING,
    Forecast,
    forecast_month,
    history_of,
    missing_of,
    sum_forecasts,
)
from costbatch.domain.periods import ONE_DAY, month_start

# By currency and the end of what is known: the cost of each day.
_Sums = defaultdict[tuple[str, date], defaultdict[date, Decimal]]


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
            progress = tx.progress.load(COLLECT)
            registered = tx.accounts.list_all()
        accounts = [
            each for each in registered if not aws_account_ids or each.aws_account_id in aws_account_ids
        ]
        newest, behind = _ends(accounts, progress, today)
        amounts: defaultdict[tuple[str, str], dict[date, Decimal]] = defaultdict(dict)
        sums, missing = _no_sums(), _no_sums()
        for account, (day, currency, amount) in costs:
            amounts[account, currency][day] = amount
            sums[currency, behind.get(account, newest)][day] += amount
        unknown = _unknown(accounts, progress, today)
        missing_of_account = _missing(amounts, unknown)
        for (account, currency), mine in missing_of_account.items():
            _add(missing[currency, behind.get(account, newest)], mine)
        found = []
        for (account, currency), mine in sorted(amounts.items()):
            forecast = forecast_month(
                mine,
                today=today,
                known_until=behind.get(account, newest),
                settle_days=self.rule.settle_days,
                currency=currency,
                missing=missing_of_account.get((account, currency), NOTHING_MISSING),
            )
            found.append(replace(forecast, aws_account_id=account))
        return found + _of_totals(sums, missing, today, self.rule)


def forecast_totals(tx: Transaction, today: date, rule: Rule) -> list[Forecast]:
    """Return the forecast of all accounts together, by currency."""
    accounts, progress = tx.accounts.list_all(), tx.progress.load(COLLECT)
    newest, behind = _ends(accounts, progress, today)
    by_end: defaultdict[date, list[str]] = defaultdict(list)
    for account, until in behind.items():
        by_end[until].append(account)
    days = history_of(today)
    sums, missing = _no_sums(), _no_sums()
    for _, (day, currency, amount) in tx.costs.cost_by_day(days, rule, by_account=False):
        sums[currency, newest][day] += amount
    for end, ids in by_end.items():
        for _, (day, currency, amount) in tx.costs.cost_by_day(
            days, rule, by_account=False, aws_account_ids=ids
        ):
            sums[currency, end][day] += amount
            sums[currency, newest][day] -= amount
    if unknown := _unknown(accounts, progress, today):
        amounts: defaultdict[tuple[str, str], dict[date, Decimal]] = defaultdict(dict)
        for account, (day, currency, amount) in tx.costs.cost_by_day(
            days, rule, by_account=True, aws_account_ids=[*unknown]
        ):
            amounts[account, currency][day] = amount
        for (account, currency), mine in _missing(amounts, unknown).items():
            _add(missing[currency, behind.get(account, newest)], mine)
    return _of_totals(sums, missing, today, rule)


def _no_sums() -> _Sums:
    return defaultdict(lambda: defaultdict(Decimal))


def _add(sums: defaultdict[date, Decimal], amounts: Mapping[date, Decimal]) -> None:
    for day, amount in amounts.items():
        sums[day] += amount


def _unknown(
    accounts: Sequence[Account], progress: Mapping[int, Progress], today: date
) -> dict[str, frozenset[date]]:
    """Return the unknown days of the accounts that have any in the history: they stay unknown for good."""
    first = history_of(today).start
    unknown = {
        each.aws_account_id: frozenset(
            day for day in progress.get(each.id, NO_PROGRESS).unknown if day >= first
        )
        for each in accounts
    }
    return {account: days for account, days in unknown.items() if days}


def _missing(
    amounts: Mapping[tuple[str, str], Mapping[date, Decimal]], unknown: Mapping[str, frozenset[date]]
) -> dict[tuple[str, str], dict[date, Decimal]]:
    """Return what the unknown days of the accounts are short of, by account and currency."""
    return {
        (account, currency): missing_of(mine, unknown[account])
        for (account, currency), mine in amounts.items()
        if account in unknown
    }


def _ends(
    accounts: Sequence[Account], progress: Mapping[int, Progress], today: date
) -> tuple[date, dict[str, date]]:
    """Return the day after the last one that is known, and that of each account that is behind.

    Its missing days are not zeros. All that were removed or not collected this month are alike: nothing is
    expected. So are those that only backfills have read: it is not known when they were last complete.
    """
    nothing_expected, ends = _nothing_expected(today), dict[str, date]()
    for each in accounts:
        covered, is_removed = progress.get(each.id, NO_PROGRESS).covered, each.status is AccountStatus.REMOVED
        end = nothing_expected if covered is None or is_removed else covered.end_exclusive
        ends[each.aws_account_id] = max(end, nothing_expected)
    newest = min(max(ends.values(), default=today), today)
    return newest, {account: end for account, end in ends.items() if end < newest}


def _nothing_expected(today: date) -> date:
    """Return the end of what is known that leaves nothing to expect of this month."""
    return month_start(today - ONE_DAY) - ONE_DAY


def _of_totals(sums: _Sums, missing: _Sums, today: date, rule: Rule) -> list[Forecast]:
    """Forecast together the accounts that are known equally far, and add these up."""
    groups: defaultdict[str, list[tuple[date, Mapping[date, Decimal]]]] = defaultdict(list)
    for (currency, end), amounts in sorted(sums.items(), key=itemgetter(0), reverse=True):
        groups[currency].append((end, amounts))
    found = []
    nothing_expected = _nothing_expected(today)
    for currency, mine in sorted(groups.items()):
        # All accounts with this currency may be behind.
        parts = [(end, amounts) for end, amounts in mine if any(amounts.values())] or mine[:1]
        going_on, over = list[Forecast](), list[Forecast]()
        for end, known in parts:
            forecast = forecast_month(
                known,
                today=today,
                known_until=end,
                settle_days=rule.settle_days,
                currency=currency,
                missing=missing.get((currency, end), NOTHING_MISSING),
            )
            (over if end == nothing_expected else going_on).append(forecast)
        found.append(sum_forecasts(going_on, over))
    return found
