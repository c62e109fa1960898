"""Sinks through the command line: who is told what, what a broken one costs, and what one does about it."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from tests.support.harness import ONE_DAY, TODAY, Finished, Harness, bill, make_account, steady, wait_for
from tests.support.receiver import Receiver, Reply, receiving
from tests.support.sinks import SIGNING
from tests.support.waiting import until

ONE, TWO = "100000000001", "100000000002"
SPIKE = (*steady("10.00", until=TODAY - ONE_DAY), bill(TODAY - ONE_DAY, "500.00"))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Receive on loopback."""
    with receiving() as found:
        yield found


@pytest.fixture
def sinks(harness: Harness, receiver: Receiver, tmp_path: Path) -> Harness:
    """Return a harness with two accounts whose cost jumps, and a webhook for one team beside the log."""
    (tmp_path / "sign").write_text(SIGNING)
    file = tmp_path / "sinks.yaml"
    file.write_text(
        f"""
sinks:
  log: {{type: log}}
  payments:
    type: webhook
    url: {receiver.url}/hook
    allow_private: true
    timeout_seconds: 2
    secrets: {{secret_file: {tmp_path}/sign}}
    filter:
      labels: {{team: payments}}
      minimum: {{USD: 100}}
"""
    )
    harness.environ |= {"COSTBATCH_SINKS_FILE": str(file), "COSTBATCH_DELIVERY_SECONDS": "3"}
    harness.open(make_account(1, rows=SPIKE), make_account(2, rows=SPIKE))
    harness.run("accounts", "label", ONE, "team=payments")
    harness.run("accounts", "label", TWO, "team=search")
    return harness


def told(receiver: Receiver) -> list[tuple[str, str]]:
    """Return type and subject of what was accepted."""
    return [(body["type"], body["subject"]) for body in map(json.loads, receiver.bodies)]


def listed(harness: Harness, *options: str) -> list[Any]:
    """Return what `events list` finds."""
    found: list[Any] = json.loads(harness.run("events", "list", "--output", "json", *options).stdout)
    return found


def test_a_team_hears_of_its_own_accounts_only(sinks: Harness, receiver: Receiver) -> None:
    """Signed, while the log has everything; `events show` says why the others did not go there."""
    run = sinks.collect()
    assert run.summary["events"]["pending"] == run.summary["events"]["dead"] == 0
    assert told(receiver) == [("anomaly.detected", ONE)]
    (asked,) = receiver.asked
    event = Webhook(SIGNING).verify(asked.body, asked.headers)
    assert event["data"]["account"]["labels"] == {"team": "payments"}
    # Two anomalies, the incident that they are, and the end of the run.
    assert len(run.logs("event")) == 4
    (other,) = listed(sinks, "--account", TWO)
    shown = sinks.run("events", "show", other["id"])
    assert "filtered" in shown.stdout
    assert "The filter accepts only accounts with team=payments; the account has team=search." in shown.stdout
    table = sinks.run("events", "list", "--type", "anomaly.detected", "--since", str(TODAY)).stdout
    assert table.count("anomaly.detected") == 2
    assert "log: delivered, payments: filtered" in table


@pytest.mark.parametrize(
    "reply", [Reply(500, body=b"hunter2hunter2"), Reply(302), Reply(hangs=True), Reply(resets=True)]
)
def test_a_broken_sink_changes_neither_the_run_nor_the_other_sink(
    sinks: Harness, receiver: Receiver, reply: Reply
) -> None:
    """The exit status is that of the collection; what was not delivered waits, and doctor says so."""
    receiver.reply = reply
    run = sinks.collect()
    assert (run.status, run.summary["events"]["pending"], len(run.logs("event"))) == (0, 1, 4)
    (line,) = run.logs("events_not_delivered")
    assert (line["sink"], line["waiting"]) == ("payments", 1)
    assert "hunter2" not in run.stderr + json.dumps(sinks.contents(), default=str)
    doctor = json.loads(sinks.run("doctor", "--output", "json").stdout)
    (events,) = [check for check in doctor["checks"] if check["name"] == "events"]
    assert "log: last accepted an event 2025-03-12" in events["found"]
    assert "payments: never used; 1 event undelivered" in events["found"]


