"""Generated cost is deterministic, looks like a bill, arrives late, and holds the planted anomalies."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from costbatch.simulator.arrival import is_estimated, month_closed_on
from costbatch.simulator.costs import anomaly_factor, rows_of_day
from costbatch.simulator.services import services_of
from costbatch.simulator.world import Account, Anomaly, CostRow
from tests.support.machine import run_python

if TYPE_CHECKING:
    from collections.abc import Iterable

DAY = date(2026, 3, 11)
LATER = date(2026, 6, 1)
START = date(2024, 1, 1)


def account_of(profile: str = "steady", **fields: object) -> Account:
    """Make an account of 1000 a day."""
    plain = Account("111111111111", "a", "key", "secret", daily_cost=1000.0, services=14, start=START)
    return replace(plain, profile=profile, **fields)  # type: ignore[arg-type]  # a test names the fields


def total(rows: Iterable[CostRow], *record_types: str) -> Decimal:
    """Add up the unblended cost of some record types, or of all."""
    return sum(
        (row.unblended for row in rows if not record_types or row.record_type in record_types), Decimal(0)
    )


def settled(account: Account, day: date, *record_types: str) -> Decimal:
    """Add up a day as it is read long after."""
    return total(rows_of_day(account, day, seed=1, read_on=LATER), *record_types)


def mean_of(account: Account, *record_types: str, start: date = date(2026, 2, 1), days: int = 28) -> float:
    """Average settled days."""
    period = [start + timedelta(days=number) for number in range(days)]
    return float(sum(settled(account, day, *record_types) for day in period)) / days


def test_cost_is_a_pure_function() -> None:
    """The same account, day and day of reading always give the same rows, in another process too."""
    rows = rows_of_day(account_of(), DAY, seed=1, read_on=LATER)
    assert rows == rows_of_day(account_of(), DAY, seed=1, read_on=LATER)
    program = (
        "from datetime import date; from costbatch.simulator.costs import rows_of_day;"
        "from costbatch.simulator.world import Account;"
        "a = Account('111111111111', 'a', 'key', 'secret', daily_cost=1000.0, services=14, "
        "start=date(2024, 1, 1));"
        "print(sum(r.unblended for r in rows_of_day(a, date(2026, 3, 11), seed=1, read_on=date(2026, 6, 1))))"
    )
    assert Decimal(run_python(program).strip()) == total(rows)


def test_another_seed_or_account_costs_otherwise() -> None:
    """Seed and account id both change the noise."""
    rows = rows_of_day(account_of(), DAY, seed=1, read_on=LATER)
    assert rows != rows_of_day(account_of(), DAY, seed=2, read_on=LATER)
    assert rows != rows_of_day(account_of(account_id="222222222222"), DAY, seed=1, read_on=LATER)


def test_a_day_arrives_over_three_days_and_then_holds() -> None:
    """At age 1 part of a day is there, at 2 nearly all, then all but corrections, and then it holds."""
    ages = {
        age: total(rows_of_day(account_of(), DAY, seed=1, read_on=DAY + timedelta(days=age)))
        for age in (-1, 0, 1, 2, 3, 40, 80)
    }
    final = ages[80]
    assert ages[-1] == 0
    assert 0 < ages[0] < Decimal("0.5") * final
    assert Decimal("0.6") * final <= ages[1] <= Decimal("0.95") * final
    assert Decimal("0.92") * final <= ages[2] < final
    assert abs(ages[3] - final) <= Decimal("0.004") * final
    assert ages[40] == final


def test_small_corrections_end_when_the_month_is_closed() -> None:
    """Between three days and the closing of the month a few services still change, by little."""
    closed = month_closed_on(DAY)
    readings = [
        rows_of_day(account_of(), DAY, seed=1, read_on=DAY + timedelta(days=age))
        for age in range(3, (closed - DAY).days)
    ]
    final = rows_of_day(account_of(), DAY, seed=1, read_on=closed)
    assert any(reading != final for reading in readings)
    assert final == rows_of_day(account_of(), DAY, seed=1, read_on=closed + timedelta(days=1))


def test_a_late_account_has_nearly_nothing_by_the_first_morning() -> None:
    """The late profile shows at most 3 % at age 1."""
    rows = rows_of_day(account_of("late"), DAY, seed=1, read_on=DAY + timedelta(days=1))
    assert total(rows) <= Decimal("0.03") * settled(account_of("late"), DAY)


@pytest.mark.parametrize(
    ("day", "closes"),
    [(date(2026, 3, 31), date(2026, 4, 7)), (date(2026, 12, 1), date(2027, 1, 7))],
)
def test_a_month_closes_on_the_7th_of_the_next(day: date, closes: date) -> None:
    """Days are estimated until then, over the turn of a year too."""
    assert month_closed_on(day) == closes
    assert is_estimated(day, closes - timedelta(days=1))
    assert not is_estimated(day, closes)


def test_weekends_cost_less_where_people_work() -> None:
    """The weekday profile falls on Saturday and Sunday."""
    friday, saturday = date(2026, 2, 13), date(2026, 2, 14)
    account = account_of("weekday")
    assert settled(account, saturday, "Usage") < Decimal("0.5") * settled(account, friday, "Usage")


def test_a_growing_account_grows_and_a_shrinking_one_shrinks() -> None:
    """Half a year apart the level differs clearly."""
    early = date(2025, 7, 1)
    assert mean_of(account_of("growing"), "Usage") > 1.2 * mean_of(
        account_of("growing"), "Usage", start=early
    )
    assert mean_of(account_of("shrinking"), "Usage") < 0.9 * mean_of(
        account_of("shrinking"), "Usage", start=early
    )


def test_a_seasonal_account_has_a_high_and_a_low_season() -> None:
    """Spring lies above autumn."""
    account = account_of("seasonal")
    spring, autumn = date(2025, 3, 15), date(2025, 9, 15)
    assert mean_of(account, "Usage", start=spring) > 1.4 * mean_of(account, "Usage", start=autumn)


def test_a_new_account_begins_on_its_day_and_ramps_up() -> None:
    """Nothing before the start, little at first, the whole level after two weeks."""
    start = date(2026, 2, 2)
    account = account_of("new", start=start)
    assert rows_of_day(account, start - timedelta(days=1), seed=1, read_on=LATER) == []
    first, full = settled(account, start, "Usage"), settled(account, start + timedelta(days=14), "Usage")
    assert 0 < first < Decimal("0.2") * full


def test_a_sparse_account_has_days_with_few_services_and_a_dormant_one_nothing_on_many() -> None:
    """Presence is a matter of chance per service and day."""
    month = [date(2026, 2, 1) + timedelta(days=number) for number in range(28)]
    sparse = [len(rows_of_day(account_of("sparse"), day, seed=1, read_on=LATER)) for day in month]
    dormant = [
        len(rows_of_day(account_of("dormant", services=3), day, seed=1, read_on=LATER)) for day in month
    ]
    assert max(sparse) < 14
    assert dormant.count(0) > 14


def test_fees_and_tax_land_on_the_first_days_of_a_month() -> None:
    """Tax, reservation and commitment fees come on the 1st, support on the 3rd, and on no other day."""
    found = {
        day: {
            row.record_type
            for row in rows_of_day(account_of("committed"), date(2026, 3, day), seed=1, read_on=LATER)
        }
        for day in range(1, 32)
    }
    monthly = {"Tax", "RIFee", "SavingsPlanRecurringFee", "Fee"}
    assert found[1] & monthly == {"Tax", "RIFee", "SavingsPlanRecurringFee"}
    assert found[3] & monthly == {"Fee"}
    assert all(not found[day] & monthly for day in found if day not in (1, 3))


def test_a_commitment_covers_and_negates_use() -> None:
    """Covered use at on-demand prices is negated; amortized, the commitment's cost is in the covered use."""
    rows = {
        row.record_type: row
        for row in rows_of_day(account_of("committed"), DAY, seed=1, read_on=LATER)
        if row.service == "Amazon Elastic Compute Cloud - Compute"
    }
    covered, negation = rows["SavingsPlanCoveredUsage"], rows["SavingsPlanNegation"]
    assert covered.unblended == -negation.unblended
    assert 0 < covered.amortized < covered.unblended
    assert negation.amortized == 0


