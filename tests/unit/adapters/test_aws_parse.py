"""The parser of Cost Explorer's answers: exact on good ones, and never a guess on others."""

from __future__ import annotations

import copy
import json
import random
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from costbatch.adapters.aws.cost_explorer.diagnose import explain
from costbatch.adapters.aws.cost_explorer.parse import CostResponse
from costbatch.adapters.aws.cost_explorer.schema import METRICS, Amounts, Quantity
from costbatch.domain.money import parse_amount
from costbatch.domain.periods import ONE_DAY, DateRange
from costbatch.errors import AccountError, ErrorKind
from tests.support.cost_answers import parse_costs
from tests.support.factories import CostRow

WINDOW = DateRange(date(2024, 2, 28), date(2024, 3, 2))
COSTS = METRICS[:4]


def group(service: str = "Amazon EC2", record_type: str = "Usage", **amounts: str) -> dict[str, Any]:
    """Return a group with all five metrics."""
    metrics = {name: {"Amount": amounts.get(name, "1.5"), "Unit": "USD"} for name in COSTS}
    metrics["UsageQuantity"] = {"Amount": amounts.get("UsageQuantity", "24"), "Unit": "N/A"}
    return {"Keys": [service, record_type], "Metrics": metrics}


def result(day: date, *groups: dict[str, Any], estimated: bool = False) -> dict[str, Any]:
    """Return the result of a day."""
    period = {"Start": day.isoformat(), "End": (day + ONE_DAY).isoformat()}
    return {"TimePeriod": period, "Total": {}, "Groups": list(groups), "Estimated": estimated}


def answer(*results: dict[str, Any], **members: Any) -> dict[str, Any]:
    """Return an answer; the days that are not given have no groups."""
    given = {item["TimePeriod"]["Start"] for item in results}
    empty = [result(day) for day in WINDOW if day.isoformat() not in given]
    return {"GroupDefinitions": [], "ResultsByTime": [*results, *empty], **members}


def parse(*pages: dict[str, Any], window: DateRange = WINDOW) -> tuple[CostRow, ...]:
    """Parse an answer of these pages."""
    return parse_costs([json.dumps(page).encode() for page in pages], window)


def problem(page: Any) -> str:
    """Return the detail with which a page is refused; nothing is chained to it."""
    body = page if isinstance(page, bytes) else json.dumps(page).encode()
    with pytest.raises(AccountError) as caught:
        parse_costs([body], WINDOW)
    assert caught.value.kind is ErrorKind.MALFORMED_RESPONSE
    assert caught.value.__context__ is None
    return caught.value.detail


def test_a_good_answer_becomes_rows() -> None:
    """Every member of a group has its place in the row."""
    amounts = dict(zip(METRICS, ("1", "2", "3", "4", "5"), strict=True))
    rows = parse(answer(result(WINDOW.start, group("S3", "Tax", **amounts), estimated=True)))
    money = tuple(Decimal(n) for n in range(1, 6))
    assert rows == ((WINDOW.start, "S3", "Tax", "USD", *money, True),)
    assert type(rows[0]) is CostRow


@pytest.mark.parametrize(
    "text",
    ["9.0E-10", "-0.0000012345", "123456789.123456789012345", "-12", "0", "1E+3", "0.30000000000000004"],
)
def test_amounts_are_exact(text: str) -> None:
    """Exponents, minus signs and any number of digits arrive as they were printed."""
    (row,) = parse(answer(result(WINDOW.start, group(UnblendedCost=text))))
    assert str(row.unblended) == str(Decimal(text))


def test_the_fast_path_reads_amounts_as_the_domain_does() -> None:
    """Plain amounts take a short cut, a column at a time; it must not lead anywhere else."""
    shuffled = random.Random(7)
    alphabet = "0123456789012345678901234567890.-+eE_ n\n"
    texts = ["".join(shuffled.choices(alphabet, k=shuffled.randint(0, 24))) for _ in range(20_000)]
    texts += [
        "9" * 18,
        "9" * 19,
        "9" * 20,
        "0." + "1" * 20,
        "0." + "1" * 40,
        "0." + "1" * 41,
        "٣",
        "1\n",
        "1\n2",
    ]
    texts += [f"{digits}E{power}" for digits in ("1", "0.12345678901234567890") for power in range(-45, 25)]
    for text in texts:
        assert _outcome([text]) == _outcome_of_each([text]), text
    for _ in range(2000):
        column = shuffled.choices(texts, k=3)
        assert _outcome(column) == _outcome_of_each(column), column