def test_what_waits_goes_out_by_hand_and_again_if_asked(sinks: Harness, receiver: Receiver) -> None:
    """`events deliver` is what a run does at its end; a replay ignores the filter and keeps the id."""
    receiver.reply = Reply(503)
    sinks.collect()
    failed = sinks.run("events", "deliver", COSTBATCH_DELIVERY_SECONDS="1")
    assert failed.status in {0, 1}
    receiver.reply = Reply()
    sinks.wake_at(sinks.now() + ONE_DAY / 24)
    delivered = sinks.run("events", "deliver", "--output", "json")
    payments = next(each for each in json.loads(delivered.stdout) if each["sink"] == "payments")
    assert (delivered.status, payments["delivered"], payments["waiting"]) == (0, 1, 0)
    again = sinks.run("events", "replay", "--type", "anomaly.detected", "--sink", "payments")
    assert "2 deliveries queued again" in again.stdout
    sinks.run("events", "deliver")
    accepted = [json.loads(body)["subject"] for body in receiver.bodies[-2:]]
    assert sorted(accepted) == [ONE, TWO]
    (event,) = listed(sinks, "--account", ONE)
    assert [(each["sink"], each["state"]) for each in event["deliveries"]] == [
        ("log", "delivered"),
        ("payments", "delivered"),
    ]


def test_what_waits_for_its_next_attempt_is_counted_with_when_that_is(
    sinks: Harness, receiver: Receiver
) -> None:
    """Or a repaired receiver would seem to have everything; a replay makes what waits due at once."""
    receiver.reply = Reply(400)
    sinks.collect()
    receiver.reply = Reply()
    early = sinks.run("events", "deliver", "--output", "json")
    payments = next(each for each in json.loads(early.stdout) if each["sink"] == "payments")
    assert (early.status, payments["delivered"], payments["waiting"]) == (0, 0, 1)
    (event,) = listed(sinks, "--sink", "payments", "--state", "pending")
    due_at = event["deliveries"][1]["retry_at"]
    assert payments["due_at"] == due_at
    assert early.stderr == (
        f"1 event waits for payments; the next attempt is due at {due_at[:19]}Z. To deliver at once, run"
        " `costbatch events replay --sink payments --state pending` and then `costbatch events deliver`.\n"
    )
    sinks.run("events", "replay", "--sink", "payments", "--state", "pending")
    delivered = sinks.run("events", "deliver", "--output", "json")
    payments = next(each for each in json.loads(delivered.stdout) if each["sink"] == "payments")
    assert (payments["delivered"], payments["waiting"], payments["due_at"]) == (1, 0, None)
    assert delivered.stderr == ""


def test_what_another_process_sends_is_not_asked_to_be_sent_again(sinks: Harness, receiver: Receiver) -> None:
    """It would come twice."""
    receiver.reply = Reply(400)
    sinks.collect()
    sinks.run("events", "replay", "--sink", "payments", "--state", "pending")
    receiver.reply = Reply(hangs=True)
    asked = len(receiver.asked)
    sending = sinks.start("events", "deliver")
    until(lambda: len(receiver.asked) > asked)
    beside = sinks.run("events", "deliver", COSTBATCH_DELIVERY_SECONDS="1")
    assert beside.stderr == "1 event waits for payments; another delivery holds it now.\n"
    assert "0 deliveries" in sinks.run("events", "replay", "--sink", "payments", "--state", "pending").stdout
    wait_for(sending)


