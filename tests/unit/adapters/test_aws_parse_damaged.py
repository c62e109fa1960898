"""Damaged answers of Cost Explorer: each is refused where it is wrong, and none ends in another exception."""

from __future__ import annotations

import copy
import json
import random
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from costbatch.adapters.aws.cost_explorer.schema import METRICS
from costbatch.domain.periods import ONE_DAY, DateRange
from costbatch.errors import AccountError, ErrorKind
from tests.support.cost_answers import parse_costs
from tests.support.factories import CostRow

WINDOW = DateRange(date(2024, 2, 28), date(2024, 3, 2))


def good_answer() -> dict[str, Any]:
    """Return an answer of three days with two groups each."""
    return {"ResultsByTime": [_day(day) for day in WINDOW]}


def _day(day: date) -> dict[str, Any]:
    period = {"Start": day.isoformat(), "End": (day + ONE_DAY).isoformat()}
    groups = [_group("A", "1.5"), _group("B", "-9.0E-10")]
    return {"TimePeriod": period, "Total": {}, "Groups": groups, "Estimated": False}


def _group(service: str, amount: str) -> dict[str, Any]:
    return {
        "Keys": [service, "Usage"],
        "Metrics": {name: {"Amount": amount, "Unit": "USD"} for name in METRICS},
    }


def problem(page: Any) -> str:
    """Return the detail with which a page is refused; nothing is chained to it."""
    with pytest.raises(AccountError) as caught:
        parse_costs([json.dumps(page).encode()], WINDOW)
    assert caught.value.kind is ErrorKind.MALFORMED_RESPONSE
    assert caught.value.__context__ is None
    return caught.value.detail


# A path into a good answer, and the place that its refusal names. Every wrong kind of value is put there.
PLACES = [
    (("ResultsByTime",), "ResultsByTime"),
    (("ResultsByTime", 0), "ResultsByTime[0]"),
    (("ResultsByTime", 0, "TimePeriod"), "ResultsByTime[0].TimePeriod"),
    (("ResultsByTime", 0, "TimePeriod", "Start"), "ResultsByTime[0].TimePeriod.Start"),
    (("ResultsByTime", 0, "TimePeriod", "End"), "ResultsByTime[0].TimePeriod.End"),
    (("ResultsByTime", 0, "Estimated"), "ResultsByTime[0].Estimated"),
    (("ResultsByTime", 0, "Groups"), "ResultsByTime[0].Groups"),
    (("ResultsByTime", 0, "Groups", 0), "ResultsByTime[0].Groups[0]"),
    (("ResultsByTime", 0, "Groups", 0, "Keys"), "ResultsByTime[0].Groups[0].Keys"),
    (("ResultsByTime", 0, "Groups", 0, "Keys", 1), "ResultsByTime[0].Groups[0].Keys[1]"),
    (("ResultsByTime", 0, "Groups", 0, "Metrics"), "ResultsByTime[0].Groups[0].Metrics"),
    *(
        (("ResultsByTime", 0, "Groups", 0, "Metrics", name, *rest), ".".join([f"Metrics.{name}", *rest]))
        for name in METRICS
        for rest in ((), ("Amount",), ("Unit",))
        if (name, rest) != ("UsageQuantity", ("Unit",))
    ),
]
WRONG: list[Any] = [
    None,
    17,
    1.5,
    "",
    "wrong",
    [],
    ["ab"],
    {},
    {"a": "b"},
    [[[]]],
    float("nan"),
    {"Amount": []},
]


MAY_BE_ABSENT = ("NetUnblendedCost", "NetAmortizedCost", "UsageQuantity")


def _is_right(path: tuple[Any, ...], value: Any) -> bool:
    """Whether the value may stand there: an absent metric, a day without groups, any text as a name."""
    absent = value is None and path[-1] in MAY_BE_ABSENT
    return absent or (value == [] and path[-1] == "Groups") or (value == "wrong" and path[-2] == "Keys")


MISPLACED = [
    pytest.param(path, place, wrong, id=f"{place} {wrong}")
    for path, place in PLACES
    for wrong in WRONG
    if not _is_right(("", *path), wrong)
]


@pytest.mark.parametrize(("path", "place", "wrong"), MISPLACED)
def test_a_wrong_value_is_refused_where_it_stands(path: tuple[Any, ...], place: str, wrong: Any) -> None:
    """Numbers for texts, lists for objects, nothing at all: each is refused with its place."""
    page = good_answer()
    at: Any = page
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = wrong
    assert place in problem(page)


def test_mutated_answers_give_the_same_rows_or_a_refusal() -> None:
    """Thousands of damaged answers: never another exception, never a silently different amount."""
    dice = random.Random(42)
    page = good_answer()
    days = set(WINDOW)
    for _ in range(3000):
        damaged = copy.deepcopy(page)
        _damage(damaged, dice)
        try:
            rows = parse_costs([json.dumps(damaged).encode()], WINDOW)
        except AccountError as error:
            assert error.kind is ErrorKind.MALFORMED_RESPONSE  # noqa: PT017 - rows are as good an outcome
        else:
            assert all(type(row) is CostRow and isinstance(row.unblended, Decimal) for row in rows)
            assert {row.usage_date for row in rows} <= days
            assert {row.unblended for row in rows} <= {Decimal("1.5"), Decimal("-9.0E-10")}


def _damage(value: Any, dice: random.Random) -> None:
    """Walk into the answer at random and break what is there."""
    while True:
        places = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not places:
            return
        place = dice.choice(places)
        if isinstance(value[place], dict | list) and dice.random() < 0.8:
            value = value[place]
            continue
        if dice.random() < 0.3:
            del value[place]
        else:
            value[place] = copy.deepcopy(dice.choice(WRONG))
        return


def test_damaged_bytes_give_rows_or_a_refusal() -> None:
    """Cut and flipped bytes never end in another exception."""
    dice = random.Random(43)
    body = json.dumps(good_answer()).encode()
    for _ in range(3000):
        damaged = bytearray(body)
        damaged[dice.randrange(len(body))] = dice.randrange(256)
        if dice.random() < 0.3:
            del damaged[dice.randrange(len(body)) :]
        try:
            parse_costs([bytes(damaged)], WINDOW)
        except AccountError as error:
            assert error.kind is ErrorKind.MALFORMED_RESPONSE  # noqa: PT017 - rows are as good an outcome
