"""Finds repeated members in a response's objects: msgspec would silently take the last one.

Both checks prove quickly that there are none, or else parse the text strictly, which is slow.
"""

from collections.abc import Sequence

from costbatch.adapters.aws.cost_explorer.schema import Group, Result
from costbatch.domain import strict_json

# Members that a page has once, and members that each of its days has once.
_OF_PAGE = (b'"ResultsByTime"', b'"NextPageToken"')
_OF_DAY = (b'"TimePeriod"', b'"Start"', b'"End"', b'"Groups"', b'"Total"', b'"Estimated"')
# Keys, Metrics, and two costs with a name, an amount and a unit each.
_LEAST_MEMBERS = 2 + 2 * 3


def check_page(body: bytes, results: Sequence[Result]) -> None:
    """Raise RepeatedMemberError if a page repeats a member outside of its groups."""
    rest = _without_groups(body, results)
    days = len(results)
    is_plain = (
        rest is not None
        and b"\\" not in rest
        and all(rest.count(name) <= 1 for name in _OF_PAGE)
        and all(rest.count(name) <= days for name in _OF_DAY)
    )
    if not is_plain:
        strict_json.loads(body)


def check_groups(text: bytes, groups: Sequence[Group]) -> None:
    """Raise RepeatedMemberError if the groups of a day repeat a member."""
    # Each member has one colon: if there are no others, no member is repeated.
    if text.count(b":") != sum(map(_members_of, groups)):
        strict_json.loads(text)


def _without_groups(body: bytes, results: Sequence[Result]) -> bytes | None:
    """Return a page without its groups; None if they are not where they are expected."""
    parts = []
    at = 0
    for result in results:
        groups = bytes(result.Groups)
        start = body.find(b"[", body.find(b'"Groups"', at))
        if not body.startswith(groups, start):
            return None
        parts.append(body[at:start])
        at = start + len(groups)
    parts.append(body[at:])
    return b"".join(parts)


def _members_of(group: Group) -> int:
    metrics = group.Metrics
    members = _LEAST_MEMBERS
    if metrics.NetUnblendedCost is not None:
        members += 3
    if metrics.NetAmortizedCost is not None:
        members += 3
    if metrics.UsageQuantity is not None:
        members += 2 if metrics.UsageQuantity.Unit is None else 3
    return members
