"""Answers of which a part is known from the last time: a day is left unread only where it reads as it did."""

from __future__ import annotations

import json
import random
from itertools import compress, product
from typing import TYPE_CHECKING, Any

import pytest

from costbatch.adapters.aws.cost_explorer.parse import CostResponse, _digest
from costbatch.adapters.aws.cost_explorer.schema import METRICS, read_page
from costbatch.domain.costs import NO_DIGESTS, DayDigest
from costbatch.domain.periods import ONE_DAY, DateRange
from costbatch.errors import AccountError, ErrorKind
from tests.support.factories import CostRow, days, rows_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from costbatch.domain.costs import DayDigests, FetchedCosts

WINDOW = days(57, 62)
FIRST, SECOND, THIRD, FOURTH, FIFTH = WINDOW

Groups = dict[str, str]
Result = dict[str, Any]


def result(day: date, groups: Groups, *, estimated: bool = False) -> Result:
    """Return the result of a day whose services cost so much."""
    period = {"Start": day.isoformat(), "End": (day + ONE_DAY).isoformat()}
    listed = [
        {"Keys": [name, "Usage"], "Metrics": {each: {"Amount": amount, "Unit": "USD"} for each in METRICS}}
        for name, amount in groups.items()
    ]
    return {"TimePeriod": period, "Total": {}, "Groups": listed, "Estimated": estimated}


def results(**other: Any) -> list[Result]:
    """Return two services on each day, with other groups or another flag on the second day."""
    plain = {day: result(day, {"A": "1.5", "B": "2"}) for day in WINDOW}
    return [*(plain | {SECOND: plain[SECOND] | other}).values()]


def read(*pages: list[Result], previous: DayDigests = NO_DIGESTS) -> FetchedCosts:
    """Read an answer of these pages."""
    answer = CostResponse(WINDOW, previous)
    for number, page in enumerate(pages, 1):
        token = {} if number == len(pages) else {"NextPageToken": str(number)}
        answer.add_page(json.dumps({"ResultsByTime": page, **token}).encode())
    return answer.fetched(len(pages))


def problem(*pages: list[Result], previous: DayDigests) -> str:
    """Return the detail with which an answer is refused; nothing is chained to it."""
    with pytest.raises(AccountError) as caught:
        read(*pages, previous=previous)
    assert caught.value.kind is ErrorKind.MALFORMED_RESPONSE
    assert caught.value.__context__ is None
    return caught.value.detail


def rows_on(fetched: FetchedCosts, days: DateRange | None) -> set[CostRow]:
    """Return what was read of some days, each row once."""
    rows = [row for row in rows_of(fetched.costs) if days and row.usage_date in days]
    assert len(rows) == len(set(rows))
    return set(rows)


LAST_TIME = read(results())
MORE = result(SECOND, {"A": "1.5", "B": "2", "C": "0"})["Groups"]
DEARER = result(SECOND, {"A": "1.5", "B": "2.01"})["Groups"]
FEWER = result(SECOND, {"A": "1.5"})["Groups"]
OTHER_ORDER = result(SECOND, {"B": "2", "A": "1.5"})["Groups"]
OTHER_SPELLING = result(SECOND, {"A": "1.50", "B": "2"})["Groups"]


def test_without_anything_known_every_day_is_fresh() -> None:
    """A first answer is read whole; each day has its digest and its number of rows."""
    assert LAST_TIME.changed_days == WINDOW
    assert len(rows_on(LAST_TIME, WINDOW)) == LAST_TIME.rows == 10
    assert {(len(each.digest), each.rows) for each in LAST_TIME.digests.values()} == {(16, 2)}
    assert list(LAST_TIME.digests) == list(WINDOW)


def test_an_answer_that_reads_as_the_last_one_has_nothing_fresh() -> None:
    """No day and no row; how many rows it holds is known all the same."""
    again = read(results(), previous=LAST_TIME.digests)
    assert (again.changed_days, len(again.costs), again.rows) == (None, 0, 10)
    assert again.digests == LAST_TIME.digests


def test_a_known_day_is_not_read() -> None:
    """The rows are those of the one day that reads differently."""
    again = read(results(Groups=DEARER), previous=LAST_TIME.digests)
    assert again.changed_days == DateRange(SECOND, THIRD)
    assert [(row.usage_date, row.service, str(row.unblended)) for row in rows_of(again.costs)] == [
        (SECOND, "A", "1.5"),
        (SECOND, "B", "2.01"),
    ]


