"""Incidents: what began alike in several accounts is told once."""

import json
import random
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from costbatch.domain.anomalies import Anomaly, AnomalyState, Resolution
from costbatch.domain.answers import Answer, AnswerKind
from costbatch.domain.detection import Contribution, Direction, Rule
from costbatch.domain.events import incident_detected
from costbatch.domain.incidents import Incident, Member, find_incidents
from tests.support.factories import NOW, day, make_account, make_anomaly

S3 = "Amazon S3"
ACCOUNTS = {number: make_account(number) for number in (1, 2, 3, 4)}


def of(number: int, **fields: Any) -> Anomaly:
    """Return an anomaly of an account in one service: 100 expected, 200 came."""
    return make_anomaly(**{"id": UUID(int=number), "account_id": number, "service": S3, **fields})


def incidents(
    *anomalies: Anomaly, new: set[int] | None = None, since: int = 0, answers: tuple[Answer, ...] = ()
) -> list[Incident]:
    """Return the incidents; without numbers every anomaly is new."""
    ids = {each.id for each in anomalies} if new is None else {UUID(int=number) for number in new}
    answered = {each.account_id: [each] for each in answers}
    return find_incidents(anomalies, ACCOUNTS, answered, new=ids, since=day(since), rule_of=lambda _: Rule())


def test_two_accounts_with_one_cause_are_one_incident_with_a_total() -> None:
    """The member with the largest impact comes first."""
    (incident,) = incidents(of(1), of(2, actual=Decimal(450)))
    assert (incident.service, incident.start_date, incident.currency) == (S3, day(40), "USD")
    assert [member.aws_account_id for member in incident.members] == [
        ACCOUNTS[2].aws_account_id,
        ACCOUNTS[1].aws_account_id,
    ]
    assert [incident.expected, incident.actual, incident.impact] == [200, 650, 450]


@pytest.mark.parametrize(
    "other",
    [
        {"account_id": 1},
        {"service": "Amazon EC2"},
        {"service": None},
        {"start_date": day(39)},
        {"currency": "EUR"},
        {"direction": Direction.DROP, "actual": Decimal(5)},
        {"state": AnomalyState.RESOLVED, "resolution": Resolution.RESTATED},
        {"state": AnomalyState.RESOLVED, "resolution": Resolution.REMOVED},
    ],
    ids=["account", "service", "unexplained total", "day", "currency", "direction", "gone", "removed"],
)
def test_what_differs_is_no_incident(other: dict[str, Any]) -> None:
    """Another service, day, direction or currency is another cause; one account, or what is over, is none."""
    assert incidents(of(1), of(2, **other)) == []


def answer_to(anomaly: Anomaly, kind: AnswerKind) -> Answer:
    """Return an answer to an anomaly, at its level and for its days."""
    return Answer(
        kind=kind,
        account_id=anomaly.account_id,
        service=anomaly.service,
        currency=anomaly.currency,
        direction=anomaly.direction,
        level=anomaly.peak,
        start_date=anomaly.start_date,
        end_date=anomaly.last_date,
        anomaly_id=anomaly.id,
        reason="",
        author="alice",
        created_at=NOW,
    )


@pytest.mark.parametrize("kind", AnswerKind)
def test_what_an_answer_silences_is_no_member(kind: AnswerKind) -> None:
    """Dismissed, expected or planned: none of its events is sent. One that someone is on is still a part."""
    members = 3 if kind is AnswerKind.ACKNOWLEDGED else 2
    (incident,) = incidents(of(1), of(2), of(3), answers=(answer_to(of(3), kind),))
    assert len(incident.members) == members
    is_incident = kind is AnswerKind.ACKNOWLEDGED
    assert bool(incidents(of(1), of(2), answers=(answer_to(of(2), kind),))) is is_incident
    above = of(2, peak=of(2).peak * 2)
    assert len(incidents(of(1), above, answers=(answer_to(of(2), kind),))) == (kind is not AnswerKind.PLANNED)


def test_an_accounts_total_counts_for_the_service_that_moved_most() -> None:
    """So that the default rule, which judges totals, has incidents too."""
    parts = (Contribution(S3, Decimal(1), Decimal(90)), Contribution("AWS Lambda", Decimal(1), Decimal(9)))
    (incident,) = incidents(of(1), of(2, service=None, explanation=parts))
    assert incident.service == S3


def test_the_total_and_a_service_of_one_account_are_one_member() -> None:
    """Otherwise its money would count twice."""
    total = of(9, account_id=1, service=None, explanation=(Contribution(S3, Decimal(1), Decimal(9)),))
    (incident,) = incidents(of(1), total, of(2))
    assert [member.anomaly_id.int for member in incident.members] == [1, 2]


def test_only_an_incident_with_a_new_member_is_told_and_history_is_none() -> None:
    """Yesterday's incident is no news, and a first collection finds a year of them."""
    assert incidents(of(1), of(2), new=set()) == []
    assert len(incidents(of(1), of(2), new={2})) == 1
    assert incidents(of(1), of(2), since=41) == []


def test_the_order_of_accounts_changes_nothing() -> None:
    """Several pods save them in any order."""
    found = [of(number, actual=Decimal(200)) for number in ACCOUNTS]
    expected = incidents(*found)
    for seed in range(5):
        random.Random(seed).shuffle(found)
        assert incidents(*found) == expected


@pytest.mark.parametrize("name", ["production", "本番🚀" * 50])
def test_an_incident_of_any_number_of_accounts_is_one_that_receivers_take(name: str) -> None:
    """SNS and webhooks take 256 KiB: it names the largest, and counts and adds up all."""
    members = tuple(
        Member(f"{n:012}", name, UUID(int=n), Decimal(10), Decimal(5_010 - n)) for n in range(4_000)
    )
    incident = Incident(
        service=S3, direction=Direction.SPIKE, start_date=day(0), currency="USD", members=members
    )
    event = incident_detected(incident, run_id=UUID(int=7), now=NOW)
    assert len(json.dumps(event.to_cloudevent(), ensure_ascii=False).encode()) < 240 * 1024
    told = event.data["incident"]
    assert (told["accounts"], told["impact"]) == (4_000, "12002000.00")
    named = [each["aws_account_id"] for each in told["members"]]
    assert named == [f"{n:012}" for n in range(len(named))]
    assert len(named) > 200


def test_an_incident_that_grows_is_another_event_of_the_same_incident() -> None:
    """A receiver drops repeats by the event's id, and groups by the incident's."""
    (two,), (three,) = incidents(of(1), of(2)), incidents(of(1), of(2), of(3))
    told = [incident_detected(each, run_id=UUID(int=7), now=NOW) for each in (two, three, two)]
    assert told[0].id == told[2].id != told[1].id
    assert {event.data["incident"]["id"] for event in told} == {str(two.id)}
    assert told[1].subject == S3
    assert told[1].data["incident"]["accounts"] == 3
    assert told[1].data["incident"]["impact"] == "300.00"
