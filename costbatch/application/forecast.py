"""What the month will cost, of each account and in total."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from operator import itemgetter

from costbatch.application.ports import Database, Transaction
from costbatch.application.selection import check_registered
from costbatch.domain.accounts import NO_PROGRESS, Account, AccountStatus, Progress
from costbatch.domain.collection import COLLECT
from costbatch.domain.costs import DayTotal
from costbatch.domain.currencies import comparable_series
from costbatch.domain.detection import Rule
from costbatch.domain.forecast import (
    NOTHING_MISSING,
    Forecast,
    forecast_month,
    history_of,
    missing_of,
    sum_forecasts,
)
from costbatch.domain.periods import ONE_DAY, DateRange, month_start

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
        days = history_of(today)
        with self.database.transaction() as tx:
            check_registered(tx, aws_account_ids)
            costs = tx.costs.cost_by_day(days, self.rule, by_account=True, aws_account_ids=aws_account_ids)
            progress = tx.progress.load(COLLECT)
            accounts = [
                each
                for each in tx.accounts.list_all()
                if not aws_account_ids or each.aws_account_id in aws_account_ids
            ]
            amounts = _by_series(costs)
            known = replace(
                _known(accounts, progress, today), replaced=_replaced(tx, accounts, amounts, days, self.rule)
            )
        sums, missing = _no_sums(), _no_sums()
        missing_of_account = _missing(amounts, _unknown(accounts, progress, today))
        found = []
        for (account, currency), mine in sorted(amounts.items()):
            end, short = known.end(account, currency), missing_of_account.get((account, currency))
            _add(sums[currency, end], mine)
            _add(missing[currency, end], short or {})
            forecast = forecast_month(
                mine,
                today=today,
                known=_range(known.starts.get(account, date.min), end),
                settle_days=self.rule.settle_days,
                currency=currency,
                missing=short or NOTHING_MISSING,
            )
            found.append(replace(forecast, aws_account_id=account))
        return found + _of_totals(sums, missing, known, today, self.rule)


def forecast_totals(tx: Transaction, today: date, rule: Rule) -> list[Forecast]:
    """Return the forecast of all accounts together, by currency."""
    accounts, progress = tx.accounts.list_all(), tx.progress.load(COLLECT)
    known = _known(accounts, progress, today)
    by_end: defaultdict[date, list[str]] = defaultdict(list)
    for account, until in known.behind.items():
        by_end[until].append(account)
    days = history_of(today)
    sums, missing = _no_sums(), _no_sums()
    for _, (day, currency, amount) in tx.costs.cost_by_day(days, rule, by_account=False):
        sums[currency, known.newest][day] += amount
    currencies = {currency for currency, _ in sums}
    for end, ids in by_end.items():
        for _, (day, currency, amount) in tx.costs.cost_by_day(
            days, rule, by_account=False, aws_account_ids=ids
        ):
            sums[currency, end][day] += amount
            sums[currency, known.newest][day] -= amount
    unknown = _unknown(accounts, progress, today)
    if apart := {*unknown, *_with_several(tx, accounts, currencies)}:
        amounts = _by_series(tx.costs.cost_by_day(days, rule, by_account=True, aws_account_ids=apart))
        replaced = _replaced(tx, accounts, amounts, days, rule)
        for account, currency in replaced:
            mine = amounts[account, currency]
            _add(sums[currency, known.end(account, currency)], {day: -each for day, each in mine.items()})
            _add(sums[currency, known.nothing_expected], mine)
        known = replace(known, replaced=replaced)
        for (account, currency), mine in _missing(amounts, unknown).items():
            _add(missing[currency, known.end(account, currency)], mine)
    return _of_totals(sums, missing, known, today, rule)


def _by_series(costs: Iterable[tuple[str, DayTotal]]) -> dict[tuple[str, str], dict[date, Decimal]]:
    """Return the cost of each day by account and currency."""
    amounts: defaultdict[tuple[str, str], dict[date, Decimal]] = defaultdict(dict)
    for account, (day, currency, amount) in costs:
        amounts[account, currency][day] = amount
    return dict(amounts)


def _with_several(tx: Transaction, accounts: Sequence[Account], currencies: Collection[str]) -> set[str]:
    """Return the accounts that ever cost something in more than one of these currencies."""
    if len(currencies) <= 1:
        return set()
    found = Counter(row for row, _ in tx.costs.first_days({each.id: currencies for each in accounts}))
    return {each.aws_account_id for each in accounts if found[each.id] > 1}


def _replaced(
    tx: Transaction,
    accounts: Sequence[Account],
    amounts: Mapping[tuple[str, str], Mapping[date, Decimal]],
    days: DateRange,
    rule: Rule,
) -> set[tuple[str, str]]:
    """Return the accounts and currencies in whose place another currency came."""
    totals: defaultdict[str, list[DayTotal]] = defaultdict(list)
    for (account, currency), mine in amounts.items():
        totals[account] += [DayTotal(day, currency, amount) for day, amount in mine.items()]
    several = {
        each: {total.currency for total in totals[each.aws_account_id]}
        for each in accounts
        if len({total.currency for total in totals.get(each.aws_account_id, ())}) > 1
    }
    first = tx.costs.first_days({each.id: found for each, found in several.items()}) if several else {}
    return {
        (account.aws_account_id, currency)
        for account, currencies in several.items()
        for currency, series in comparable_series(
            totals[account.aws_account_id],
            {each: first.get((account.id, each), days.start) for each in currencies},
            days.start,
            rule,
        ).items()
        if series.last_day is not None
    }


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """Which days are known. newest: the day after the last one; behind: that of each account that is behind.

    starts: the first day of each account that was collected. replaced: the accounts and currencies of which,
    as of an account that was removed, nothing more is expected.
    """

    newest: date
    behind: Mapping[str, date]
    starts: Mapping[str, date]
    nothing_expected: date
    replaced: Collection[tuple[str, str]] = ()

    def end(self, account: str, currency: str) -> date:
        """Return the day after the last known one of what an account costs in a currency."""
        is_replaced = (account, currency) in self.replaced
        return self.nothing_expected if is_replaced else self.behind.get(account, self.newest)

    def start(self, end: date) -> date:
        """Return the first known day of the accounts that are known up to a day."""
        found = (start for account, start in self.starts.items() if self.end(account, "") == end)
        return min(found, default=date.min)


def _known(accounts: Sequence[Account], progress: Mapping[int, Progress], today: date) -> _Known:
    """Return which days are known of these accounts.

    Their missing days are not zeros, and neither are those before they were collected, of which a backfill
    has read some. All that were removed or not collected this month are alike: nothing is
    expected. So are those that only backfills have read: it is not known when they were last complete.
    """
    nothing_expected, ends = _nothing_expected(today), dict[str, date]()
    starts = dict[str, date]()
    for each in accounts:
        covered, is_removed = progress.get(each.id, NO_PROGRESS).covered, each.status is AccountStatus.REMOVED
        end = nothing_expected if covered is None or is_removed else covered.end_exclusive
        ends[each.aws_account_id] = max(end, nothing_expected)
        if covered is not None:
            starts[each.aws_account_id] = covered.start
    newest = min(max(ends.values(), default=today), today)
    return _Known(
        newest=newest,
        behind={account: end for account, end in ends.items() if end < newest},
        starts=starts,
        nothing_expected=nothing_expected,
    )


def _range(start: date, end_exclusive: date) -> DateRange:
    """Return the known days; of what nothing is expected of they may end before they begin."""
    return DateRange(min(start, end_exclusive - ONE_DAY), end_exclusive)


def _nothing_expected(today: date) -> date:
    """Return the end of what is known that leaves nothing to expect of this month."""
    return month_start(today - ONE_DAY) - ONE_DAY


def _of_totals(sums: _Sums, missing: _Sums, known: _Known, today: date, rule: Rule) -> list[Forecast]:
    """Forecast together the accounts that are known equally far, and add these up."""
    groups: defaultdict[str, list[tuple[date, Mapping[date, Decimal]]]] = defaultdict(list)
    for (currency, end), amounts in sorted(sums.items(), key=itemgetter(0), reverse=True):
        groups[currency].append((end, amounts))
    found = []
    for currency, mine in sorted(groups.items()):
        # All accounts with this currency may be behind.
        parts = [(end, amounts) for end, amounts in mine if any(amounts.values())] or mine[:1]
        going_on, over = list[Forecast](), list[Forecast]()
        for end, of_day in parts:
            forecast = forecast_month(
                of_day,
                today=today,
                known=_range(known.start(end), end),
                settle_days=rule.settle_days,
                currency=currency,
                missing=missing.get((currency, end), NOTHING_MISSING),
            )
            (over if end == known.nothing_expected else going_on).append(forecast)
        found.append(sum_forecasts(going_on, over))
    return found