@pytest.mark.parametrize(
    "other",
    [
        {"Estimated": True},
        {"Groups": DEARER},
        {"Groups": MORE},
        {"Groups": FEWER},
        {"Groups": []},
        {"Groups": OTHER_ORDER},
        {"Groups": OTHER_SPELLING},
    ],
    ids=["estimated", "dearer", "more", "fewer", "none", "another order", "another spelling"],
)
def test_a_day_whose_text_differs_in_anything_is_read(other: dict[str, Any]) -> None:
    """Whether the flag, an amount, a group, their order or a zero at the end: the digest is another one."""
    again = read(results(**other), previous=LAST_TIME.digests)
    assert again.changed_days == DateRange(SECOND, THIRD)
    assert again.digests[SECOND].digest != LAST_TIME.digests[SECOND].digest
    assert again.digests[SECOND].rows == len(again.costs)
    assert {day for day in WINDOW if again.digests[day] != LAST_TIME.digests[day]} == {SECOND}


def test_a_day_that_is_not_known_is_read() -> None:
    """Yesterday was not asked for the day before; days that are known and not asked for do not matter."""
    previous = {day: each for day, each in LAST_TIME.digests.items() if day != FIFTH}
    previous[FIRST - ONE_DAY] = previous[FIRST]
    again = read(results(), previous=previous)
    assert again.changed_days == DateRange(FIFTH, WINDOW.end_exclusive)
    assert again.digests == LAST_TIME.digests


def test_a_day_that_has_become_empty_is_fresh() -> None:
    """It has no rows to show for it, and those that are stored must go."""
    again = read(results(Groups=[]), previous=LAST_TIME.digests)
    assert (again.changed_days, len(again.costs), again.rows) == (DateRange(SECOND, THIRD), 0, 8)


def test_an_empty_day_that_is_known_is_left_alone() -> None:
    """No groups are a text like any other."""
    previous = read(results(Groups=[])).digests
    assert previous[SECOND].rows == 0
    assert read(results(Groups=[]), previous=previous).changed_days is None


def test_the_changed_days_reach_from_the_first_to_the_last_and_are_all_read() -> None:
    """Unchanged days between two changed ones are read too; whatever came before, the digests are equal."""
    for chosen in product([False, True], repeat=len(WINDOW)):
        previous = {day: LAST_TIME.digests[day] for day in compress(WINDOW, chosen)}
        unknown = [day for day in WINDOW if day not in previous]
        again = read(results(), previous=previous)
        assert again.changed_days == (DateRange(unknown[0], unknown[-1] + ONE_DAY) if unknown else None)
        assert rows_on(again, again.changed_days) == rows_on(LAST_TIME, again.changed_days)
        assert len(again.costs) == 2 * len(again.changed_days or ())
        assert again.digests == LAST_TIME.digests


def test_a_day_split_over_two_pages_is_read_though_its_first_piece_is_known() -> None:
    """What the first page holds of it is the whole day of the last time, and still not all of it."""
    one, *others = results()
    again = read([one], [result(FIRST, {"C": "3"}), *others], previous=LAST_TIME.digests)
    assert again.changed_days == DateRange(FIRST, SECOND)
    assert [row.service for row in rows_of(again.costs)] == ["C", "A", "B"]
    assert again.digests[FIRST].rows == 3
    assert again.digests[FIRST].digest != LAST_TIME.digests[FIRST].digest


def test_a_piece_without_groups_makes_a_day_split_too() -> None:
    """There is nothing in it, but the text is not that of the last time."""
    one, *others = results()
    again = read([one], [result(FIRST, {}), *others], previous=LAST_TIME.digests)
    assert (again.changed_days, len(again.costs)) == (DateRange(FIRST, SECOND), 2)


def test_a_split_day_is_read_every_time() -> None:
    """Its digest is that of all its pieces; the days that are not split are left unread."""
    one, *others = results()
    pages = [one], [result(FIRST, {"C": "3"}), *others]
    previous = read(*pages).digests
    again = read(*pages, previous=previous)
    assert (again.changed_days, len(again.costs)) == (DateRange(FIRST, SECOND), 3)
    assert again.digests == previous


def test_a_day_cut_elsewhere_has_another_digest() -> None:
    """The pieces are part of it, so that no cut is taken for another one."""
    others = results()[1:]
    cuts = (["A"], ["B", "C"]), (["A", "B"], ["C"])
    digests = set()
    for one, two in cuts:
        first, second = (dict.fromkeys(names, "1") for names in (one, two))
        digests.add(read([result(FIRST, first)], [result(FIRST, second), *others]).digests[FIRST].digest)
    assert len(digests) == 2


def test_a_group_that_comes_twice_is_refused_though_its_first_piece_is_known() -> None:
    """Adding or overwriting would both be a guess; that the first piece was left unread is no excuse."""
    one, *others = results()
    repeated = result(FIRST, {"C": "3", "B": "2"})
    assert "repeats" in problem([one], [repeated, *others], previous=LAST_TIME.digests)
    assert "repeats" in problem([one, one, *others], previous=LAST_TIME.digests)
    assert "repeats" in problem(results(), results(), previous=LAST_TIME.digests)


