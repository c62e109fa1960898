"""Daily costs: replacing a window by COPY so that only what differs is written, and sums for judging."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.engine import Connection
from typing_extensions import override

from costbatch.adapters.postgres.copy_format import CopyNames, Pieces, copy_lines
from costbatch.adapters.postgres.cost_statements import (
    ADD_FIRST_VERSIONS,
    COPY_TO_COSTS,
    DELETE_VANISHED,
    STAGING,
    WRITE_DIFFERENCES,
)
from costbatch.adapters.postgres.cost_tables import cost_collections, daily_costs
from costbatch.adapters.postgres.partitions import create_partitions
from costbatch.adapters.postgres.tables import account_progress, accounts, run_items
from costbatch.application.ports import CostStore
from costbatch.domain.accounts import Account
from costbatch.domain.compared_costs import ONE_WEEK, Change, ComparedCost
from costbatch.domain.costs import DayTotal, FetchedCosts, ServiceTotals, StoredChange, StoredDay
from costbatch.domain.detection import Rule
from costbatch.domain.periods import ONE_DAY, DateRange
from costbatch.domain.runs import ItemState, Run
from costbatch.errors import StatementRefused

# One look into the index for each; a GROUP BY would read all that is stored of the accounts.
_FIRST_DAYS = sa.text("""
SELECT asked.account_id, asked.currency, first.day
FROM unnest(CAST(:account_ids AS bigint[]), CAST(:currencies AS text[])) AS asked(account_id, currency)
CROSS JOIN LATERAL (
    SELECT min(d.usage_date) AS day FROM daily_costs d
    WHERE d.account_id = asked.account_id AND d.currency = asked.currency) AS first
WHERE first.day IS NOT NULL
""")

# One look into the index for each account, whatever the statistics say.
_WITHOUT_COSTS = sa.text("""
SELECT accounts.id
FROM accounts LEFT JOIN LATERAL (
    SELECT true AS found FROM daily_costs WHERE account_id = accounts.id LIMIT 1) AS stored ON true
WHERE accounts.id = ANY(:account_ids) AND stored.found IS NULL
  AND NOT EXISTS (SELECT FROM cost_versions WHERE account_id = accounts.id)
""")

_STORED_DAYS = sa.text("""
SELECT account_id, usage_date, currency, count(*), sum(unblended),
    bool_or(unblended <> 0 OR amortized <> 0
        OR coalesce(net_unblended, 0) <> 0 OR coalesce(net_amortized, 0) <> 0)
