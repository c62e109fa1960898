"""Incidents: what began on one day in one service of several accounts, with one direction, has one cause."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from uuid import UUID, uuid5

from costbatch.domain.accounts import Account
from costbatch.domain.anomalies import Anomaly, Resolution
from costbatch.domain.answers import Answer, is_silent
from costbatch.domain.detection import ZERO, Direction
from costbatch.domain.overrides import RuleOf

_NAMESPACE = UUID("4b0b2a3e-61f4-4c0d-9a57-0d7c5d1c3b68")
# From this many accounts on, one message replaces theirs.
_LEAST_MEMBERS = 2


@dataclass(frozen=True, slots=True)
class Member:
    """An account's anomaly as a part of an incident."""

    aws_account_id: str
    name: str
    anomaly_id: UUID
    expected: Decimal
    actual: Decimal

    @property
    def impact(self) -> Decimal:
        """The money difference: positive for a spike."""
        return self.actual - self.expected


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """Anomalies with one cause, the largest first; amounts of one currency."""

    service: str
    direction: Direction
    start_date: date
    currency: str
    members: tuple[Member, ...]

    @property
    def id(self) -> UUID:
        """The same for the same cause, whichever accounts are found to have it."""
        return uuid5(_NAMESPACE, f"{self.service}/{self.direction}/{self.start_date}/{self.currency}")

    @property
    def expected(self) -> Decimal:
        """The expected cost of all members together."""
        return sum((each.expected for each in self.members), ZERO)

    @property
    def actual(self) -> Decimal:
        """The actual cost of all members together."""
        return sum((each.actual for each in self.members), ZERO)

    @property
    def impact(self) -> Decimal:
        """The money difference of all members together."""
        return self.actual - self.expected


def find_incidents(
    anomalies: Iterable[Anomaly],
    accounts: Mapping[int, Account],
    answers: Mapping[int, Sequence[Answer]],
    *,
    new: Collection[UUID],
    since: date,
    rule_of: RuleOf,
) -> list[Incident]:
    """Return the incidents that have a new member, in a fixed order.

    The service of an anomaly of an account's total is the one that moved most. Anomalies that are gone,
    whose account was removed, or that an answer silences, are no members, and neither are those that ended
    before ``since``: they are history. accounts, answers: by account row.
    """
    alike: defaultdict[tuple[str, Direction, date, str], list[Anomaly]] = defaultdict(list)
    for each in anomalies:
        service = each.service or (each.explanation[0].service if each.explanation else "")
        rule, mine = rule_of(accounts[each.account_id]), answers.get(each.account_id, ())
        is_over = each.is_gone or each.resolution is Resolution.REMOVED
        is_told = not is_over and not is_silent(each, mine, rule)
        if service and is_told and each.last_date >= since:
            alike[service, each.direction, each.start_date, each.currency].append(each)
    incidents = []
    for (service, direction, start, currency), found in sorted(alike.items()):
        # A total and a service of one account are one member: the larger one.
        largest: dict[int, Anomaly] = {}
        for each in sorted(found, key=lambda each: (abs(each.impact), each.service is not None, each.id)):
            largest[each.account_id] = each
        if len(largest) < _LEAST_MEMBERS or not any(each.id in new for each in largest.values()):
            continue
        members = [
            Member(
                accounts[each.account_id].aws_account_id,
                accounts[each.account_id].name,
                each.id,
                each.expected,
                each.actual,
            )
            for each in largest.values()
        ]
        members.sort(key=lambda each: (-abs(each.impact), each.aws_account_id))
        incidents.append(
            Incident(
                service=service,
                direction=direction,
                start_date=start,
                currency=currency,
                members=tuple(members),
            )
        )
    return incidents
