"""Which of AWS's anomalies and ours are about the same."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from costbatch.domain.anomalies import Anomaly, AnomalyState, Resolution
from costbatch.domain.detection import Direction
from costbatch.domain.periods import DateRange
from costbatch.domain.second_opinion import (
    ALL_KNOWN,
    AwsAnomaly,
    AwsRootCause,
    Compared,
    Edge,
    NotKnown,
    Opinion,
    compare,
    not_known_of,
)
from tests.support.factories import make_anomaly

ONE, TWO = "000000000001", "000000000002"
START = date(2025, 3, 10)
DAY = timedelta(days=1)
GAP = 3 * DAY
DAYS = DateRange(START - 30 * DAY, START + 30 * DAY)


def theirs(**fields: Any) -> AwsAnomaly:
    """Return an anomaly of AWS: three days of compute in the first account."""
    plain: dict[str, Any] = {
        "id": "a",
        "read_by": ONE,
        "monitor_arn": "arn",
        "dimension_value": "EC2",
        "start_date": START,
        "last_date": START + 2 * DAY,
        "score": Decimal("0.9"),
        "impact": Decimal(100),
        "expected": None,
        "actual": None,
        "feedback": None,
    }
    return AwsAnomaly(**{**plain, **fields})


def ours(**fields: Any) -> Anomaly:
    """Return an anomaly of ours of the same days and service."""
    return make_anomaly(**{"service": "EC2", "start_date": START, "last_date": START + 2 * DAY, **fields})


def compared(
    of_aws: Sequence[AwsAnomaly],
    mine: Sequence[tuple[str, Anomaly]] = (),
    *,
    accounts: Sequence[str] = (ONE,),
    days: DateRange = DAYS,
    asked: Mapping[str, DateRange] | None = None,
) -> list[Compared]:
    """Return who found what, if there are costs of compute and storage; asked: by default of all the days."""
    known = dict.fromkeys(accounts, DAYS) if asked is None else {each: asked.get(each) for each in accounts}
    return compare(of_aws, mine, accounts=known, services=["EC2", "S3"], days=days, gap=GAP).found


@pytest.mark.parametrize(
    ("of_aws", "mine", "opinions"),
    [
        ({}, {}, [Opinion.BOTH]),
        ({}, {"service": None}, [Opinion.BOTH]),
        ({"dimension_value": None}, {}, [Opinion.BOTH]),
        ({}, {"service": None, "actual": Decimal(2000)}, [Opinion.ONLY_AWS, Opinion.ONLY_WE]),
        ({}, {"service": "EC2", "actual": Decimal(2000)}, [Opinion.BOTH]),
        ({}, {"service": None, "actual": Decimal(2000), "currency": "JPY"}, [Opinion.BOTH]),
        ({"dimension_value": None, "impact": Decimal(90000)}, {}, [Opinion.ONLY_AWS, Opinion.ONLY_WE]),
        ({}, {"service": "S3"}, [Opinion.ONLY_AWS, Opinion.ONLY_WE]),
        ({}, {"direction": Direction.DROP}, [Opinion.ONLY_AWS, Opinion.ONLY_WE]),
        ({"impact": Decimal(-5)}, {"direction": Direction.DROP}, [Opinion.BOTH]),
        ({}, {"start_date": START + 5 * DAY, "last_date": START + 5 * DAY}, [Opinion.BOTH]),
        (
            {},
            {"start_date": START + 6 * DAY, "last_date": START + 6 * DAY},
            [Opinion.ONLY_AWS, Opinion.ONLY_WE],
        ),
        (
            {"last_date": None},
            {"start_date": START + 9 * DAY, "last_date": START + 9 * DAY},
            [Opinion.BOTH],
        ),
        (
            {"start_date": START - 92 * DAY, "last_date": None},
            {"start_date": START + DAY, "last_date": START + DAY},
            [Opinion.BOTH],
        ),
        (
            {"start_date": START - 92 * DAY, "last_date": None},
            {"start_date": START + 2 * DAY, "last_date": START + 2 * DAY},
            [Opinion.ONLY_AWS, Opinion.ONLY_WE],
        ),
        ({}, {"start_date": START - 3 * DAY, "last_date": START - 3 * DAY}, [Opinion.BOTH]),
        ({}, {"state": AnomalyState.RESOLVED, "resolution": Resolution.RESTATED}, [Opinion.ONLY_AWS]),
        ({"root_causes": (AwsRootCause(service="S3"),)}, {"service": "S3"}, [Opinion.BOTH]),
        ({"root_causes": (AwsRootCause(linked_account=TWO),)}, {}, [Opinion.ONLY_WE]),
        ({"dimension_value": TWO}, {}, [Opinion.ONLY_WE]),
        ({"dimension_value": ONE, "read_by": TWO}, {}, [Opinion.BOTH]),
        ({"dimension_value": "team-a"}, {}, [Opinion.BOTH]),
        ({"dimension_value": "team-a", "root_causes": (AwsRootCause(service="EC2"),)}, {}, [Opinion.BOTH]),
        (
            {"dimension_value": "team-a", "root_causes": (AwsRootCause(service="S3"),)},
            {},
            [Opinion.ONLY_AWS, Opinion.ONLY_WE],
        ),
        ({"start_date": date(2024, 1, 1), "last_date": date(2024, 1, 2)}, {}, [Opinion.ONLY_WE]),
    ],
)
def test_days_direction_and_service_decide(
    of_aws: dict[str, Any], mine: dict[str, Any], opinions: list[Opinion]
) -> None:
    """They touch within the gap; what is restated is none of ours; a payer's is about the member."""
    found = compared([theirs(**of_aws)], [(ONE, ours(**mine))])
    assert [each.opinion for each in found] == opinions