FROM daily_costs
WHERE account_id = ANY(:account_ids) AND usage_date >= :start AND usage_date < :end_exclusive
GROUP BY account_id, usage_date, currency
""")

# One look into the index for each item. Without the limit the planner, which takes a new run for one row,
# joins each item with all records of the run: a quarter of a minute at 10,000 accounts.
_WINDOW_OF_ITEM = (
    sa.select(cost_collections.c.window_start, cost_collections.c.window_end_exclusive)
    .where(cost_collections.c.run_item_id == run_items.c.id)
    .limit(1)
    .lateral("window")
)

# An ordinary batch is sent at once: after each piece, psycopg2's own have 8 kB, the writer would have to wait
# again for the interpreter that the fetching threads share with it.
_MOST_LINES_AT_ONCE = 20_000


@dataclass(frozen=True, slots=True)
class PostgresCosts(CostStore):
    """The daily costs, within one transaction, and the ledger of what changed them, which it alone writes."""

    connection: Connection

    @override
    def prepare_months(self, days: DateRange) -> None:
        create_partitions(self.connection, days)

    @override
    def replace_windows(
        self, run: Run, fetched: Mapping[int, FetchedCosts], *, first: Collection[int] = ()
    ) -> dict[int, StoredChange]:
        changes = {row: StoredChange() for row in fetched}
        new: dict[int, FetchedCosts] = {}
        if with_costs := [row for row in first if len(fetched[row].costs)]:
            found = self.connection.scalars(_WITHOUT_COSTS, {"account_ids": with_costs})
            new = {row: fetched[row] for row in found}
        if new:
            # With nothing to compare, they need no staging.
            self._copy(COPY_TO_COSTS, new)
            versions = {"run_id": run.id, "night": run.today, "account_ids": list(new)}
            self.connection.execute(ADD_FIRST_VERSIONS, versions)
        for row, costs in new.items():
            days_with_rows = frozenset(day for day, digest in costs.digests.items() if digest.rows)
            changes[row] = StoredChange(inserted=len(costs.costs), changed_dates=days_with_rows)
        others = {row: costs for row, costs in fetched.items() if row not in new}
        # Most accounts of a run have the same changed days; constant bounds let the server skip other months.
        for days in dict.fromkeys(costs.changed_days for costs in others.values()):
            if days is not None:
                alike = {row: costs for row, costs in others.items() if costs.changed_days == days}
                changes |= self._replace_days(run, days, alike)
        return changes

    def _replace_days(
        self, run: Run, days: DateRange, fetched: Mapping[int, FetchedCosts]
    ) -> dict[int, StoredChange]:
        common = {
            "start": days.start,
            "end_exclusive": days.end_exclusive,
            "run_id": run.id,
            "night": run.today,
        }
        parameters = {**common, "account_ids": list(fetched)}
        self._copy(STAGING.copy, fetched)
        written = self.connection.execute(WRITE_DIFFERENCES, parameters).all()
        stored: Counter[int] = Counter()
        for line in written:
            stored[line.account_id] += line.stored_before + line.inserted
        # Every staged key is stored now, so a larger count means keys that AWS reports no more.
        shrunk = [row for row, each in fetched.items() if stored[row] != len(each.costs)]
        vanished: Sequence[sa.Row[tuple[int, date]]] = ()
        if shrunk:
            vanished = self.connection.execute(DELETE_VANISHED, {**common, "account_ids": shrunk}).all()
        stored.subtract(line.account_id for line in vanished)
        if any(stored[row] != len(each.costs) for row, each in fetched.items()):
            # Two amounts for one key cannot both be right.
            raise StatementRefused("The same row of costs was given twice.")
        return {row: _change_of(row, written, vanished) for row in fetched}

    @override
    def stored_days(self, days_of: Mapping[int, DateRange]) -> dict[int, list[StoredDay]]:
        stored: dict[int, list[StoredDay]] = {row: [] for row in days_of}
        for asked in _by_days(days_of):
            for row, *day in self.connection.execute(_STORED_DAYS, asked):
                stored[row].append(StoredDay._make(day))
        return stored

    @override
    def first_days(self, currencies_of: Mapping[int, Collection[str]]) -> dict[tuple[int, str], date]:
        pairs = [(row, currency) for row, currencies in currencies_of.items() for currency in currencies]
        asked = {
            "account_ids": [row for row, _ in pairs],
            "currencies": [currency for _, currency in pairs],
        }
        return {(row, currency): day for row, currency, day in self.connection.execute(_FIRST_DAYS, asked)}

    @override
    def day_totals(self, days_of: Mapping[int, DateRange], rule: Rule) -> dict[int, list[DayTotal]]:
        totals: dict[int, list[DayTotal]] = {row: [] for row in days_of}
        statement = _day_totals(rule)
        for asked in _by_days(days_of):
            # All at once: to take them one by one costs twice.
            for row, day, currency, amount in self.connection.execute(statement, asked).all():
                totals[row].append(DayTotal(day, currency, amount))
        return totals

    @override
    def service_totals(self, account: Account, days: DateRange, rule: Rule) -> dict[str, list[DayTotal]]:
        return self.service_totals_of({account.id: days}, rule)[account.id]

    @override
    def service_totals_of(self, days_of: Mapping[int, DateRange], rule: Rule) -> dict[int, ServiceTotals]:
        totals: dict[int, ServiceTotals] = {row: {} for row in days_of}
        statement = _service_totals(rule)
        for asked in _by_days(days_of):
            for row, service, *total in self.connection.execute(statement, asked).all():
                totals[row].setdefault(service, []).append(DayTotal._make(total))
        return totals

    @override
    def cost_of_day(self, day: date, rule: Rule) -> list[tuple[str, str, Decimal]]:
        columns = [accounts.c.aws_account_id, daily_costs.c.currency]
        statement = (
            sa.select(*columns, _comparable_sum(rule))
            .join_from(daily_costs, accounts, accounts.c.id == daily_costs.c.account_id)
            .where(daily_costs.c.usage_date == day, _is_compared(rule))
            .group_by(*columns)
            .order_by(*columns)
        )
        return [(row[0], row[1], row[2]) for row in self.connection.execute(statement)]

    @override
    def cost_by_day(
        self, days: DateRange, rule: Rule, *, by_account: bool, aws_account_ids: Collection[str] = ()
    ) -> list[tuple[str, DayTotal]]:
        account = accounts.c.aws_account_id if by_account else sa.literal("")
        columns = [account.label("account"), daily_costs.c.usage_date, daily_costs.c.currency]
        statement = (
            sa.select(*columns, _comparable_sum(rule))
            .join_from(daily_costs, accounts, accounts.c.id == daily_costs.c.account_id)
            .where(*_in(days), _is_compared(rule))
            .group_by(*(columns if by_account else columns[1:]))
        )
        if aws_account_ids:
            statement = statement.where(accounts.c.aws_account_id.in_(aws_account_ids))
        return [(row[0], DayTotal(row[1], row[2], row[3])) for row in self.connection.execute(statement)]

    @override
    def compared_costs(
        self, run: Run, days: DateRange, rule: Rule, *, most: int | None
    ) -> list[ComparedCost]:
        account = _compared_costs_by_account(run, days, rule).subquery()
        is_listed = account.c.place <= most if most is not None else sa.true()
        listed = [
            sa.case((is_listed, account.c[name]), else_="").label(f"listed_{name}")
            for name in ("aws_account_id", "name")
        ]
        statement = sa.select(
            account.c.currency,
            *listed,
            sa.func.count().label("accounts"),
            sa.func.sum(account.c.amount).label("amount"),
            sa.func.bool_or(account.c.estimated).label("estimated"),
            sa.func.sum(account.c.day_before).label("day_before"),
            sa.func.sum(account.c.amount - account.c.day_before).label("from_day_before"),
            sa.func.sum(account.c.week_before).label("week_before"),
            sa.func.sum(account.c.amount - account.c.week_before).label("from_week_before"),
        ).group_by(account.c.currency, *(column.name for column in listed))
        costs = [
            ComparedCost(
                currency=row.currency,
                accounts=row.accounts,
                amount=row.amount,
                estimated=row.estimated,
                aws_account_id=row.listed_aws_account_id,
                name=row.listed_name,
                from_day_before=_change(row.day_before, row.from_day_before),
                from_week_before=_change(row.week_before, row.from_week_before),
            )
            for row in self.connection.execute(statement)
        ]
        costs.sort(key=lambda cost: (cost.currency, not cost.name, -cost.amount, cost.aws_account_id))
        return costs

    def _copy(self, statement: str, fetched: Mapping[int, FetchedCosts]) -> None:
        with closing(self.connection.connection.cursor()) as cursor:
            cursor.copy_expert(statement, Pieces(_copy_texts(fetched)))


def _copy_texts(fetched: Mapping[int, FetchedCosts]) -> Iterator[str]:
    """Yield all rows in COPY's text format, in pieces that take little memory."""
    names = CopyNames()
    lines: list[str] = []
    for row, each in fetched.items():
        for part in each.costs.parts:
            lines += copy_lines(row, part, names)
            if len(lines) > _MOST_LINES_AT_ONCE:
                yield "".join(lines)
                lines.clear()
    if lines:
        yield "".join(lines)