def test_net_cost_is_the_plain_cost_or_less() -> None:
    """A discount lowers the net amounts; without one they are equal."""
    discounted = rows_of_day(account_of("committed"), DAY, seed=1, read_on=LATER)
    plain = rows_of_day(account_of(), DAY, seed=1, read_on=LATER)
    assert all(row.net_unblended <= row.unblended for row in discounted)
    assert any(row.net_amortized < row.amortized for row in discounted)
    assert all(row.net_unblended == row.unblended and row.net_amortized == row.amortized for row in plain)


def test_credits_and_refunds_are_negative() -> None:
    """Credits lower every day, a refund comes on the 10th."""
    account = account_of("credits")
    assert settled(account, DAY, "Credit") < 0
    assert settled(account, date(2026, 3, 10), "Refund") == Decimal(-500)


def test_some_amounts_are_next_to_nothing() -> None:
    """An account of many services has one whose amounts AWS prints with an exponent."""
    rows = rows_of_day(account_of(), DAY, seed=1, read_on=LATER)
    assert any(0 < row.unblended < Decimal("1E-7") for row in rows)


def test_services_appear_over_time_and_some_are_rare() -> None:
    """The tail of a long list of services holds new and sparse ones; the largest are always there."""
    services = services_of("any", 60, start=START, uniform=False)
    assert all(item.first_day == START and item.presence == 1.0 for item in services[:4])
    assert any(item.first_day > START for item in services)
    assert any(item.presence < 1.0 for item in services)
    assert len({item.name for item in services}) == 60
    assert sum(item.weight for item in services) == pytest.approx(1.0)