@pytest.mark.parametrize(
    ("of_aws", "service"),
    [
        ({"root_causes": (AwsRootCause(service="S3"), AwsRootCause(service="EC2"))}, "EC2"),
        ({"dimension_value": ONE}, None),
        ({"dimension_value": "team-a"}, None),
        ({"dimension_value": ONE, "root_causes": (AwsRootCause(service="S3"),)}, "S3"),
        ({"dimension_value": "Redshift", "root_causes": (AwsRootCause(service="Redshift"),)}, "Redshift"),
    ],
)
def test_what_a_monitor_watches_is_a_service_only_if_costs_or_root_causes_know_it(
    of_aws: dict[str, Any], service: str | None
) -> None:
    """It may as well be an account, a tag or a cost category; programs get it as AWS gives it."""
    (only,) = compared([theirs(**of_aws)])
    assert (only.service, only.opinion) == (service, Opinion.ONLY_AWS)
    assert only.to_document()["aws"]["dimension_value"] == of_aws.get("dimension_value", "EC2")


def test_an_anomaly_of_several_accounts_is_compared_by_account() -> None:
    """Each with its own services and impact, which add up to the whole; without shares, the whole."""
    share_of_one = AwsRootCause(linked_account=ONE, service="EC2", impact=Decimal(90))
    share_of_two = AwsRootCause(linked_account=TWO, service="S3", impact=Decimal(10))
    together = theirs(dimension_value="team-a", expected=Decimal(5), root_causes=(share_of_one, share_of_two))
    mine = [(ONE, ours()), (TWO, ours())]
    found = compared([together], mine, accounts=[ONE, TWO])
    assert [(each.opinion, each.aws_account_id, each.service) for each in found] == [
        (Opinion.BOTH, ONE, "EC2"),
        (Opinion.ONLY_AWS, TWO, "S3"),
        (Opinion.ONLY_WE, TWO, "EC2"),
    ]
    shares = [each.to_document()["aws"] for each in found if each.theirs]
    assert [(each["impact_usd"], each["expected_usd"]) for each in shares] == [
        ("90.00", None),
        ("10.00", None),
    ]
    assert [each["root_causes"] for each in shares] == [
        [share_of_one.to_document()],
        [share_of_two.to_document()],
    ]
    unknown = replace(together, root_causes=(share_of_one, replace(share_of_two, impact=None)))
    found = compared([unknown], accounts=[TWO])
    assert [each.theirs.impact for each in found if each.theirs] == [Decimal(100)]


