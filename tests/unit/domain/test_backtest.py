"""A backtest's scores: alarms per account and month, money, and what only one detector raised."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from costbatch.domain.backtest import AccountReplay, Alarm, BacktestReport
from costbatch.domain.detection import DetectorName, Direction
from tests.support.factories import day, days

ALARM = Alarm(
    detector=DetectorName.DEVIATION,
    aws_account_id="000000000001",
    service=None,
    currency="USD",
    direction=Direction.SPIKE,
    morning=day(41),
    start=day(40),
    last=day(42),
    impact=Decimal(100),
    id=UUID(int=1),
)


def report(*alarms: Alarm, detectors: tuple[DetectorName, ...] = tuple(DetectorName)) -> BacktestReport:
    """Return two months of one account."""
    account = AccountReplay(
        aws_account_id="000000000001", name="one", mornings=days(0, 61), alarms=alarms, totals={}
    )
    return BacktestReport(accounts=(account,), detectors=detectors, gap=timedelta(days=3))


def test_alarms_are_counted_by_account_and_month_and_by_money() -> None:
    """Two alarms in 61 mornings are one a month; a drop counts by its size, each currency by itself."""
    drop = replace(ALARM, direction=Direction.DROP, impact=Decimal(-40), start=day(10), last=day(10))
    euro = replace(ALARM, currency="EUR", impact=Decimal(5))
    score = report(ALARM, drop).score(DetectorName.DEVIATION)
    assert score.per_account_month is not None
    assert round(score.per_account_month, 2) == Decimal("1.00")
    assert (score.alarms, score.impact) == (2, {"USD": Decimal(140)})
    assert report(ALARM, euro).score(DetectorName.DEVIATION).impact == {"EUR": 5, "USD": 100}
    assert report().score(DetectorName.ADAPTIVE).alarms == 0


def test_the_same_event_is_matched_over_totals_and_services() -> None:
    """An alarm of the total and one of a service are the same if their days touch, in one direction."""
    adaptive = replace(
        ALARM, detector=DetectorName.ADAPTIVE, service="Amazon EC2", start=day(45), last=day(45)
    )
    for other, is_alone in (
        (adaptive, False),
        (replace(adaptive, start=day(46), last=day(46)), True),
        (replace(adaptive, direction=Direction.DROP), True),
        (replace(adaptive, currency="EUR"), True),
        (replace(adaptive, aws_account_id="000000000002"), True),
    ):
        found = report(ALARM, other)
        assert [bool(found.score(each).only) for each in DetectorName] == [is_alone] * 2
    lambda_alarm = replace(ALARM, service="AWS Lambda")
    assert report(lambda_alarm, adaptive).score(DetectorName.ADAPTIVE).only == (adaptive,)
    assert report(ALARM, detectors=(DetectorName.DEVIATION,)).score(DetectorName.DEVIATION).only == ()


def test_the_document_marks_what_only_one_raised() -> None:
    """Alarms are in the order of the mornings."""
    first = replace(ALARM, morning=day(5), start=day(4), last=day(4))
    second = replace(first, detector=DetectorName.ADAPTIVE)
    document = report(ALARM, first, second).to_document()
    assert [(each["morning"], each["is_only"]) for each in document["alarms"]] == [
        ("2025-01-06", False),
        ("2025-01-06", False),
        ("2025-02-11", True),
    ]
    assert document["detectors"]["deviation"] == {
        "alarms": 2,
        "alarms_per_account_month": "1.00",
        "impact": {"USD": "200"},
        "only": 1,
    }