def test_a_uniform_account_has_every_service_on_every_day_at_once() -> None:
    """Load accounts give days x services groups, complete from the first reading."""
    account = account_of("uniform", services=25)
    for age in (0, 1, 30):
        rows = rows_of_day(account, DAY, seed=1, read_on=DAY + timedelta(days=age))
        assert len(rows) == 25
        assert rows == rows_of_day(account, DAY, seed=1, read_on=LATER)


@pytest.mark.parametrize(
    ("anomaly", "factors"),
    [
        (Anomaly("spike", DAY, 4.0), [1.0, 4.0, 1.0, 1.0]),
        (Anomaly("spike", DAY, 4.0, days=2), [1.0, 4.0, 4.0, 1.0]),
        (Anomaly("level_shift", DAY, 2.0), [1.0, 2.0, 2.0, 2.0]),
        (Anomaly("drop", DAY, 0.0, days=2), [1.0, 0.0, 0.0, 1.0]),
        (Anomaly("runaway", DAY, 1.5), [1.0, 1.5, 2.25, 3.375]),
        (Anomaly("spike", DAY, 4.0, service="another"), [1.0, 1.0, 1.0, 1.0]),
    ],
)
def test_anomalies_multiply_their_days(anomaly: Anomaly, factors: list[float]) -> None:
    """Each kind changes the days that it says."""
    days = [DAY + timedelta(days=number) for number in range(-1, 3)]
    assert [anomaly_factor((anomaly,), "service", day) for day in days] == factors


def test_an_anomaly_shows_in_the_cost() -> None:
    """A planted drop to zero leaves no cost, and a runaway does not grow without end."""
    assert settled(account_of(anomalies=(Anomaly("drop", DAY, 0.0),)), DAY) == 0
    runaway = Anomaly("runaway", START, 2.0)
    assert anomaly_factor((runaway,), "service", DAY) == 60.0


def test_a_rows_account_shows_a_day_only_when_it_has_come() -> None:
    """Explicit rows of the future are not told."""
    row = CostRow(DAY, "A", "Usage", Decimal(1), Decimal(1), Decimal(1), Decimal(1))
    account = account_of(rows=(row,))
    assert rows_of_day(account, DAY, seed=1, read_on=DAY) == [row]
    assert rows_of_day(account, DAY, seed=1, read_on=DAY - timedelta(days=1)) == []
