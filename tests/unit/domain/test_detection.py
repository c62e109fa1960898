"""The rule: which days depart from the mean of the days before them."""

from dataclasses import replace
from decimal import Decimal

import pytest

from costbatch.domain.detection import (
    Direction,
    JudgedDay,
    Rule,
    Series,
    Severity,
    judge_days,
)
from costbatch.domain.money import Limit
from tests.support.factories import day, days, make_judged

RULE = Rule()
FLAT = ["100"] * 30


def series(amounts: list[str], *, first: int = 0) -> Series:
    """Return the amounts as consecutive days; an empty text is a day without cost."""
    known = {day(first + n): Decimal(text) for n, text in enumerate(amounts) if text}
    return Series("USD", day(first), known)


def deviations(
    amounts: list[str], *, rule: Rule = RULE, today: int | None = None, since: int = 0
) -> list[JudgedDay]:
    """Judge every day of the amounts, by default long after they settled."""
    seen_on = day(len(amounts) + 30 if today is None else today)
    judged = judge_days(series(amounts), days(since, len(amounts)), today=seen_on, rule=rule)
    return [each for each in judged if each.reason]


@pytest.mark.parametrize(
    ("amount", "anomalous"),
    [
        ("150.00", False),
        ("150.01", True),
        ("50.00", False),
        ("49.99", True),
        ("100", False),
    ],
)
def test_a_day_departs_by_strictly_more_than_half_of_its_mean(amount: str, *, anomalous: bool) -> None:
    """Fifty per cent exactly is still ordinary, on either side."""
    found = deviations([*FLAT, amount])
    assert [deviation.usage_date for deviation in found] == ([day(30)] if anomalous else [])


def test_a_departure_tells_what_was_expected_and_what_came() -> None:
    """The mean is over the thirty days before the day, without the day itself."""
    amounts = ["1000", *["90"] * 15, *["110"] * 15, "400"]
    assert deviations(amounts, since=31) == [make_judged(31, "100", "400")]
    assert deviations(amounts, since=31)[0].direction is Direction.SPIKE


def test_the_threshold_is_a_setting() -> None:
    """At 20 % a smaller move deviates."""
    rule = replace(RULE, threshold_ratio=Decimal("0.2"))
    assert [each.actual for each in deviations([*FLAT, "120", "121"], rule=rule)] == [Decimal(121)]


@pytest.mark.parametrize(("amount", "anomalous"), [("1.99", False), ("2.00", True)])
def test_a_move_below_the_floor_is_none(amount: str, *, anomalous: bool) -> None:
    """A difference of one dollar counts, a cent less does not, however large in proportion."""
    assert bool(deviations([*["1.00"] * 30, amount])) is anomalous


@pytest.mark.parametrize(("history", "judged"), [(6, False), (7, True)])
def test_a_day_with_too_little_history_is_not_judged(history: int, *, judged: bool) -> None:
    """The seventh day of an account has six before it; the eighth is the first one judged."""
    assert bool(deviations([*["100"] * history, "900"])) is judged


def test_a_young_account_is_compared_with_all_of_its_days() -> None:
    """Before thirty days there are, the mean is over those that there are."""
    assert deviations([*["60"] * 5, *["130"] * 5, "400"], since=10)[0].expected == Decimal(95)


def test_no_minimum_of_history_still_needs_a_day_to_compare_with() -> None:
    """The first day of an account has no mean."""
    rule = replace(RULE, minimum_history_days=0)
    assert [each.usage_date for each in deviations(["100", "900"], rule=rule)] == [day(1)]


def test_days_without_cost_count_as_zero() -> None:
    """A service that runs every other day has half of its cost as its mean."""
    found = deviations([*["200", ""] * 15, "151"])
    assert found[-1] == make_judged(30, "100", "151")


def test_a_day_without_cost_is_a_drop() -> None:
    """Absence is a zero like any other."""
    assert deviations([*FLAT, ""]) == [make_judged(30, "100", "0")]


def test_cost_out_of_nothing_departs() -> None:
    """Where nothing was expected, the floor alone decides."""
    found = deviations([*[""] * 29, "0", "5"])
    assert found == [make_judged(30, "0", "5")]


def test_nothing_out_of_nothing_does_not_depart() -> None:
    """Zero is no deviation from zero, even without a floor."""
    assert deviations([""] * 40, rule=replace(RULE, floor=Limit(Decimal(0)))) == []


@pytest.mark.parametrize(("today", "told"), [(31, False), (32, False), (33, True)])
def test_a_drop_waits_until_its_day_has_settled(today: int, *, told: bool) -> None:
    """Two whole days after its end a day is complete, not before."""
    found = deviations([*FLAT, "10"], today=today)
    assert [each.direction for each in found] == ([Direction.DROP] if told else [])


def test_a_spike_does_not_wait() -> None:
    """What is already too much can only become more."""
    assert [each.direction for each in deviations([*FLAT, "200"], today=31)] == [Direction.SPIKE]


def test_a_negative_total_departs_like_any_other() -> None:
    """More negative is a drop, less negative is a spike; the proportion is of the size."""
    assert [each.direction for each in deviations([*["-100"] * 30, "-151"])] == [Direction.DROP]
    assert [each.direction for each in deviations([*["-100"] * 30, "-49"])] == [Direction.SPIKE]
    assert deviations([*["-100"] * 30, "-150"]) == []


def test_the_mean_of_a_day_is_the_same_wherever_judging_begins() -> None:
    """A mean of thirds is rounded once, the same way for every window."""
    rule = replace(RULE, floor=Limit(Decimal(0)), threshold_ratio=Decimal("0.01"))
    amounts = [f"{n % 7}.{n:03}" for n in range(60)]
    whole = deviations(amounts, rule=rule)
    for since in (8, 31, 45, 59):
        later = deviations(amounts, rule=rule, since=since)
        assert later == [each for each in whole if each.usage_date >= day(since)] != []
    assert series(["1", "0", "0"]).baseline(day(3), replace(RULE, minimum_history_days=1)) == Decimal(
        "0.3333333333"
    )


@pytest.mark.parametrize("size", ["9999999999999999999", "-9999999999999999999"])
def test_the_largest_amounts_that_are_accepted_can_be_judged(size: str) -> None:
    """An absurd bill of one account must not end the run of all."""
    assert deviations([size] * 40) == []


@pytest.mark.parametrize(
    ("impact", "severity"),
    [("99.99", Severity.LOW), ("100", Severity.MEDIUM), ("999.99", Severity.MEDIUM), ("1000", Severity.HIGH)],
)
def test_the_severity_is_by_the_money_moved(impact: str, severity: Severity) -> None:
    """The limits belong to the higher severity, for savings as for costs."""
    assert RULE.severity(Decimal(impact), "USD") is severity
    assert RULE.severity(-Decimal(impact), "USD") is severity


def test_floor_and_severity_are_by_currency() -> None:
    """A yen is not a dollar."""
    rule = replace(RULE, floor=Limit(Decimal(1), (("JPY", Decimal(150)),)))
    assert rule.deviates(Decimal(100), Decimal(200), "USD")
    assert not rule.deviates(Decimal(100), Decimal(200), "JPY")
    rule = replace(RULE, high_impact=Limit(Decimal(1000), (("JPY", Decimal(150_000)),)))
    assert rule.severity(Decimal(1000), "USD") is Severity.HIGH
    assert rule.severity(Decimal(149_999), "JPY") is Severity.MEDIUM