def test_a_missing_day_is_refused_though_it_is_known() -> None:
    """What was said last time is not said now."""
    without = [each for each in results() if each["TimePeriod"]["Start"] != SECOND.isoformat()]
    assert f"does not contain the day {SECOND}" in problem(without, previous=LAST_TIME.digests)


DAMAGE = [
    ({"Groups": None}, "ResultsByTime[1].Groups"),
    ({"Groups": {}}, "ResultsByTime[1].Groups"),
    ({"Groups": "[]"}, "ResultsByTime[1].Groups"),
    ({"Groups": [DEARER[0], {**DEARER[1], "Keys": ["B"]}]}, "ResultsByTime[1].Groups[1].Keys"),
    ({"Groups": [DEARER[0], {**DEARER[1], "Metrics": {}}]}, "ResultsByTime[1].Groups[1].Metrics"),
    ({"Groups": result(SECOND, {"A": "1,5"})["Groups"]}, "Groups[0].Metrics.UnblendedCost.Amount"),
    ({"Groups": [*DEARER, DEARER[0]]}, "Groups[2].Keys repeats"),
    ({"Estimated": "false"}, "ResultsByTime[1].Estimated"),
]


@pytest.mark.parametrize(("damage", "place"), DAMAGE, ids=range(len(DAMAGE)))
def test_a_damaged_day_is_refused_though_the_others_are_known(damage: dict[str, Any], place: str) -> None:
    """It is read, because its text is another one, and refused with its place."""
    assert place in problem(results(**damage), previous=LAST_TIME.digests)


def test_whatever_is_known_and_however_pages_are_cut_the_costs_are_the_same() -> None:
    """What is stored of the days left alone, and what is read of the others, are the whole answer."""
    dice = random.Random(44)
    for _ in range(300):
        bill = {day: {f"{n}": f"{dice.randrange(3)}" for n in range(dice.randrange(4))} for day in WINDOW}
        before = read(_whole(bill))
        for day in dice.sample([*WINDOW], dice.randrange(4)):
            bill[day][f"{dice.randrange(4)}"] = "9"
        previous = {day: each for day, each in before.digests.items() if dice.random() < 0.8}
        pages = _cut(bill, dice)
        plain, again = read(*pages), read(*pages, previous=previous)
        assert again.digests == plain.digests
        stored = {
            row
            for row in rows_of(before.costs)
            if not again.changed_days or row.usage_date not in again.changed_days
        }
        assert stored | rows_on(again, again.changed_days) == rows_on(plain, WINDOW)
        assert len(stored) + len(again.costs) == len(plain.costs) == plain.rows == again.rows


def _whole(bill: dict[date, Groups]) -> list[Result]:
    return [result(day, groups) for day, groups in bill.items()]


def _cut(bill: dict[date, Groups], dice: random.Random) -> Sequence[list[Result]]:
    """Return a bill on one page or more, with days that lie on two or three of them."""
    pages: list[list[Result]] = [[]]
    for day, groups in bill.items():
        piece: Groups = {}
        for name, amount in groups.items():
            piece[name] = amount
            if dice.random() < 0.1:
                pages[-1].append(result(day, piece))
                pages.append([])
                piece = {}
        pages[-1].append(result(day, piece))
    return pages


def test_damage_is_never_hidden_by_what_is_known() -> None:
    """A byte that is another one is refused with what is known exactly where it is refused without."""
    dice = random.Random(45)
    body = json.dumps({"ResultsByTime": results()}).encode()
    for _ in range(1000):
        damaged = bytearray(body)
        damaged[dice.randrange(len(body))] = dice.randrange(256)
        plain, again = (_outcome(bytes(damaged), previous) for previous in (NO_DIGESTS, LAST_TIME.digests))
        assert plain == again, damaged


def _outcome(body: bytes, previous: DayDigests) -> dict[date, DayDigest] | str:
    answer = CostResponse(WINDOW, previous)
    try:
        answer.add_page(body)
        return dict(answer.fetched(1).digests)
    except AccountError as error:
        return error.kind.value


def test_a_known_day_that_cannot_be_read_any_more_is_refused() -> None:
    """Between two changed days it is read: a stricter parser refuses it as it does any other text."""
    damaged = results(Groups=[{"Keys": ["A"]}])
    page = read_page(json.dumps({"ResultsByTime": damaged}).encode())
    previous = {SECOND: DayDigest(_digest(page.ResultsByTime[1]), 1)}
    assert "is not as documented" in problem(damaged, previous=previous)
