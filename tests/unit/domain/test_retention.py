"""How the months to keep are written, and how few are too few."""

from datetime import date, timedelta

import pytest

from costbatch.domain.adaptive_rule import LEARNED_DAYS
from costbatch.domain.detection import Rule
from costbatch.domain.periods import WindowPolicy, month_start
from costbatch.domain.retention import MOST_KEPT_MONTHS, keep_problem, least_kept_months, parse_keep


@pytest.mark.parametrize(
    ("text", "months"),
    [
        ("37 months", 37),
        ("37months", 37),
        ("1 month", 1),
        ("3 years", 36),
        ("1year", 12),
        (" 037 Months ", 37),
        ("100 years", MOST_KEPT_MONTHS),
    ],
)
def test_what_is_kept_is_a_number_of_months_or_years(text: str, months: int) -> None:
    """With or without a space, one or many, in capitals or not."""
    assert parse_keep(text) == months


@pytest.mark.parametrize(
    "text",
    [
        "",
        "37",
        "37m",
        "3y",
        "90 days",
        "-3 months",
        "0 months",
        "1.5 years",
        "three years",
        "1 year 1 month",
        "3  months",
        "101 years",
        "1201 months",
        "9999999999999 months",
        "٣ months",
        "3 months; DROP TABLE accounts",
    ],
)
def test_anything_else_earns_one_sentence(text: str) -> None:
    """It shows the right form and the wrong text; an m could be minutes, and costs are not kept for ever."""
    with pytest.raises(ValueError, match=r"^Expected a number of months or years, such as .*\.$") as raised:
        parse_keep(text)
    assert repr(text) in str(raised.value)


def test_an_installation_without_settings_keeps_three_months_at_least() -> None:
    """All of last month until the tenth, and thirty days before it to compare it with."""
    assert least_kept_months(WindowPolicy(), Rule()) == 3


def test_less_than_three_months_are_refused() -> None:
    """However little the runs would read."""
    policy = WindowPolicy(trailing_days=3, month_close_day=0)
    assert least_kept_months(policy, Rule(baseline_days=1, settle_days=0)) == 3


@pytest.mark.parametrize("trailing_days", [1, 35, 90, 200, 1000])
@pytest.mark.parametrize("close_day", [0, 10, 28])
@pytest.mark.parametrize("baseline_days", [1, 30, 90, 400])
def test_what_must_be_kept_holds_every_day_that_a_run_reads_or_compares(
    trailing_days: int, close_day: int, baseline_days: int
) -> None:
    """On every day: the months that stay begin before the first baseline of the first day read."""
    policy = WindowPolicy(trailing_days=trailing_days, month_close_day=close_day)
    rule = Rule(baseline_days=baseline_days)
    least = least_kept_months(policy, rule)
    for n in range(1500):
        today = date(2023, 1, 1) + timedelta(days=n)
        read = max(policy.first_day_read_on(today), policy.earliest_day_on(today))
        compared = read - timedelta(days=rule.settle_days + 1 + baseline_days)
        assert month_start(today, months_back=least) <= compared, today


def test_what_a_detector_learns_from_must_be_kept() -> None:
    """With less, what comes once a quarter is new each time that it learns again."""
    policy, rule, days = WindowPolicy(), Rule(), LEARNED_DAYS
    least = least_kept_months(policy, rule, learned_days=days)
    for n in range(1500):
        today = date(2023, 1, 1) + timedelta(days=n)
        assert month_start(today, months_back=least) <= today - timedelta(days=days + 1), today
    assert keep_problem("--keep", 14, policy=policy, rule=rule, learned_days=days) == ""
    assert keep_problem("--keep", 13, policy=policy, rule=rule, learned_days=days) == (
        "--keep must be at least 14 months, because that is how far back the detector adaptive learns; "
        "it is 13."
    )


def test_too_few_months_earn_a_sentence_with_the_fewest() -> None:
    """It begins with what the person wrote them after."""
    policy, rule = WindowPolicy(trailing_days=90), Rule()
    assert keep_problem("--keep", 5, policy=policy, rule=rule) == ""
    assert keep_problem("--keep", 4, policy=policy, rule=rule) == (
        "--keep must be at least 5 months, because that is how far back a run reads again "
        "and compares; it is 4."
    )