def _change_of(
    row: int,
    written: Sequence[sa.Row[tuple[int, date | None, int, int, int]]],
    vanished: Sequence[sa.Row[tuple[int, date]]],
) -> StoredChange:
    mine = [day for day in written if day.account_id == row and day.usage_date is not None]
    gone = [day.usage_date for day in vanished if day.account_id == row]
    return StoredChange(
        inserted=sum(day.inserted for day in mine),
        updated=sum(day.updated for day in mine),
        deleted=len(gone),
        changed_dates=frozenset(day.usage_date for day in mine) | frozenset(gone),
    )


@cache
def _day_totals(rule: Rule) -> sa.Select[tuple[int, date, str, Decimal]]:
    """Return the statement for the accounts and days that its parameters name: made once, as it is dear."""
    costs = daily_costs.c
    return _totals_by(rule, costs.account_id, costs.usage_date, costs.currency)


@cache
def _service_totals(rule: Rule) -> sa.Select[tuple[int, str, date, str, Decimal]]:
    """Return the statement as above, by service."""
    costs = daily_costs.c
    return _totals_by(rule, costs.account_id, costs.service, costs.usage_date, costs.currency)


def _totals_by(rule: Rule, *columns: sa.Column[Any]) -> sa.Select[Any]:
    costs = daily_costs.c
    account_ids = sa.bindparam("account_ids", type_=ARRAY(sa.BigInteger))
    days = costs.usage_date >= sa.bindparam("start"), costs.usage_date < sa.bindparam("end_exclusive")
    of_accounts = costs.account_id == sa.any_(account_ids)
    statement = sa.select(*columns, _comparable_sum(rule)).where(of_accounts, *days, _is_compared(rule))
    return statement.group_by(*columns)


