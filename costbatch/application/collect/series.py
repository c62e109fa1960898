"""The daily series that anomalies are detected in: from memory if possible, else from the database."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from functools import cached_property
from typing import NamedTuple
from uuid import UUID

from costbatch.application.ports import Transaction
from costbatch.domain.accounts import Account
from costbatch.domain.anomalies import TREND_DAYS, Anomaly, Trend
from costbatch.domain.costs import CostColumns, DayTotal, FetchedCosts
from costbatch.domain.currencies import comparable_series, history_start
from costbatch.domain.detection import ZERO, Rule, Series, comparable_service_totals, comparable_totals
from costbatch.domain.expectations import SeriesDay
from costbatch.domain.periods import DateRange

# Of how many days the costs of all services are read at a time: a history of some accounts takes gigabytes.
DAYS_AT_ONCE = 31
# Of how many accounts the costs of the open anomalies are read at a time: each may have many services.
_ACCOUNTS_AT_ONCE = 16


class SeriesRequest(NamedTuple):
    """An account whose days are compared.

    totals: what the days of the window cost before, if they have not changed.
    days: those whose cost counts: the days to judge and their baselines. unknown: see ``Progress``.
    """

    account: Account
    fetched: FetchedCosts
    totals: Sequence[DayTotal]
    days: DateRange
    unknown: frozenset[date] = frozenset()


@dataclass(frozen=True)
class AccountSeries:
    """The daily cost of one account. ``totals``: by currency; a currency without cost in the days is missing.

    Services are summed when first asked for: most accounts never need them.
    """

    totals: Mapping[str, Series]
    _tx: Transaction
    _asked: SeriesRequest
    _rule: Rule

    def services(self, currency: str, days: DateRange | None = None) -> dict[str, Series]:
        """Return the series of each service in a currency, with the history of the currency's total.

        days: those that are needed, if not all: of a large account, the days of all services would take more
        memory than its rows.
        """
        total = self.totals.get(currency)
        if total is None:
            return {}
        if days is None or isinstance(self._asked.fetched.costs, CostColumns):
            totals_of = self._service_totals
        else:
            totals_of = self._tx.costs.service_totals(self._asked.account, days, self._rule)
        found = {}
        for service, totals in totals_of.items():
            amounts = {each.usage_date: each.amount for each in totals if each.currency == currency}
            if amounts:
                found[service] = replace(total, amounts=amounts)
        return found

    @cached_property
    def _service_totals(self) -> Mapping[str, Sequence[DayTotal]]:
        account, fetched, _, days, _ = self._asked
        costs = fetched.costs
        if isinstance(costs, CostColumns) and _holds(fetched.changed_days, days):
            return comparable_service_totals(costs, days, self._rule)
        return self._tx.costs.service_totals(account, days, self._rule)


def load_days(
    tx: Transaction, account: Account, anomaly: Anomaly, days: DateRange, rule: Rule
) -> tuple[SeriesDay, ...]:
    """Return what the series of an anomaly cost on each day, and how it was judged; zero without cost."""
    service, currency = anomaly.service, anomaly.currency
    if service is None:
        totals = tx.costs.day_totals({account.id: days}, rule)[account.id]
    else:
        totals = tx.costs.service_totals(account, days, rule).get(service, [])
    amounts = _amounts_in(currency, totals)
    judged = tx.expectations.of_series(account.id, service, currency, days)
    return tuple(SeriesDay(day, amounts.get(day, ZERO), judged.get(day)) for day in days)


def load_amounts(
    tx: Transaction, asked: Sequence[tuple[Anomaly, DateRange]], rule: Rule
) -> dict[UUID, tuple[SeriesDay, ...]]:
    """Return what the series of each anomaly cost on its days, by its id, without how they were judged.

    Many accounts at once: thousands of anomalies may be open.
    """
    by_days: dict[DateRange, dict[int, list[Anomaly]]] = {}
    for anomaly, days in asked:
        by_days.setdefault(days, {}).setdefault(anomaly.account_id, []).append(anomaly)
    found = {}
    for days, of_accounts in by_days.items():
        rows = sorted(of_accounts)
        for place in range(0, len(rows), _ACCOUNTS_AT_ONCE):
            some = [each for row in rows[place : place + _ACCOUNTS_AT_ONCE] for each in of_accounts[row]]
            whole = {each.account_id: days for each in some if each.service is None}
            parts = {each.account_id: days for each in some if each.service is not None}
            totals = tx.costs.day_totals(whole, rule) if whole else {}
            services = tx.costs.service_totals_of(parts, rule) if parts else {}
            for each in some:
                row, service = each.account_id, each.service
                series = totals[row] if service is None else services[row].get(service, [])
                amounts = _amounts_in(each.currency, series)
                found[each.id] = tuple(SeriesDay(day, amounts.get(day, ZERO)) for day in days)
    return found


def _amounts_in(currency: str, totals: Sequence[DayTotal]) -> dict[date, Decimal]:
    return {total.usage_date: total.amount for total in totals if total.currency == currency}


def load_trend(
    tx: Transaction, account: Account, anomaly: Anomaly, stored: DateRange, rule: Rule, *, today: date
) -> Trend:
    """Return the daily cost up to the newest stored day, from the first day that cost anything."""
    newest, currency = stored.last, anomaly.currency
    days = DateRange(max(newest - timedelta(days=TREND_DAYS - 1), stored.start), stored.end_exclusive)
    first = tx.costs.first_days({account.id: [currency]}).get((account.id, currency), date.max)
    known = [each for each in load_days(tx, account, anomaly, days, rule) if each.usage_date >= first]
    is_complete = newest <= rule.last_settled_day(today)
    return Trend(newest=newest, is_complete=is_complete, days=tuple(known))


def load_series(tx: Transaction, asked: Sequence[SeriesRequest], rule: Rule) -> dict[int, AccountSeries]:
    """Return the series of each account, by its row.

    An ordinary window holds every day that counts, so that the database need not sum them again.
    """
    totals: dict[int, list[DayTotal]] = {}
    elsewhere: dict[int, DateRange] = {}
    for each in asked:
        costs = each.fetched.costs
        if isinstance(costs, CostColumns) and _holds(each.fetched.window, each.days):
            totals[each.account.id] = _totals_in_memory(each, costs, rule)
        else:
            # The database has also unpacked what is packed.
            elsewhere[each.account.id] = each.days
    if elsewhere:
        totals |= tx.costs.day_totals(elsewhere, rule)
    first_days = _first_days(tx, asked, totals)
    series: dict[int, AccountSeries] = {}
    for each in asked:
        row = each.account.id
        earliest = min(first_days[row].values(), default=each.days.start)
        if earliest > each.days.start:
            begin = known_from(tx, each.account, earliest, rule)
            first_days[row] = {
                currency: begin if first == earliest else first for currency, first in first_days[row].items()
            }
        by_currency = comparable_series(totals[row], first_days[row], each.days.start, rule, each.unknown)
        series[row] = AccountSeries(by_currency, tx, each, rule)
    return series


def known_from(tx: Transaction, account: Account, first: date, rule: Rule) -> date:
    """Return from when on it is known what a currency costs, whose first day with cost is given.

    An account that cost something before, in another currency, was not quiet.
    """
    begin = history_start(first, account.created_at)
    if begin < first:
        before = tx.costs.day_totals({account.id: DateRange(begin, first)}, rule)[account.id]
        if any(total.amount for total in before):
            return first
    return begin


def _totals_in_memory(asked: SeriesRequest, costs: CostColumns, rule: Rule) -> list[DayTotal]:
    """Return the comparable cost of each day with cost: changed days as they were read, others as before."""
    _, fetched, before, days, _ = asked
    changed = fetched.changed_days
    start, end_exclusive = days.start, days.end_exclusive
    others = [
        total
        for total in before
        if start <= total.usage_date < end_exclusive and (changed is None or total.usage_date not in changed)
    ]
    return others + comparable_totals(costs, days, rule)


def _first_days(
    tx: Transaction, asked: Sequence[SeriesRequest], totals: Mapping[int, Sequence[DayTotal]]
) -> dict[int, dict[str, date]]:
    """Return, by account row and currency, when its history begins, or the first day that counts."""
    starts = {each.account.id: each.days.start for each in asked}
    currencies = {row: {total.currency for total in totals[row]} for row in starts}
    # With cost on the first day it goes back at least as far; otherwise it may be younger. Of several
    # currencies it is also to be known which one came after which.
    unsure = {
        row: found
        for row, found in currencies.items()
        if len(found) > 1 or all(total.usage_date != starts[row] for total in totals[row])
    }
    known = tx.costs.first_days(unsure) if any(unsure.values()) else {}
    return {
        row: {currency: known.get((row, currency), starts[row]) for currency in found}
        for row, found in currencies.items()
    }


def _holds(held: DateRange | None, days: DateRange) -> bool:
    return held is not None and held.start <= days.start and days.end_exclusive <= held.end_exclusive
