"""How much of a day has arrived: the median of what mornings saw, or nothing if too few mornings tell."""

from datetime import date, timedelta
from decimal import Decimal

import pytest

from costbatch.domain.arrival import Arrival, DayArrival, arrival_of, arrivals_by_service, learned_days
from tests.support.factories import TODAY, day


def seen(n: int, *visible: str | None, final: str = "100", service: str = "Amazon EC2") -> DayArrival:
    """Return a day with what three mornings saw of it."""
    amounts = tuple(None if amount is None else Decimal(amount) for amount in visible)
    return DayArrival("000000000001", service, "USD", day(n), Decimal(final), amounts)


def test_the_usual_share_is_the_median_of_the_days() -> None:
    """One very late day and one that was corrected weeks later do not move it."""
    days = [seen(n, "91", "99.6", "100") for n in range(11)]
    days += [seen(20, "0", "0", "0"), seen(21, "91", "99.6", "100", final="50")]
    curve = arrival_of(days)
    assert curve is not None
    assert (curve.days, curve.percent) == (13, ("91", "99.6", "100"))
    assert str(curve) == "about 91 % of a day has arrived after 24 hours"


def test_services_of_a_day_count_by_their_money() -> None:
    """A cents-sized service that is always late leaves the account's curve alone, and has its own."""
    days = [seen(n, "90", "100", "100") for n in range(10)]
    days += [seen(n, "0", "1", "1", final="1", service="AWS Config") for n in range(10)]
    curves = arrivals_by_service(days)
    account = "000000000001"
    assert list(curves) == [
        (account, None, "USD"),
        (account, "AWS Config", "USD"),
        (account, "Amazon EC2", "USD"),
    ]
    assert curves[account, None, "USD"].percent[0] == "89"
    assert curves[account, "AWS Config", "USD"].percent == ("0", "100", "100")


def test_too_few_days_tell_nothing() -> None:
    """Ten days, each collected that morning; a day without cost and a missed morning do not count."""
    assert arrival_of([seen(n, "9", final="10") for n in range(9)]) is None
    assert arrival_of([*(seen(n, "9", final="10") for n in range(9)), seen(9, "0", final="0")]) is None
    curve = arrival_of([seen(n, "9", "10" if n else None, None, final="10") for n in range(10)])
    assert curve is not None
    assert curve.percent == ("90", None, None)


@pytest.mark.parametrize(
    ("share", "percent"), [("0.9961", "99.6"), ("0.9999", "100"), ("1", "100"), ("0.914", "91")]
)
def test_almost_everything_is_not_everything(share: str, percent: str) -> None:
    """99.6 % is not rounded to 100 %."""
    assert Arrival("USD", 10, (Decimal(share),)).percent == (percent,)


def test_days_are_learned_from_once_they_are_settled() -> None:
    """Sixty days, the last of them nine days ago."""
    days = learned_days(TODAY)
    assert (len(days), days.last) == (60, date(2025, 6, 11))
    assert TODAY - days.last == timedelta(days=9)