def _change(before: Decimal | None, difference: Decimal) -> Change | None:
    return None if before is None else Change(before, difference)


def _compared_costs_by_account(run: Run, days: DateRange, rule: Rule) -> sa.Select[Any]:
    """Return the statement for the cost of each account that the run collected, by currency.

    An earlier day counts as zero only if it is stored: else it is unknown. Without rows, cost is to come as
    long as the last day has not settled.
    """
    costs, covered, window = daily_costs.c, account_progress.c, _WINDOW_OF_ITEM.c
    is_asked, unknown = sa.and_(*_in(days)), sa.literal(days.last > rule.last_settled_day(run.today))
    earlier: dict[str, date] = {}
    if len(days) == 1:
        earlier = {"day_before": days.start - ONE_DAY, "week_before": days.start - ONE_WEEK}
    # One look into the index for each account: whole months of all accounts would take seconds.
    sums = (
        sa.select(
            costs.currency,
            sa.func.coalesce(_comparable_sum(rule).filter(is_asked), 0).label("amount"),
            sa.func.coalesce(sa.func.bool_or(costs.estimated).filter(is_asked), unknown).label("estimated"),
            *(
                _comparable_sum(rule).filter(costs.usage_date == day).label(name)
                for name, day in earlier.items()
            ),
        )
        .where(
            costs.account_id == accounts.c.id,
            sa.or_(is_asked, costs.usage_date.in_(list(earlier.values()))),
            _is_compared(rule),
        )
        .group_by(costs.currency)
        .lateral()
    )
    before = [
        sa.case(
            (sa.literal(day) == sa.any_(covered.unknown_days), None),
            (sums.c[name].is_not(None), sums.c[name]),
            (sa.and_(covered.covered_start <= day, day < covered.covered_end_exclusive), 0),
            (sa.and_(window.window_start <= day, day < window.window_end_exclusive), 0),
        ).label(name)
        for name, day in earlier.items()
    ] or [sa.cast(None, sa.Numeric).label(name) for name in ("day_before", "week_before")]
    order = sums.c.amount.desc(), accounts.c.aws_account_id
    place = sa.func.row_number().over(partition_by=sums.c.currency, order_by=order).label("place")
    return (
        sa.select(
            accounts.c.aws_account_id,
            accounts.c.name,
            sums.c.currency,
            sums.c.amount,
            sums.c.estimated,
            *before,
            place,
        )
        .join_from(run_items, accounts)
        .outerjoin(_WINDOW_OF_ITEM, sa.true())
        .outerjoin(
            account_progress, sa.and_(covered.account_id == accounts.c.id, covered.job == run.request.job)
        )
        .join(sums, sa.true())
        .where(run_items.c.run_id == run.id, run_items.c.state == ItemState.SUCCEEDED.value)
    )


def _by_days(days_of: Mapping[int, DateRange]) -> Iterator[dict[str, object]]:
    """Yield a statement's parameters for the accounts that share their days."""
    for days in dict.fromkeys(days_of.values()):
        yield {
            "account_ids": [row for row, each in days_of.items() if each == days],
            "start": days.start,
            "end_exclusive": days.end_exclusive,
        }


def _in(days: DateRange) -> tuple[sa.ColumnElement[bool], ...]:
    day = daily_costs.c.usage_date
    return day >= days.start, day < days.end_exclusive


def _is_compared(rule: Rule) -> sa.ColumnElement[bool]:
    return daily_costs.c.record_type.not_in(sorted(rule.excluded_record_types))


def _comparable_sum(rule: Rule) -> sa.Function[Decimal]:
    """Return the sum of the rule's cost basis; AWS leaves the net amounts out without a discount."""
    basis = rule.cost_basis.value
    amount: sa.ColumnElement[Decimal] = daily_costs.c[basis]
    if basis.startswith("net_"):
        amount = sa.func.coalesce(amount, daily_costs.c[basis.removeprefix("net_")])
    return sa.func.sum(amount)