def _outcome(texts: list[str]) -> list[str] | str:
    quantities = [Quantity(Amount=text) for text in texts]
    try:
        return [str(amount) for amount in Amounts().of_given(quantities)]
    except ValueError:
        return "refused"


def _outcome_of_each(texts: list[str]) -> list[str] | str:
    try:
        return [str(parse_amount(text)) for text in texts]
    except ValueError:
        return "refused"


def test_net_amounts_and_usage_may_be_absent() -> None:
    """AWS leaves net amounts out where there are no discounts."""
    plain = group()
    for name in ("NetUnblendedCost", "NetAmortizedCost", "UsageQuantity"):
        del plain["Metrics"][name]
    (row,) = parse(answer(result(WINDOW.start, plain)))
    assert (row.net_unblended, row.net_amortized, row.usage_quantity) == (None, None, None)
    plain["Metrics"]["UsageQuantity"] = {"Amount": None}
    assert "UsageQuantity.Amount is absent, not a text" in problem(answer(result(WINDOW.start, plain)))


def test_rows_are_in_the_order_in_which_aws_lists_them() -> None:
    """Days and groups of days, in whatever order that is."""
    days = [result(day, group("B"), group("A", "Usage"), group("A", "Credit")) for day in WINDOW]
    rows = parse(answer(*reversed(days)))
    assert [row.usage_date for row in rows] == [day for day in reversed(list(WINDOW)) for _ in range(3)]
    assert [row[1:3] for row in rows] == [("B", "Usage"), ("A", "Usage"), ("A", "Credit")] * 3


def test_a_day_may_be_split_across_pages() -> None:
    """AWS cuts pages by groups, not by days."""
    one = answer(result(WINDOW.start, group("A")), NextPageToken="2")
    two = {"ResultsByTime": [result(WINDOW.start, group("B"))]}
    assert [row.service for row in parse(one, two)] == ["A", "B"]


def test_the_token_of_the_next_page_is_given() -> None:
    """None says that this was the last page."""
    gathered = CostResponse(WINDOW)
    assert gathered.add_page(json.dumps(answer(NextPageToken="abc")).encode()) == "abc"
    assert gathered.add_page(b'{"ResultsByTime": []}') is None
    assert len(gathered.fetched(2).costs) == 0


@pytest.mark.parametrize("name", ["x" * 1000, "Amazon 東京 “quoted”\u00a0", " ", "NoRecordType"])
def test_names_are_kept_as_they_are(name: str) -> None:
    """An open list of services and record types, in any script, up to 1,000 characters."""
    (row,) = parse(answer(result(WINDOW.start, group(name, name))))
    assert (row.service, row.record_type) == (name, name)


@pytest.mark.parametrize("name", ["", "x" * 1001, "a\x00b", "a\nb", "\x7f", "\ud800"])
def test_names_that_cannot_be_stored_are_refused(name: str) -> None:
    """PostgreSQL stores neither NUL nor half a surrogate pair; an empty name names nothing."""
    assert "Groups[0].Keys[0] is" in problem(answer(result(WINDOW.start, group(name))))
    assert "Groups[0].Keys[1] is" in problem(answer(result(WINDOW.start, group("A", name))))


def test_a_group_that_comes_twice_is_refused() -> None:
    """Adding or overwriting would both be a guess, on one page or on two."""
    assert "Groups[1].Keys repeats" in problem(answer(result(WINDOW.start, group(), group())))
    page = answer(result(WINDOW.start, group()))
    with pytest.raises(AccountError, match="repeats"):
        parse(page, page)


def test_a_missing_day_is_not_a_zero() -> None:
    """Every day of the window must be listed, if only without groups."""
    page = answer()
    del page["ResultsByTime"][1]
    assert problem(page) == "GetCostAndUsage: ResultsByTime does not contain the day 2024-02-29."


