"""The control plane changes the world while it runs, and counts what was asked."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from botocore.exceptions import ClientError

from costbatch.simulator import control
from costbatch.simulator.client import ControlError
from costbatch.simulator.simulation import utc_now
from costbatch.simulator.world import Anomaly, CostRow, World, rows_from_plain

if TYPE_CHECKING:
    from costbatch.simulator.world import Account
    from tests.aws.simulator.conftest import Lab


def test_health_tells_the_day_and_the_accounts(lab: Lab) -> None:
    """The health answer is what a start-up check needs."""
    health = lab.control.health()
    assert (health["status"], health["today"], health["accounts"]) == ("ok", "2026-03-15", 2)


def test_the_day_can_be_set_and_released(lab: Lab, account: Account) -> None:
    """A fixed day changes the answers; null follows the real clock."""
    lab.control.set_today(date(2026, 3, 12))
    assert lab.control.today() == "2026-03-12"
    partial = lab.ask(account)["ResultsByTime"][1]
    lab.control.set_today(date(2026, 3, 20))
    assert lab.ask(account)["ResultsByTime"][1] != partial
    lab.control.set_today(None)
    assert lab.control.today() == utc_now().date().isoformat()


def test_the_ledger_counts_requests_and_paid_pages(lab: Lab, account: Account, other: Account) -> None:
    """Refused requests are counted and not paid; each page is paid."""
    lab.load(account, other, page_size=40)
    page = lab.ask(account)
    lab.ask(account, NextPageToken=page["NextPageToken"])
    with pytest.raises(ClientError):
        lab.ask(account, Metrics=["Unknown"])
    lab.aws("sts", other).get_caller_identity()
    assert lab.control.requests() == {
        "total": {"requests": 4, "paid": 2},
        "accounts": {
            account.account_id: {"requests": {"GetCostAndUsage": 3}, "paid": 2},
            other.account_id: {"requests": {"GetCallerIdentity": 1}, "paid": 0},
        },
    }
    assert (lab.control.paid(), lab.control.paid(account.account_id), lab.control.paid("000000000000")) == (
        2,
        2,
        0,
    )
    lab.control.reset_requests()
    assert lab.control.requests() == {"total": {"requests": 0, "paid": 0}, "accounts": {}}


def test_requests_with_unknown_keys_are_counted_apart(lab: Lab, account: Account) -> None:
    """Nobody's requests are the unknown account's."""
    with pytest.raises(ClientError):
        lab.ask(replace(account, access_key_id="AKIAAAAAAAAAAAAAAAAA"))
    assert list(lab.control.requests()["accounts"]) == ["unknown"]


def test_rows_can_be_set_and_taken_back(lab: Lab, account: Account) -> None:
    """Null gives the generated cost back."""
    generated = lab.ask(account)["ResultsByTime"]
    (row,) = rows_from_plain([{"date": date(2026, 3, 10), "service": "A", "unblended": 5}])
    for rows in ([row], [{"date": row.date, "service": "A", "unblended": row.unblended, "usage": None}]):
        lab.control.set_rows(account.account_id, rows)
        assert lab.control.account(account.account_id).rows == (row,)
        (group,) = lab.ask(account)["ResultsByTime"][0]["Groups"]
        assert group["Keys"] == ["A", "Usage"]
    lab.control.set_rows(account.account_id, None)
    assert lab.ask(account)["ResultsByTime"] == generated


def test_an_account_can_change_its_key(lab: Lab, account: Account) -> None:
    """The new key works and the old one does not."""
    changed = lab.control.update_account(
        account.account_id, access_key_id="AKIANEWNEWNEWNEWNEWN", secret_access_key="new", currency="EUR"
    )
    day = lab.ask(changed, GroupBy=None)["ResultsByTime"][0]
    assert day["Total"]["UnblendedCost"]["Unit"] == "EUR"
    with pytest.raises(ClientError, match="UnrecognizedClientException"):
        lab.ask(account)


def test_an_accounts_faults_can_be_replaced(lab: Lab, account: Account) -> None:
    """Patching faults starts a new script; patching something else does not."""
    lab.control.update_account(account.account_id, faults=[{"kind": "http_500", "times": 1}])
    lab.control.update_account(account.account_id, name="renamed")
    with pytest.raises(ClientError):
        lab.ask(account)
    lab.control.update_account(account.account_id, name="again")
    assert lab.ask(account)["ResultsByTime"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"account_id": "333333333333"}, "cannot be changed"),
        ({"colour": "red"}, "unexpected keyword argument"),
        ({"profile": "wild"}, "Unknown profile 'wild'"),
        ({"start": "soon"}, "'soon' is not a date"),
        ({"rows": ["a"]}, "cannot be used"),
        ({"rows": [{"date": "2026-03-01", "service": "A", "unblended": 1.5}]}, "not the float 1.5"),
        ({"rows": [{"date": "2026-03-01", "service": "A", "unblended": "much"}]}, "not an amount"),
        ({"anomalies": [{"kind": "wave", "start": "2026-03-01", "factor": 2}]}, "Unknown kind of anomaly"),
    ],
)
def test_a_senseless_change_is_refused_and_changes_nothing(
    lab: Lab, account: Account, changes: dict[str, Any], sentence: str
) -> None:
    """The refusal is one sentence and the account stays as it was."""
    with pytest.raises(ControlError, match=sentence):
        lab.control._call("PATCH", f"accounts/{account.account_id}", changes)
    assert lab.control.account(account.account_id) == account


def test_a_key_cannot_be_taken_from_another_account(lab: Lab, account: Account, other: Account) -> None:
    """Access keys are unique."""
    with pytest.raises(ControlError, match="belongs to another account"):
        lab.control.update_account(account.account_id, access_key_id=other.access_key_id)


def test_an_unknown_account_is_refused(lab: Lab) -> None:
    """Every command on an account names it when it is not there."""
    for command in (lab.control.account, lab.control.clear_faults):
        with pytest.raises(ControlError, match="no account 999999999999"):
            command("999999999999")


def test_an_outage_answers_503_until_it_ends(lab: Lab, account: Account) -> None:
    """An outage touches every account and no control command."""
    lab.control.set_outage(on=True)
    with pytest.raises(ClientError) as caught:
        lab.ask(account)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    lab.control.set_outage(on=False)
    assert lab.ask(account)["ResultsByTime"]


def test_latency_delays_every_answer(lab: Lab, account: Account) -> None:
    """Every answer takes so long."""
    lab.control.set_latency(0.2)
    began = time.monotonic()
    lab.ask(account)
    assert time.monotonic() - began >= 0.2


def test_a_request_is_paid_when_it_comes(lab: Lab, account: Account, ask_for: Any) -> None:
    """AWS charges for it also where nobody waits for the answer any more."""
    lab.control.set_latency(60)
    with pytest.raises(TimeoutError):
        lab.send(lab.sign(account, ask_for()), timeout_seconds=0.3)
    assert lab.control.paid(account.account_id) == 1


def test_the_truth_lists_the_planted_anomalies(lab: Lab, account: Account) -> None:
    """What was planted can be compared with what was found."""
    lab.load(replace(account, anomalies=(Anomaly("spike", date(2026, 3, 14), 4.0, service="AWS Lambda"),)))
    assert lab.control.truth() == [
        {
            "account_id": account.account_id,
            "name": "first",
            "kind": "spike",
            "start": "2026-03-14",
            "factor": 4.0,
            "service": "AWS Lambda",
            "days": None,
            "region": None,
            "usage_type": None,
            "aws_misses": False,
            "feedback": None,
        }
    ]


def test_the_world_can_be_read_and_replaced(lab: Lab, account: Account) -> None:
    """A replaced world starts anew, and reads back as it was given."""
    row = CostRow(date(2026, 3, 1), "A", "Usage", *rows_amounts())
    world = World(accounts=(replace(account, rows=(row,)),), seed=7, today=date(2026, 3, 2), page_size=9)
    lab.control.replace_world(world)
    assert lab.control.current_world() == world
    assert lab.control.requests()["total"]["requests"] == 0


def rows_amounts() -> list[Any]:
    """Make four different amounts."""
    (row,) = rows_from_plain([{"date": "2026-03-01", "service": "A", "unblended": "1", "amortized": "2"}])
    return [row.unblended, row.amortized, row.net_unblended, row.net_amortized]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "nowhere", "", 404),
        ("POST", "health", "", 404),
        ("GET", "accounts", "", 404),
        ("PUT", "today", "{}", 400),
        ("PUT", "today", '{"today": "soon"}', 400),
        ("PUT", "latency", '{"seconds": -1}', 400),
        ("PUT", "latency", '{"seconds": true}', 400),
        ("POST", "outage", "not json", 400),
        ("POST", "outage", "[]", 400),
    ],
)
def test_a_bad_command_is_refused(lab: Lab, method: str, path: str, body: str, status: int) -> None:
    """Unknown paths are 404, bad bodies 400, each with a sentence."""
    data = body.encode() or None
    with pytest.raises(HTTPError) as caught:
        urlopen(Request(f"{lab.url}/_sim/{path}", data=data, method=method), timeout=5)
    with caught.value as answer:
        assert answer.code == status
        assert b'"error"' in answer.read()


@pytest.mark.parametrize(
    ("remote", "answer"),
    [("127.0.0.1", True), ("::1", True), ("::1%lo", True), ("", True), (None, True), ("10.0.0.7", False)],
)
def test_only_this_machine_may_command(remote: str | None, answer: bool) -> None:  # noqa: FBT001 - a table
    """The control plane is for loopback, whatever address is listened on."""
    assert control._is_loopback(remote) is answer


def test_a_command_from_elsewhere_is_forbidden(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """A remote caller gets 403."""
    monkeypatch.setattr(control, "_is_loopback", lambda _: False)
    with pytest.raises(ControlError, match="this machine only"):
        lab.control.health()