def test_several_of_ours_belong_to_one_of_theirs() -> None:
    """And none of them is told again as ours alone; other accounts are left out."""
    mine = [(ONE, ours()), (ONE, ours(service=None)), (TWO, ours())]
    found = compared([theirs()], mine, accounts=[ONE, TWO])
    assert [(each.opinion, each.aws_account_id, len(each.ours)) for each in found] == [
        (Opinion.BOTH, ONE, 2),
        (Opinion.ONLY_WE, TWO, 1),
    ]
    assert compared([theirs()], accounts=[TWO]) == []
    document = found[0].to_document()
    assert (document["opinion"], document["aws"]["impact_usd"]) == ("both", "100.00")


@pytest.mark.parametrize(
    ("asked", "opinions"),
    [
        ({}, []),
        ({TWO: DAYS}, []),
        ({ONE: DateRange(START - 9 * DAY, START)}, []),
        ({ONE: DateRange(START + 3 * DAY, START + 9 * DAY)}, []),
        ({ONE: DateRange(START - 9 * DAY, START + DAY)}, [Opinion.ONLY_WE]),
        ({ONE: DateRange(START + 2 * DAY, START + 9 * DAY)}, [Opinion.ONLY_WE]),
    ],
)
def test_what_aws_was_not_asked_about_is_not_ours_alone(
    asked: dict[str, DateRange], opinions: list[Opinion]
) -> None:
    """AWS may have found it as well; what is stored of AWS is compared all the same."""
    assert [each.opinion for each in compared([], [(ONE, ours())], asked=asked)] == opinions
    assert [each.opinion for each in compared([theirs()], [(ONE, ours())], asked=asked)] == [Opinion.BOTH]


@pytest.mark.parametrize("first", [START, START + 4 * DAY, START + 5 * DAY, START + 6 * DAY])
@pytest.mark.parametrize("is_ours_later", [True, False])
def test_what_both_found_at_the_edge_of_the_days_is_of_both(first: date, *, is_ours_later: bool) -> None:
    """One on the days is enough to list both; if neither is, there is nothing to list."""
    later = {"start_date": START + 4 * DAY, "last_date": START + 5 * DAY}
    of_aws, mine = ({}, later) if is_ours_later else (later, {})
    days = DateRange(first, START + 30 * DAY)
    found = compared([theirs(**of_aws)], [(ONE, ours(**mine))], days=days)
    expected = [Opinion.BOTH] if first <= START + 5 * DAY else []
    assert [each.opinion for each in found] == expected


def test_the_days_that_aws_was_asked_about_are_told_by_their_narrowest_edges() -> None:
    """Of an account asked about no day of them nothing is known; of the others, all between two days is."""
    whole = DateRange(DAYS.start - DAY, DAYS.end_exclusive + DAY)
    late, later = (DateRange(DAYS.start + n * DAY, DAYS.end_exclusive) for n in (1, 5))
    early = DateRange(DAYS.start, DAYS.end_exclusive - 2 * DAY)
    before = DateRange(DAYS.start - 9 * DAY, DAYS.start)
    assert not_known_of([whole, DAYS], DAYS, 0) == ALL_KNOWN
    assert not_known_of([whole, late, later, early, before, None], DAYS, 3) == NotKnown(
        accounts=2,
        asked_from=Edge(later.start, accounts=2),
        asked_to=Edge(early.last, accounts=1),
        anomalies=3,
    )