def test_amounts_of_one_group_share_a_currency() -> None:
    """Two currencies in one group cannot be one row; two groups may differ."""
    for name in COSTS[1:]:
        mixed = group()
        mixed["Metrics"][name]["Unit"] = "EUR"
        assert f'Metrics.{name}.Unit is "EUR", although UnblendedCost is in USD' in problem(
            answer(result(WINDOW.start, mixed))
        )
    euros = group("B")
    for name in COSTS:
        euros["Metrics"][name]["Unit"] = "EUR"
    rows = parse(answer(result(WINDOW.start, group("A"), euros)))
    assert [row.currency for row in rows] == ["USD", "EUR"]


def test_the_place_is_named_exactly() -> None:
    """A person finds the wrong amount at once."""
    groups = [group(str(n)) for n in range(8)]
    groups[7]["Metrics"]["AmortizedCost"]["Amount"] = "12,5"
    page = answer(result(WINDOW.start), result(date(2024, 2, 29), *groups))
    assert problem(page) == (
        'GetCostAndUsage: ResultsByTime[1].Groups[7].Metrics.AmortizedCost.Amount is "12,5": '
        "an amount is not a decimal number."
    )


def test_at_most_forty_printable_characters_are_shown() -> None:
    """Whatever an answer holds, an error shows little of it and no control characters."""
    detail = problem(answer(result(WINDOW.start, group(UnblendedCost="\x1b[31m" + "A" * 5000))))
    assert len(detail) < 200
    assert detail.isprintable()
    assert "A" * 40 not in detail


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b'{"ResultsByTime": [',
        b"\xff\xfe\xfd",
        b"[" * 200_000,
        b'{"ResultsByTime":' + b'{"a":' * 200_000,
        b"9" * 5000,
    ],
    ids=range(7),
)
def test_what_is_not_json_is_refused(body: bytes) -> None:
    """Cut off, another format, or nested beyond all bounds."""
    assert f"is not JSON ({len(body)} bytes)" in problem(body)


@pytest.mark.parametrize("page", [None, [], "text", 1, True, [[[]]]])
def test_a_body_that_is_no_object_is_refused(page: Any) -> None:
    """JSON alone is not an answer."""
    assert "the body is" in problem(page)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2024-02-27", "2024-02-28"),
        ("2024-03-02", "2024-03-03"),
        ("20240228", "2024-02-29"),
        ("2024-02-28T00:00:00Z", "2024-02-29"),
        ("2024-02-28", "2024-03-01"),
        ("2024-02-28", "2024-02-28"),
        ("2024-02-30", "2024-03-01"),
    ],
)
def test_days_outside_of_the_window_or_longer_than_one_are_refused(start: str, end: str) -> None:
    """Only what was asked for is taken, and only as AWS spells it."""
    page = answer()
    page["ResultsByTime"].append({**result(WINDOW.start), "TimePeriod": {"Start": start, "End": end}})
    assert "ResultsByTime[3].TimePeriod." in problem(page)


@pytest.mark.parametrize("keys", [["one"], ["one", "two", "three"], "ab", {"a": 1, "b": 2}])
def test_a_group_has_exactly_two_keys(keys: Any) -> None:
    """Service and record type; a text of two letters is not two keys."""
    page = answer(result(WINDOW.start, group("a", "b"), {**group(), "Keys": keys}))
    assert "Groups[1].Keys" in problem(page)


@pytest.mark.parametrize("token", ["", 7, [], {}, True])
def test_a_token_is_a_text(token: Any) -> None:
    """An empty token is neither the end nor a page."""
    assert "NextPageToken" in problem(answer(NextPageToken=token))


def test_a_member_that_is_missing_is_absent() -> None:
    """Each member that we rely on is checked for being there."""
    good = answer(result(WINDOW.start, group()))
    for name in ("UnblendedCost", "AmortizedCost"):
        page = copy.deepcopy(good)
        del page["ResultsByTime"][0]["Groups"][0]["Metrics"][name]
        assert f"Metrics.{name} is absent, not an object." in problem(page)


def test_a_refused_page_without_a_visible_fault_is_still_refused() -> None:
    """Explaining is not deciding: when it finds nothing, the page stays refused."""
    days = {(day.isoformat(), (day + ONE_DAY).isoformat()): day for day in WINDOW}
    found = explain(json.dumps(answer(result(WINDOW.start, group()))).encode(), WINDOW, days)
    assert found.to_account_error().detail == "GetCostAndUsage: the body is not as documented."