def test_what_waits_beside_what_another_process_sends_is_said_with_when_it_is_due(
    sinks: Harness, receiver: Receiver
) -> None:
    """Once the other process has ended, it would seem that all is delivered."""
    receiver.reply = Reply(400)
    sinks.collect()
    (event,) = listed(sinks, "--sink", "payments", "--state", "pending")
    due_at = event["deliveries"][1]["retry_at"]
    sinks.run("events", "replay", "--account", TWO, "--sink", "payments")
    receiver.reply = Reply(hangs=True)
    asked = len(receiver.asked)
    sending = sinks.start("events", "deliver")
    until(lambda: len(receiver.asked) > asked)
    beside = sinks.run("events", "deliver", "--output", "json", COSTBATCH_DELIVERY_SECONDS="1")
    payments = next(each for each in json.loads(beside.stdout) if each["sink"] == "payments")
    assert (payments["waiting"], payments["due_at"]) == (2, due_at)
    assert beside.stderr.startswith(
        "2 events wait for payments; another delivery holds 1 of them now; "
        f"the next attempt of the others is due at {due_at[:19]}Z. To deliver at once, run"
    )
    wait_for(sending)


def test_a_dead_event_is_seen_replayed_or_discarded(sinks: Harness, receiver: Receiver) -> None:
    """After so many attempts it is given up, and doctor says what to do."""
    receiver.reply = Reply(400)
    run = sinks.collect(COSTBATCH_DELIVERY_ATTEMPTS="1")
    assert run.summary["events"] == {**run.summary["events"], "pending": 0, "dead": 1}
    assert len(listed(sinks, "--sink", "payments", "--state", "dead")) == 1
    assert "1 event given up" in sinks.run("doctor").stdout
    assert sinks.run("events", "discard", "payments").status == 2
    assert "1 delivery to payments discarded." in sinks.run("events", "discard", "payments", "--yes").stdout
    (event,) = listed(sinks, "--account", ONE)
    assert event["deliveries"][1]["reason"].startswith("Discarded by hand at 2025-03-12T")


def test_a_test_says_what_came_back(sinks: Harness, receiver: Receiver) -> None:
    """One marked message, whatever the filter is; the status tells whether it arrived."""
    fine = sinks.run("events", "test", "payments")
    assert (fine.status, fine.stdout) == (0, f"The webhook at {receiver.url} answered 204 No Content.\n")
    (body,) = receiver.bodies
    assert json.loads(body)["type"] == "sink.test"
    receiver.reply = Reply(401)
    refused = sinks.run("events", "test", "payments")
    assert refused.status == 1
    assert refused.sentences == [
        f"The webhook at {receiver.url} answered 401 Unauthorized; check its secrets and its token."
    ]
    unknown = sinks.run("events", "test", "paymets")
    assert (unknown.status, unknown.sentences) == (
        2,
        ["There is no sink 'paymets'; the configured sinks are: log, payments."],
    )


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["events", "replay"], "Say which events: give ids, --state, --since, --type or --account."),
        (["events", "replay", "--state", "dead", "--sink", "x"], "There is no sink 'x'"),
        (
            ["events", "show", "2f63aa3f-ca70-5511-b761-f8164e9a285c"],
            "There is no event 2f63aa3f-ca70-5511-b761-f8164e9a285c",
        ),
        (
            ["events", "replay", "2f63aa3f-ca70-5511-b761-f8164e9a285c"],
            "There is no event 2f63aa3f-ca70-5511-b761-f8164e9a285c",
        ),
        (["accounts", "label", ONE, "team"], "'team' is not a label change"),
    ],
)
def test_wrong_usage_is_a_sentence(sinks: Harness, args: list[str], sentence: str) -> None:
    """And nothing is changed."""
    before = sinks.contents()
    finished = sinks.run(*args)
    assert finished.status == 2
    assert sentence in finished.stderr
    assert sinks.contents() == before


