"""What accounts are judged by: daily totals of the days that count, from memory or from the database."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import NamedTuple

from costbatch.application.stores import Transaction
from costbatch.domain.accounts import Account
from costbatch.domain.costs import CostColumns, DayTotal, FetchedCosts
from costbatch.domain.detection import (
    Rule,
    Series,
    comparable_series,
    comparable_service_totals,
    comparable_totals,
)
from costbatch.domain.periods import DateRange


class Asked(NamedTuple):
    """An account before the judge.

    totals: what the days of the window cost before, where they are not fresh.
    days: those whose cost counts: the judged ones and their baselines.
    """

    account: Account
    fetched: FetchedCosts
    totals: Sequence[DayTotal]
    days: DateRange


@dataclass(frozen=True)
class Evidence:
    """The daily cost of one account. ``total`` None: nothing comparable is stored of the days.

    Services are summed when first asked for: most accounts never need them.
    """

    total: Series | None
    _tx: Transaction
    _asked: Asked
    _rule: Rule

    @cached_property
    def services(self) -> dict[str, Series]:
        """The series of each service, in the currency and with the history of the total."""
        if self.total is None:
            return {}
        account, fetched, _, days = self._asked
        costs = fetched.costs
        if isinstance(costs, CostColumns) and _holds(fetched.fresh, days):
            totals_of = comparable_service_totals(costs, days, self._rule)
        else:
            totals_of = self._tx.costs.service_totals(account, days, self._rule)
        return {service: _like(self.total, totals) for service, totals in totals_of.items()}

    def services_in(self, days: DateRange) -> dict[str, Series]:
        """Return the series of each service, which hold these days at least."""
        account, fetched, _, _ = self._asked
        if self.total is None or isinstance(fetched.costs, CostColumns):
            return self.services
        # All days of all services of a large account would take more memory than its rows.
        totals_of = self._tx.costs.service_totals(account, days, self._rule)
        return {service: _like(self.total, totals) for service, totals in totals_of.items()}


def gather_evidence(tx: Transaction, asked: Sequence[Asked], rule: Rule) -> list[Evidence]:
    """Return what each account is judged by.

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
    begins = _first_days(tx, asked, totals)
    return [
        Evidence(
            comparable_series(totals[each.account.id], max(begins[each.account.id], each.days.start)),
            tx,
            each,
            rule,
        )
        for each in asked
    ]


def _totals_in_memory(asked: Asked, costs: CostColumns, rule: Rule) -> list[DayTotal]:
    """Return the comparable cost of each day with cost: fresh days as they were read, others as before."""
    _, fetched, before, days = asked
    fresh = fetched.fresh
    others = [
        total
        for total in before
        if total.usage_date in days and (fresh is None or total.usage_date not in fresh)
    ]
    return others + comparable_totals(costs, days, rule)


def _first_days(
    tx: Transaction, asked: Sequence[Asked], totals: Mapping[int, Sequence[DayTotal]]
) -> dict[int, date]:
    """Return the day with which each account's history begins, as far as the days that count go back."""
    begins = {each.account.id: each.days.start for each in asked}
    # With cost on the first day it goes back at least as far; otherwise the account may be younger.
    unsure = [row for row, start in begins.items() if all(total.usage_date != start for total in totals[row])]
    return begins | (tx.costs.first_days(unsure) if unsure else {})


def _holds(held: DateRange | None, days: DateRange) -> bool:
    return held is not None and held.start <= days.start and days.end_exclusive <= held.end_exclusive


def _like(total: Series, totals: Sequence[DayTotal]) -> Series:
    amounts = {
        each.usage_date: each.amount
        for each in totals
        if each.currency == total.currency and each.usage_date >= total.first_day
    }
    return Series(total.currency, total.first_day, amounts)
