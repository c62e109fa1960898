"""What is asked of Cost Explorer about an anomaly, and which contributors are kept."""

from datetime import date, timedelta
from decimal import Decimal

import pytest

from costbatch.domain.causes import Cause, find_root_cause, question_of
from costbatch.domain.costs import CostBasis
from costbatch.domain.detection import Contribution, Direction, Reason
from costbatch.domain.periods import DateRange
from tests.support.factories import make_anomaly

START = date(2025, 3, 10)
DAY = timedelta(days=1)
WEEK = 7 * DAY


@pytest.mark.parametrize(
    ("days", "reason", "first", "last"),
    [
        (1, Reason.SPIKE, START - WEEK, START),
        (7, Reason.DEVIATION, START - WEEK, START + 6 * DAY),
        (60, Reason.DEVIATION, START - WEEK, START + 6 * DAY),
        (3, Reason.GROWTH, START - 4 * WEEK, START + 2 * DAY),
    ],
)
def test_one_range_holds_the_days_and_their_ordinary_ones(
    days: int, reason: Reason, first: date, last: date
) -> None:
    """The first seven days at most; each has the same weekday before the anomaly in the range."""
    anomaly = make_anomaly(start_date=START, last_date=START + (days - 1) * DAY, reason=reason)
    question = question_of(anomaly, frozenset({"Tax"}))
    assert question.days == DateRange(first, last + DAY)
    ordinary = {day - lookback for day in question.anomalous for lookback in question.lookbacks}
    assert all(day in question.days and day < START for day in ordinary)


def test_the_total_is_asked_about_by_the_services_that_explain_it() -> None:
    """Not by those that moved the other way; a service by itself; without an explanation by all."""
    parts = tuple(
        Contribution(name, Decimal(10), Decimal(to)) for name, to in (("A", 90), ("B", 2), ("C", 11))
    )
    total = make_anomaly(service=None, explanation=parts, expected=Decimal(30), actual=Decimal(103))
    assert question_of(total, frozenset()).services == ("A", "C")
    assert question_of(make_anomaly(service="A"), frozenset()).services == ("A",)
    assert question_of(make_anomaly(service=None, explanation=()), frozenset()).services == ()
    net = question_of(make_anomaly(cost_basis=CostBasis.NET_AMORTIZED, currency="EUR"), frozenset({"Tax"}))
    assert (net.cost_basis, net.currency) == (CostBasis.NET_AMORTIZED, "EUR")
    assert net.excluded_record_types == {"Tax"}


def test_the_day_that_moved_most_is_compared_with_its_weekday() -> None:
    """The largest first, only what moved in the anomaly's direction, and by a cent or more."""
    anomaly = make_anomaly(start_date=START, last_date=START + DAY, direction=Direction.SPIKE)
    question = question_of(anomaly, frozenset())
    amounts = {
        START - WEEK: {("eu", "Box"): Decimal(10)},
        START: {("eu", "Box"): Decimal(30)},
        START - 6 * DAY: {("eu", "Box"): Decimal(10), ("us", "Store"): Decimal(5)},
        START + DAY: {
            ("eu", "Box"): Decimal(20),
            ("us", "Store"): Decimal(1),
            ("us", "Large"): Decimal(50),
            ("us", "Tiny"): Decimal("0.009"),
        },
    }
    found = find_root_cause(amounts, question, Direction.SPIKE)
    assert (found.usage_date, found.ordinary_date) == (START + DAY, START - 6 * DAY)
    assert found.causes == (
        Cause("us", "Large", Decimal(0), Decimal(50)),
        Cause("eu", "Box", Decimal(10), Decimal(20)),
    )


@pytest.mark.parametrize(("expected", "weeks"), [(98, 4), (205, 2)])
def test_growth_is_compared_with_the_day_that_cost_what_was_expected(expected: int, weeks: int) -> None:
    """After a step that was reported, that is not the one four weeks ago."""
    anomaly = make_anomaly(
        start_date=START,
        last_date=START,
        reason=Reason.GROWTH,
        expected=Decimal(expected),
        actual=Decimal(300),
    )
    costs = {4: 100, 3: 100, 2: 200, 1: 240, 0: 300}
    amounts = {START - n * WEEK: {("eu", "Box"): Decimal(cost)} for n, cost in costs.items()}
    found = find_root_cause(amounts, question_of(anomaly, frozenset()), Direction.SPIKE)
    assert (found.usage_date, found.ordinary_date) == (START, START - weeks * WEEK)


def test_a_drop_names_what_is_gone() -> None:
    """A day without any cost is a day, too."""
    question = question_of(make_anomaly(start_date=START, last_date=START), frozenset())
    found = find_root_cause({START - WEEK: {("eu", "Box"): Decimal(10)}}, question, Direction.DROP)
    assert found.causes == (Cause("eu", "Box", Decimal(10), Decimal(0)),)
    assert find_root_cause({}, question, Direction.DROP).causes == ()


def test_ten_are_kept_and_equals_have_one_order() -> None:
    """However AWS orders them."""
    question = question_of(make_anomaly(start_date=START, last_date=START), frozenset())
    day = {("eu", f"Type{n:02}"): Decimal(5) for n in reversed(range(30))}
    found = find_root_cause({START: day}, question, Direction.SPIKE)
    assert [each.usage_type for each in found.causes] == [f"Type{n:02}" for n in range(10)]
