"""A backtest's scores: alarms per account and month, money, and what only one detector raised."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from costbatch.domain.anomalies import Anomaly, AnomalyState, Resolution
from costbatch.domain.answers import Answer, AnswerKind
from costbatch.domain.backtest import AccountReplay, Alarm, Answered, BacktestReport, answered_anomalies
from costbatch.domain.detection import DetectorName, Direction, Rule
from tests.support.factories import NOW, day, days, make_anomaly

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
    """An alarm of the total and one of a service are the same if their days touch, in one direction.

    And if the service is a visible part of the total.
    """
    adaptive = replace(
        ALARM, detector=DetectorName.ADAPTIVE, service="Amazon EC2", start=day(45), last=day(45)
    )
    for other, is_alone in (
        (adaptive, False),
        (replace(adaptive, start=day(46), last=day(46)), True),
        (replace(adaptive, direction=Direction.DROP), True),
        (replace(adaptive, currency="EUR"), True),
        (replace(adaptive, aws_account_id="000000000002"), True),
        (replace(adaptive, impact=Decimal(10)), False),
        (replace(adaptive, impact=Decimal(9)), True),
        (replace(adaptive, impact=Decimal(900)), False),
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
        "precision": None,
        "recall": None,
    }
    assert (document["answered"], document["answered_real"]) == (0, 0)


def answered(start: int, *, is_real: bool, service: str | None = None) -> Answered:
    """Return an answered anomaly of one day."""
    return Answered(
        aws_account_id="000000000001",
        service=service,
        currency="USD",
        direction=Direction.SPIKE,
        start=day(start),
        last=day(start),
        impact=Decimal(50),
        is_real=is_real,
    )


def test_precision_and_recall_are_of_what_people_answered() -> None:
    """What nobody answered says nothing; an alarm about a real and a dismissed one is right."""
    real, missed, dismissed = (
        answered(10, is_real=True),
        answered(20, is_real=True),
        answered(30, is_real=False),
    )
    alarms = [replace(ALARM, start=day(n), last=day(n), id=UUID(int=n)) for n in (10, 30, 50)]
    judged = report(*alarms)
    judged = replace(judged, accounts=(replace(judged.accounts[0], answered=(real, missed, dismissed)),))
    score = judged.score(DetectorName.DEVIATION)
    assert (score.precision, score.recall) == (Decimal("0.5"), Decimal("0.5"))
    other = judged.score(DetectorName.ADAPTIVE)
    assert (other.precision, other.recall) == (None, Decimal(0))
    document = judged.to_document()
    assert (document["answered"], document["answered_real"]) == (3, 2)
    assert document["detectors"]["adaptive"]["recall"] == "0.00"
    both = replace(judged.accounts[0], answered=(answered(12, is_real=True), answered(12, is_real=False)))
    assert replace(judged, accounts=(both,)).score(DetectorName.DEVIATION).precision == 1


def test_an_answer_says_whether_an_anomaly_is_real() -> None:
    """Acknowledged and expected ones are; a planned or a restated one says nothing, like one without."""
    anomaly = make_anomaly(service="Amazon EC2")

    def said(*kinds: AnswerKind, of: Anomaly = anomaly) -> list[bool]:
        answers = [
            Answer(
                kind=kind,
                account_id=of.account_id,
                service=of.service,
                currency=of.currency,
                direction=of.direction,
                level=of.peak,
                start_date=of.start_date,
                end_date=of.last_date,
                anomaly_id=of.id,
                reason="",
                author="alice",
                created_at=NOW,
            )
            for kind in kinds
        ]
        return [each.is_real for each in answered_anomalies([of], "000000000001", answers, Rule())]

    assert said() == []
    assert said(AnswerKind.ACKNOWLEDGED) == said(AnswerKind.EXPECTED) == [True]
    assert said(AnswerKind.DISMISSED) == said(AnswerKind.DISMISSED, AnswerKind.ACKNOWLEDGED) == [False]
    assert said(AnswerKind.PLANNED) == []
    gone = replace(anomaly, state=AnomalyState.RESOLVED, resolution=Resolution.RESTATED)
    assert said(AnswerKind.DISMISSED, of=gone) == []
