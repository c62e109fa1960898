"""From judgements to the days of anomalies: exact money, and how long an anomaly goes on."""

from dataclasses import replace
from decimal import Decimal

import pytest

from costbatch.domain.adaptive_days import anomalous_days, is_restated, judged_day
from costbatch.domain.adaptive_rule import Judgement
from costbatch.domain.detection import Episode, Reason, Rule
from costbatch.domain.explanation import in_words
from tests.support.factories import day, make_judged

RULE = Rule()


def judgement(reason: Reason | None, *, score: float = 0.7) -> Judgement:
    """Return a judgement of a day that was expected to cost 100."""
    return Judgement("s3", day(9), 100.0, 80.0, 120.00004, 250.0, score, reason)


def spans(*days: tuple[int, str, Reason | None], today: int = 40) -> list[int]:
    """Judge days of which 100 was expected; return the numbers of those that are anomalous."""
    judged = [make_judged(n, "100", actual, reason) for n, actual, reason in days]
    found = anomalous_days(judged, today=day(today), rule=RULE)
    assert all(each.reason for each in found)
    return [(each.usage_date - day(0)).days for each in found]


def test_a_judgement_becomes_exact_money_with_its_exact_cost() -> None:
    """Statistics are rounded, the cost is the stored one."""
    found = judged_day(judgement(Reason.SPIKE, score=0.49999), Decimal("250.1234567"))
    assert [found.expected, found.lower, found.upper] == [100, 80, 120]
    assert (found.actual, found.score) == (Decimal("250.1235"), Decimal("0.4999"))
    assert found.reason is Reason.SPIKE


@pytest.mark.parametrize(
    ("reason", "actual", "kept"),
    [
        (Reason.GROWTH, "99", False),
        (Reason.GROWTH, "101", True),
        (Reason.DROP, "101", False),
        (Reason.DROP, "3", True),
    ],
)
def test_a_reason_agrees_with_the_direction(reason: Reason, actual: str, *, kept: bool) -> None:
    """A service that grows can have a day below what is expected: that day is no anomaly."""
    assert (judged_day(judgement(reason), Decimal(actual)).reason is reason) is kept


def test_an_anomaly_goes_on_while_the_cost_is_outside() -> None:
    """Over a gap of two days, not three; what is outside without a beginning is none."""
    start, outside = Reason.SPIKE, None
    assert spans((9, "300", outside), (10, "300", start), (11, "200", outside), (14, "200", outside)) == [
        10,
        11,
        14,
    ]
    assert spans((10, "300", start), (14, "200", outside)) == [10]
    assert spans((10, "300", start), (11, "149", outside)) == [10]
    assert spans((10, "300", start), (11, "3", outside)) == [10]


def test_a_drop_goes_on_only_on_complete_days() -> None:
    """Its newest days may still get their cost."""
    days = [(10, "5", Reason.DROP), (11, "5", None), (12, "5", None)]
    assert spans(*days, today=14) == [10, 11]
    assert spans(*days, today=15) == [10, 11, 12]


@pytest.mark.parametrize(
    ("learned", "actual", "restated"),
    [
        (100.0, "109", False),
        (100.0, "110", True),
        (100.0, "90", True),
        (0.0, "2.99", False),
        (0.0, "3", True),
    ],
)
def test_a_restatement_counts_from_a_tenth_and_the_floor(
    learned: float, actual: str, *, restated: bool
) -> None:
    """Smaller ones come every night."""
    assert is_restated(learned, Decimal(actual), Decimal(3)) is restated


def test_every_reason_has_words() -> None:
    """What came, when, what was expected from what, and how sure that is."""
    one = replace(make_judged(40, "100", "400"), reason=Reason.SPIKE)
    assert in_words(Episode((one,)), "USD", baseline_days=30) == (
        "Cost 400.00 USD on 2025-02-10; expected 100.00 (50.00 to 150.00) from the level of the last week "
        "for Mondays. Confidence: 0.86."
    )
    two = replace(one, usage_date=day(41))
    assert "on 2 days since 2025-02-10; expected 200.00" in in_words(
        Episode((one, two)), "EUR", baseline_days=30
    )
    # A yen has no cents.
    assert "on 2 days since 2025-02-10; expected 200 (" in in_words(
        Episode((one, two)), "JPY", baseline_days=30
    )
    for days, said in (((one,), "; the day is complete. "), ((one, two), "; the days are complete. ")):
        drop = Episode(tuple(replace(each, reason=Reason.DROP) for each in days))
        assert said in in_words(drop, "USD", baseline_days=30)
    for reason in Reason:
        words = in_words(Episode((replace(one, reason=reason),)), "USD", baseline_days=30)
        assert words.endswith("Confidence: 0.86.")
        assert "{" not in words
