"""Pages split an answer without loss, and their tokens are bound to one question of one account."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from costbatch.simulator.world import rows_from_plain

if TYPE_CHECKING:
    from costbatch.simulator.world import Account
    from tests.aws.simulator.conftest import Lab

SERVICE = {"Type": "DIMENSION", "Key": "SERVICE"}


def row(day: str, service: str, amount: str, **more: Any) -> dict[str, Any]:
    """Write an explicit cost row."""
    return {"date": day, "service": service, "unblended": amount, **more}


def pages_of(lab: Lab, account: Account, **changes: Any) -> list[Any]:
    """Follow the page tokens to the end."""
    pages = [lab.ask(account, **changes)]
    while "NextPageToken" in pages[-1]:
        pages.append(lab.ask(account, NextPageToken=pages[-1]["NextPageToken"], **changes))
    return pages


@pytest.mark.parametrize("page_size", [1, 3, 4, 7, 2000])
def test_pages_hold_the_same_groups_in_the_same_order(lab: Lab, account: Account, page_size: int) -> None:
    """Splitting loses nothing, repeats nothing and fills every page but the last."""

    def groups(pages: list[Any]) -> list[Any]:
        return [
            (day["TimePeriod"]["Start"], group)
            for page in pages
            for day in page["ResultsByTime"]
            for group in day["Groups"]
        ]

    whole = groups(pages_of(lab, account))
    lab.load(account, page_size=page_size)
    pages = pages_of(lab, account)
    assert groups(pages) == whole
    assert [len(groups([page])) for page in pages[:-1]] == [page_size] * (len(pages) - 1)


def test_the_groups_of_a_day_may_come_in_another_order(lab: Lab, account: Account) -> None:
    """AWS promises none; the same number gives the same order, also over pages."""
    rows = rows_from_plain([row("2026-03-10", name, "1") for name in "ABCDEF"])

    def services(order: int) -> list[str]:
        lab.load(replace(account, rows=rows), page_size=4, group_order=order)
        pages = pages_of(lab, account)
        return [
            group["Keys"][0] for page in pages for day in page["ResultsByTime"] for group in day["Groups"]
        ]

    assert services(0) == [*"ABCDEF"]
    assert services(1) == services(1) != services(2)
    assert sorted(services(1)) == sorted(services(2)) == services(0)


def test_a_day_may_be_split_over_two_pages(lab: Lab, account: Account) -> None:
    """The second page repeats the day's period with the rest of its groups."""
    rows = [row("2026-03-10", name, "1") for name in "ABC"]
    lab.load(replace(account, rows=rows_from_plain(rows)), page_size=2)
    first, second = pages_of(lab, account)
    assert len(first["ResultsByTime"]) == 1
    assert first["ResultsByTime"][0]["TimePeriod"] == second["ResultsByTime"][0]["TimePeriod"]
    assert [len(day["Groups"]) for day in second["ResultsByTime"]] == [1, 0, 0, 0]


def test_a_full_page_does_not_begin_the_next_day(lab: Lab, account: Account) -> None:
    """A page that is exactly full leaves the next day to the next page."""
    rows = [row(day, name, "1") for day in ("2026-03-10", "2026-03-11") for name in "AB"]
    lab.load(replace(account, rows=rows_from_plain(rows)), page_size=2)
    first, second = pages_of(lab, account)
    assert [day["TimePeriod"]["Start"] for day in first["ResultsByTime"]] == ["2026-03-10"]
    assert second["ResultsByTime"][0]["TimePeriod"]["Start"] == "2026-03-11"


@pytest.mark.parametrize("token", ["nonsense", "ünknown", "MXxhfGJ8Yw=="])
def test_an_unknown_token_is_invalid(lab: Lab, account: Account, token: str) -> None:
    """A token that was never issued raises the modelled exception."""
    client = lab.aws("ce", account)
    with pytest.raises(client.exceptions.InvalidNextTokenException):
        lab.ask(account, NextPageToken=token)


def test_a_token_of_another_account_is_invalid(lab: Lab, account: Account, other: Account) -> None:
    """Tokens do not cross accounts."""
    lab.load(account, other, page_size=2)
    token = lab.ask(other)["NextPageToken"]
    with pytest.raises(lab.aws("ce", account).exceptions.InvalidNextTokenException):
        lab.ask(account, NextPageToken=token)


def test_a_token_past_the_last_page_is_invalid(lab: Lab, account: Account) -> None:
    """A token whose page vanished with its rows is refused."""
    lab.load(account, page_size=5)
    token = pages_of(lab, account)[-2]["NextPageToken"]
    lab.control.set_rows(account.account_id, [])
    with pytest.raises(lab.aws("ce", account).exceptions.InvalidNextTokenException):
        lab.ask(account, NextPageToken=token)


@pytest.mark.parametrize("changes", [{"Metrics": ["UnblendedCost"]}, {"GroupBy": [SERVICE]}])
def test_a_token_of_another_question_is_a_changed_request(
    lab: Lab, account: Account, changes: dict[str, Any]
) -> None:
    """The rest of the request must be the same on every page."""
    lab.load(account, page_size=2)
    token = lab.ask(account)["NextPageToken"]
    with pytest.raises(lab.aws("ce", account).exceptions.RequestChangedException):
        lab.ask(account, NextPageToken=token, **changes)
