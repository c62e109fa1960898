"""AWS's own cost anomalies, and what both AWS and costbatch found, only AWS, or only costbatch."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple

from costbatch.domain.accounts import is_account_id
from costbatch.domain.anomalies import Anomaly, is_visible_part
from costbatch.domain.detection import ZERO, Direction
from costbatch.domain.events import cents
from costbatch.domain.periods import DateRange

# Under this name the progress of the import is stored, as that of a job.
IMPORT = "import-aws"
# AWS gives its anomalies for so long.
AWS_KEEPS = timedelta(days=90)


class Feedback(StrEnum):
    """What people told AWS of one of its anomalies."""

    YES = "YES"
    NO = "NO"
    PLANNED_ACTIVITY = "PLANNED_ACTIVITY"


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsRootCause:
    """A part of one of AWS's anomalies; what AWS does not say is None. impact: in US dollars."""

    service: str | None = None
    region: str | None = None
    linked_account: str | None = None
    usage_type: str | None = None
    impact: Decimal | None = None

    def to_document(self) -> dict[str, Any]:
        """Return the part as JSON has it, and as it is stored."""
        return {
            "service": self.service,
            "region": self.region,
            "linked_account": self.linked_account,
            "usage_type": self.usage_type,
            "impact": None if self.impact is None else f"{self.impact:f}",
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsAnomaly:
    """An anomaly that AWS detected; amounts in US dollars. last_date: None: it has not ended.

    read_by: the account whose credentials read it; a payer reads those of its members. dimension_value: a
    service, an account, or the value of a tag or cost category: what kind of monitor it is AWS does not say.
    """

    id: str
    read_by: str
    monitor_arn: str
    dimension_value: str | None
    start_date: date | None
    last_date: date | None
    score: Decimal
    impact: Decimal
    expected: Decimal | None
    actual: Decimal | None
    feedback: Feedback | None
    root_causes: tuple[AwsRootCause, ...] = ()

    @property
    def accounts(self) -> set[str]:
        """The accounts that it is about."""
        named = {each.linked_account for each in self.root_causes if each.linked_account}
        value = self.dimension_value
        return named or {value if value and is_account_id(value) else self.read_by}

    def part_of(self, account: str) -> "AwsAnomaly":
        """Return what AWS says of one of its accounts: the root causes, and their impact if all have one."""
        if len(self.accounts) == 1:
            return self
        mine = tuple(each for each in self.root_causes if each.linked_account == account)
        impacts = [each.impact for each in mine if each.impact is not None]
        if len(impacts) < len(mine):
            return replace(self, root_causes=mine)
        # What was expected and paid AWS says only of all the accounts together.
        return replace(self, root_causes=mine, impact=sum(impacts, ZERO), expected=None, actual=None)

    def services(self, known: Collection[str]) -> list[str]:
        """Return the services that it is about; none if AWS does not say. known: those that there are."""
        named = [each.service for each in self.root_causes if each.service]
        value = self.dimension_value
        return [value, *named] if value and (value in known or value in named) else named

    @property
    def days(self) -> tuple[date, date]:
        """The first and the last day; without one, the last possible day.

        One that has not ended lasts as long as AWS keeps it: that it ended later, no import says.
        """
        first = self.start_date or self.last_date
        if first is None:
            return date.max, date.max
        return first, self.last_date or first + AWS_KEEPS

    def to_document(self) -> dict[str, Any]:
        """Return the anomaly as JSON has it, amounts to the cent."""
        return {
            "id": self.id,
            "read_by": self.read_by,
            "dimension_value": self.dimension_value,
            "impact_usd": cents(self.impact, "USD"),
            "expected_usd": None if self.expected is None else cents(self.expected, "USD"),
            "actual_usd": None if self.actual is None else cents(self.actual, "USD"),
            "score": f"{self.score:f}",
            "feedback": self.feedback.value if self.feedback else None,
            "root_causes": [each.to_document() for each in self.root_causes],
        }


class SavedOpinions(NamedTuple):
    """How many of AWS's anomalies were new, changed, or as they were."""

    added: int = 0
    updated: int = 0
    unchanged: int = 0

    def plus(self, other: "SavedOpinions") -> "SavedOpinions":
        """Return the sums."""
        return SavedOpinions(*map(sum, zip(self, other, strict=True)))


NOTHING_SAVED = SavedOpinions()


class Opinion(StrEnum):
    """Who found it."""

    BOTH = "both"
    ONLY_AWS = "only AWS"
    ONLY_WE = "only we"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One of AWS's anomalies with those of ours that are about the same, or one of ours alone.

    theirs: the part of the account. service: what it is about; None: the account's total, or AWS does not
    say.
    """

    aws_account_id: str
    service: str | None
    theirs: AwsAnomaly | None = None
    ours: tuple[Anomaly, ...] = ()

    @property
    def opinion(self) -> Opinion:
        """Who found it."""
        if self.theirs is None:
            return Opinion.ONLY_WE
        return Opinion.BOTH if self.ours else Opinion.ONLY_AWS

    @property
    def days(self) -> tuple[date | None, date | None]:
        """The first and the last day; None: AWS does not say, or it has not ended."""
        if self.theirs:
            return self.theirs.start_date, self.theirs.last_date
        return self.ours[0].start_date, self.ours[0].last_date

    def to_document(self) -> dict[str, Any]:
        """Return the comparison as JSON has it."""
        first, last = self.days
        return {
            "opinion": self.opinion.value,
            "aws_account_id": self.aws_account_id,
            "service": self.service,
            "start_date": first.isoformat() if first else None,
            "last_date": last.isoformat() if last else None,
            "aws": self.theirs.to_document() if self.theirs else None,
            "anomalies": [
                {
                    "id": str(each.id),
                    "service": each.service,
                    "start_date": each.start_date.isoformat(),
                    "last_date": each.last_date.isoformat(),
                    "currency": each.currency,
                    "impact": cents(each.impact, each.currency),
                }
                for each in self.ours
            ],
        }


class Edge(NamedTuple):
    """A day that AWS was asked from, or up to, and about how many accounts."""

    day: date
    accounts: int

    def to_document(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {"date": self.day.isoformat(), "accounts": self.accounts}


class NotKnown(NamedTuple):
    """What AWS was not asked about, so that it is not known whether it found what we found.

    accounts: about how many accounts it was not asked at all. asked_from, asked_to: the day before which, and
    after which, it was not asked about all days of so many accounts. anomalies: how many of ours alone are on
    days that it was not asked about.
    """

    accounts: int = 0
    asked_from: Edge | None = None
    asked_to: Edge | None = None
    anomalies: int = 0

    def to_document(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "accounts": self.accounts,
            "asked_from": self.asked_from.to_document() if self.asked_from else None,
            "asked_to": self.asked_to.to_document() if self.asked_to else None,
            "anomalies": self.anomalies,
        }


ALL_KNOWN = NotKnown()


def not_known_of(asked: Collection[DateRange | None], days: DateRange, anomalies: int) -> NotKnown:
    """Return what is not known of the days. asked: of each account, the days that AWS was asked about."""
    some = [each for each in asked if each and each.overlaps(days.start, days.last)]
    starts = [each.start for each in some if each.start > days.start]
    lasts = [each.last for each in some if each.last < days.last]
    return NotKnown(
        accounts=len(asked) - len(some),
        asked_from=Edge(max(starts), len(starts)) if starts else None,
        asked_to=Edge(min(lasts), len(lasts)) if lasts else None,
        anomalies=anomalies,
    )


class Comparison(NamedTuple):
    """Who found what; not_known: how many of ours are left out because AWS was not asked about their days."""

    found: list[Compared]
    not_known: int


def compare(
    theirs: Iterable[AwsAnomaly],
    ours: Sequence[tuple[str, Anomaly]],
    *,
    accounts: Mapping[str, DateRange | None],
    services: Collection[str],
    days: DateRange,
    gap: timedelta,
) -> Comparison:
    """Return who found what in the accounts on the days; ours: with the 12-digit account id.

    Both are about the same if they are of one account and direction, their days touch, and the services are
    the same if both name one. If only one names a service, it must be a visible part of the other.
    services: those with costs. gap: how far apart the days of one anomaly may be. Both lists must also have
    the anomalies up to this gap before and after the days, because they may match one on the days.
    accounts: each with the days that AWS was asked about; on other days AWS may have found ours, too.
    """
    ours = [(of, each) for of, each in ours if not each.is_gone]
    found: list[Compared] = []
    matched = set[int]()
    for each in theirs:
        for account in sorted(each.accounts & {*accounts}):
            part = each.part_of(account)
            named = part.services(services)
            mine = [
                place
                for place, (of, anomaly) in enumerate(ours)
                if of == account and _are_about_the_same(part, anomaly, named, gap)
            ]
            matched.update(mine)
            same = tuple(ours[place][1] for place in mine)
            if days.overlaps(*part.days) or any(days.overlaps(it.start_date, it.last_date) for it in same):
                service = next(iter(named), None)
                found.append(Compared(aws_account_id=account, service=service, theirs=part, ours=same))
    alone = [
        (account, anomaly)
        for place, (account, anomaly) in enumerate(ours)
        if place not in matched and days.overlaps(anomaly.start_date, anomaly.last_date)
    ]
    known = [
        Compared(aws_account_id=account, service=anomaly.service, ours=(anomaly,))
        for account, anomaly in alone
        if (asked := accounts.get(account)) and asked.overlaps(anomaly.start_date, anomaly.last_date)
    ]
    order = list(Opinion)
    found = sorted(
        found + known,
        key=lambda each: (
            order.index(each.opinion),
            each.aws_account_id,
            each.days[0] or date.max,
            each.service or "",
        ),
    )
    return Comparison(found, not_known=len(alone) - len(known))


def _are_about_the_same(theirs: AwsAnomaly, ours: Anomaly, services: Collection[str], gap: timedelta) -> bool:
    first, last = theirs.days
    is_up = theirs.impact >= 0
    # The last possible day has none after it.
    reaches = last > date.max - gap or ours.start_date <= last + gap
    is_part = True
    # AWS tells the impact in US dollars.
    if ours.currency == "USD" and ours.service is None and services:
        is_part = is_visible_part(theirs.impact, ours.impact)
    elif ours.currency == "USD" and ours.service is not None and not services:
        is_part = is_visible_part(ours.impact, theirs.impact)
    return (
        (ours.direction is Direction.SPIKE) == is_up
        and reaches
        and first <= ours.last_date + gap
        and (ours.service is None or not services or ours.service in services)
        and is_part
    )