def test_a_file_with_a_mistake_stops_every_command(sinks: Harness) -> None:
    """Before anything is collected: exit 2, the file, the line and the key."""
    file = Path(sinks.environ["COSTBATCH_SINKS_FILE"])
    (file.parent / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    webhook = f"type: webhook, url: 'https://x.example', ca_file: {file.parent}/ca.pem"
    for sink, problem in (
        ("type: pagr", "type must be one of log, webhook"),
        (webhook, "ca_file names a file with a damaged certificate"),
    ):
        file.write_text(f"sinks:\n  pager: {{{sink}}}\n")
        for args in (["collect"], ["events", "list"], ["config"], ["doctor"]):
            finished: Finished = sinks.run(*args)
            assert finished.status == 2
            # The doctor's text is wrapped.
            said = " ".join((finished.stdout + finished.stderr).split())
            assert f"{file}, line 2: sinks.pager.{problem}" in said


def test_an_address_that_apprise_cannot_read_stops_a_run_before_it_begins(sinks: Harness) -> None:
    """`config` and `doctor` say so too."""
    Path(sinks.environ["COSTBATCH_SINKS_FILE"]).write_text(
        "sinks: {chat: {type: notify, url: {secret_env: U}}}"
    )
    for args in (["collect"], ["config"], ["doctor"]):
        finished = sinks.run(*args, U="slak://T1/B1/planted")
        assert finished.status == 2
        assert "begins with slak://" in finished.stdout + finished.stderr
        assert "planted" not in finished.stdout + finished.stderr
    assert sinks.rows("SELECT FROM runs") == []


def test_what_waits_is_delivered_also_when_nothing_can_be_collected(
    sinks: Harness, receiver: Receiver
) -> None:
    """The run fails before its first account; the events of earlier runs go out all the same."""
    receiver.reply = Reply(503)
    sinks.collect()
    receiver.reply = Reply()
    sinks.sleep_until(TODAY + ONE_DAY)
    sinks.open(replace(make_account(1, rows=SPIKE)), replace(make_account(2, rows=SPIKE)))
    run = sinks.collect("--account", "100000000009")
    assert run.status == 2
    assert ("anomaly.detected", ONE) in told(receiver)[-1:]


def test_labels_are_shown(sinks: Harness) -> None:
    """In the list, of the account, and as JSON; config names the sinks without their addresses."""
    sinks.run("accounts", "label", ONE, "env=prod")
    assert "env=prod, team=payments" in sinks.run("accounts", "list").stdout
    shown = json.loads(sinks.run("accounts", "show", ONE, "--output", "json").stdout)
    assert shown["labels"] == {"env": "prod", "team": "payments"}
    assert sinks.run("accounts", "label", ONE, "env-", "team-").stdout.endswith("has no labels.\n")
    config = sinks.run("config").stdout
    assert "log,payments (webhook)" in config
    assert "whsec" not in config


def test_an_answer_goes_out_with_the_command(sinks: Harness, receiver: Receiver) -> None:
    """Once, to whom the anomaly went; a receiver that is away changes no status and hears of it later."""
    sinks.collect()
    (found,) = json.loads(sinks.run("anomalies", "list", "--account", ONE, "--output", "json").stdout)
    receiver.reply = Reply(503)
    dismissed = sinks.run("anomalies", "dismiss", found["id"], "--reason", "fee", "--author", "alice")
    assert dismissed.status == 0
    assert "Not delivered to payments yet; the next run tries again. The webhook at" in dismissed.stderr
    (logged,) = dismissed.logs("event")
    assert logged["cloudevent"]["data"]["answer"]["author"] == "alice"
    assert listed(sinks, "--type", "anomaly.answered")[0]["deliveries"][1]["state"] == "pending"
    receiver.reply = Reply()
    sinks.wake_at(sinks.now() + ONE_DAY / 24)
    reopened = sinks.run("anomalies", "reopen", found["id"])
    assert (reopened.status, "Not delivered" in reopened.stderr) == (0, False)
    accepted = [json.loads(each) for each in receiver.bodies[-2:]]
    assert [(each["type"], each["data"]["standing"]) for each in accepted] == [
        ("anomaly.answered", "silent"),
        ("anomaly.answered", "open"),
    ]
    receiver.reply = Reply(503)
    again = sinks.run("anomalies", "dismiss", found["id"], "--reason", "x", COSTBATCH_DELIVERY_ATTEMPTS="1")
    assert again.status == 0
    assert "Given up: 1 event to payments; `costbatch events replay --state dead" in again.stderr
    assert "tries again" not in again.stderr
    receiver.reply = Reply()
    sinks.run("planned", "add", "--account", TWO, "--from", str(TODAY), "--to", str(TODAY), "--reason", "x")
    assert len(listed(sinks, "--type", "anomaly.answered")) == 3


def test_a_sink_that_cannot_be_built_is_refused_before_an_answer_is_stored(sinks: Harness) -> None:
    """Nothing half done: the mistake is found first."""
    sinks.collect()
    (found,) = json.loads(sinks.run("anomalies", "list", "--account", ONE, "--output", "json").stdout)
    Path(sinks.environ["COSTBATCH_SINKS_FILE"]).write_text(
        "sinks: {chat: {type: notify, url: {secret_env: U}}}"
    )
    refused = sinks.run("anomalies", "dismiss", found["id"], "--reason", "fee", U="slak://x")
    assert refused.status == 2
    assert sinks.rows("SELECT 1 FROM anomaly_answers") == []


def test_a_team_hears_of_a_night_once_is_reminded_and_answers(
    harness: Harness, receiver: Receiver, tmp_path: Path
) -> None:
    """One message a run, with links; what was planned is not in it, and what was answered is silent."""
    file = tmp_path / "sinks.yaml"
    file.write_text("sinks: {chat: {type: notify, url: {secret_env: CHAT}}}")
    harness.environ |= {
        "COSTBATCH_SINKS_FILE": str(file),
        "CHAT": receiver.url.replace("http://", "json://"),
        "COSTBATCH_REMIND_DAYS": "1",
        "COSTBATCH_LINK_TEMPLATE": "https://grafana.example/d/c?var-account={aws_account_id}",
    }
    spike = tuple(bill(TODAY + n * ONE_DAY, "500.00") for n in range(-1, 4))
    rows = (*steady("10.00", until=TODAY - ONE_DAY), *spike)
    # Another service, or the two would be one incident.
    other = tuple(replace(row, service="Amazon S3") for row in rows)
    harness.open(make_account(1, rows=rows), make_account(2, rows=other), make_account(3, rows=rows))
    planned = ("--account", "100000000003", "--from", str(TODAY - ONE_DAY), "--to", str(TODAY + 9 * ONE_DAY))
    assert harness.run("planned", "add", *planned, "--reason", "load test").status == 0
    assert harness.collect().status == 0
    (first,) = [json.loads(body) for body in receiver.bodies]
    assert "Cost anomalies: 2 detected, +980.00 USD" in first["title"]
    assert "https://grafana.example/d/c?var-account=100000000001" in first["message"]
    assert "100000000003" not in first["message"]
    harness.sleep_until(TODAY + ONE_DAY)
    harness.collect()
    reminder = json.loads(receiver.bodies[-1])
    assert (len(receiver.bodies), "Cost anomalies: 2 still open" in reminder["title"]) == (2, True)
    found = json.loads(harness.run("anomalies", "list", "--state", "open", "--output", "json").stdout)
    for each in found:
        assert harness.run("anomalies", "expect", each["id"], "--as-of-now", "--reason", "sale").status == 0
    # AWS restates the first day of one, and the days are read again.
    restated = (*steady("10.00", until=TODAY - ONE_DAY), bill(TODAY - ONE_DAY, "450.00"), *spike[1:])
    harness.aws.set_rows(ONE, restated)
    harness.collect("--from", str(TODAY - 5 * ONE_DAY))
    harness.sleep_until(TODAY + 2 * ONE_DAY)
    harness.collect()
    assert [json.loads(body)["title"][:3] for body in receiver.bodies[2:]] == ["Run", "Run"]
    assert {
        each["standing"]
        for each in json.loads(harness.run("anomalies", "list", "--state", "all", "--output", "json").stdout)
    } == {"silent"}
