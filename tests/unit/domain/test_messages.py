"""What people read of events: every format by snapshot, and texts from outside that stay texts."""

import os
import re
from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from markdown_it import MarkdownIt

from costbatch.domain.accounts import Failing
from costbatch.domain.anomalies import AnomalyChange, AnomalyState, ChangeKind, Resolution, Trend
from costbatch.domain.answers import Answer, AnswerKind, Standing
from costbatch.domain.causes import Cause, RootCause
from costbatch.domain.costs import DayTotal
from costbatch.domain.detection import Contribution, Direction, Severity
from costbatch.domain.event_kinds import KINDS
from costbatch.domain.events import (
    Event,
    EventType,
    account_failed,
    account_recovered,
    anomaly_answered,
    anomaly_event,
    anomaly_explained,
    anomaly_reminder,
    dormant_account_charged,
    incident_detected,
    region_first_used,
    run_ended,
    service_first_charged,
    service_first_used,
    sink_test,
)
from costbatch.domain.expectations import SeriesDay
from costbatch.domain.first_charges import FirstCharge
from costbatch.domain.incidents import Incident, Member
from costbatch.domain.links import LinkTemplate
from costbatch.domain.messages import Importance, Message, message_of
from costbatch.errors import ErrorKind
from tests.support.factories import NOW, make_account, make_anomaly

SNAPSHOTS = Path(__file__).parent / "messages"
NEWEST = date(2025, 6, 19)
RUN = UUID(int=7)
LINK = LinkTemplate.parse("https://grafana.example.com/d/cost?var-account={aws_account_id}&from={from_ms}")
EC2 = "Amazon Elastic Compute Cloud - Compute"
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "@everyone and @here",
    "<!channel> <!here|x> <@U0123> <#C0123>",
    "!channel>",
    "*bold* _it_ ~~gone~~ `code` ``` # x",
    "[text](https://example.com) https://example.com <https://example.com|text>",
    "</td></table>&amp;&lt;",
    "first\nsecond\r\n- third\n# fourth",
    "\x00\x07\x1b[31mred\x1b[0m",
    "\u202egnp.exe\u2066\u200f",
    "`",
    "\\",
    "{aws_account_id} %s {0}",
]


HIGH_AT_LAST = (*(str(100 + n % 7) for n in range(28)), "251.5", "1204")


def a_trend(*amounts: str, is_complete: bool = False) -> Trend:
    """Return the days that end with the newest one; by default thirty, of which the last two are high."""
    amounts = amounts or HIGH_AT_LAST
    first = NEWEST - timedelta(days=len(amounts) - 1)
    days = tuple(SeriesDay(first + timedelta(days=n), Decimal(each)) for n, each in enumerate(amounts))
    return Trend(newest=NEWEST, is_complete=is_complete, days=days)


def an_event(
    kind: ChangeKind = ChangeKind.DETECTED,
    name: str = "search",
    trend: Trend | None = None,
    account: int = 1,
    **fields: Any,
) -> Event:
    """Return an event of an anomaly of the two newest days."""
    shown = {
        "severity": Severity.HIGH,
        "start_date": NEWEST - timedelta(days=1),
        "last_date": NEWEST,
        "expected": Decimal("206.1"),
        "actual": Decimal("1455.5"),
        "peak": Decimal(1204),
        "explanation": (
            Contribution(EC2, Decimal(100), Decimal("1100.255")),
            Contribution("AWS Lambda", Decimal("6.1"), Decimal("205.1")),
            Contribution("Amazon S3", Decimal(0), Decimal(50)),
        ),
    }
    change = AnomalyChange(kind, make_anomaly(**{**shown, **fields}))
    of_account = make_account(account, name=name)
    return anomaly_event(change, of_account, trend or a_trend(), run_id=RUN, now=NOW)


def a_failure(
    name: str = "search", message: str = "AWS refused. Check the role.", job: str = "collect"
) -> Event:
    """Return the event of an account that failed."""
    account = make_account(2, name=name)
    return account_failed(account, ErrorKind.ACCESS_DENIED, message, job=job, run_id=RUN, now=NOW)


def a_recovery(job: str = "collect") -> Event:
    """Return the event of an account that failed for three days."""
    failing = Failing(since=NOW - timedelta(days=3), kind="throttled")
    return account_recovered(make_account(3, name="lab"), failing, job=job, run_id=RUN, now=NOW)


def a_run(status: str = "partial", **accounts: int) -> Event:
    """Return the event of a run's end."""
    summary = {
        "job": "collect",
        "key": "job-7",
        "status": status,
        "stopped_by": "deadline" if status == "stopped" else None,
        "cost_date": str(NEWEST),
        "accounts": {
            "total": 12,
            "collected": 11,
            "failed": 1,
            "skipped": 0,
            "not_active": 0,
            "unfinished": 0,
            **accounts,
        },
        "failures": {"access_denied": 1},
        "anomalies": {"detected": 2, "updated": 1, "resolved": 1, "open": 1234},
        "api": {"requests": 13, "cost_usd": "0.13"},
    }
    return run_ended(summary, run_id=RUN, run_key="job-7", now=NOW)


def reminder() -> Event:
    """Return the second reminder of the anomaly."""
    anomaly = make_anomaly(
        id=UUID(int=44), severity=Severity.MEDIUM, start_date=NEWEST - timedelta(days=14), last_date=NEWEST
    )
    return anomaly_reminder(anomaly, make_account(), a_trend(), number=2, run_id=RUN, now=NOW)


def answered(
    kind: AnswerKind | None = AnswerKind.DISMISSED, author: str = "alice", reason: str = "load test"
) -> Event:
    """Return the event of an answer to an anomaly of a service; without a kind it was withdrawn."""
    answer = Answer(
        id=7,
        kind=kind or AnswerKind.DISMISSED,
        account_id=1,
        level=None if kind is AnswerKind.PLANNED else Decimal(1204),
        start_date=NEWEST if kind is AnswerKind.PLANNED else None,
        end_date=NEWEST + timedelta(days=9) if kind in {AnswerKind.EXPECTED, AnswerKind.PLANNED} else None,
        reason=reason,
        author=author,
        created_at=NOW,
    )
    standings = {None: Standing.OPEN, AnswerKind.ACKNOWLEDGED: Standing.ACKNOWLEDGED}
    anomaly = make_anomaly(
        severity=Severity.HIGH,
        service=EC2,
        start_date=NEWEST - timedelta(days=1),
        last_date=NEWEST,
        expected=Decimal(200),
        actual=Decimal(1455),
        peak=Decimal(1204),
    )
    return anomaly_answered(
        anomaly,
        make_account(name="search"),
        (None, answer) if kind else (answer, None),
        standing=standings.get(kind, Standing.SILENT),
        withdrawn=(author, reason),
        now=NOW,
    )


def explained(number: int = 40) -> Event:
    """Return the event of an anomaly whose root cause was found."""
    anomaly = make_anomaly(id=UUID(int=number), severity=Severity.HIGH, start_date=NEWEST, last_date=NEWEST)
    found = RootCause(
        usage_date=NEWEST,
        ordinary_date=NEWEST - timedelta(days=7),
        causes=(
            Cause("eu-west-1", "EUW1-BoxUsage:p4d.24xlarge", Decimal(0), Decimal("1000.26")),
            Cause("us-east-1", "Requests-<b>", Decimal("6.1"), Decimal("205.1")),
        ),
    )
    return anomaly_explained(anomaly, make_account(), a_trend(), found, run_id=RUN, now=NOW)


def a_discovery() -> list[Event]:
    """Return what a run of another job tells."""
    lab = make_account(name="lab")
    summary = {
        "job": "discover",
        "status": "completed",
        "accounts": {
            "total": 1,
            "discovered": 1,
            "failed": 0,
            "skipped": 0,
            "not_active": 0,
            "unfinished": 0,
        },
        "failures": {},
        "resources": {"found": 31, "added": 5},
    }
    return [
        region_first_used(lab, "ap-south-1", {"ec2": 30, "s3": 1}, run_id=RUN, now=NOW),
        service_first_used(lab, "sagemaker", {"eu-west-1": 5}, run_id=RUN, now=NOW),
        run_ended(summary, run_id=RUN, run_key="job-8", now=NOW),
    ]


def charges() -> list[Event]:
    """Return what costs something for the first time, and what began in several accounts at once."""
    lab, archive = make_account(1, name="lab"), make_account(2, name="archive")
    members = tuple(
        Member(account.aws_account_id, account.name, UUID(int=50 + n << 96), Decimal(10), Decimal(410 - n))
        for n, account in enumerate((lab, archive))
    )
    incident = Incident(
        service=EC2, direction=Direction.SPIKE, start_date=NEWEST, currency="USD", members=members
    )
    return [
        incident_detected(incident, run_id=RUN, now=NOW),
        # A member is told by its incident.
        an_event(id=UUID(int=50 << 96), service=EC2),
        service_first_charged(
            FirstCharge("Amazon SageMaker", NEWEST, "USD", Decimal("0.02")), lab, run_id=RUN, now=NOW
        ),
        dormant_account_charged(DayTotal(NEWEST, "EUR", Decimal("12.3")), archive, run_id=RUN, now=NOW),
    ]


def resolved() -> Event:
    """Return the event of a drop of a service that is over."""
    amounts = ["25"] * 30
    amounts[-10] = "3.5"
    return an_event(
        ChangeKind.RESOLVED,
        trend=a_trend(*amounts, is_complete=True),
        id=UUID(int=41),
        service="Amazon S3",
        direction=Direction.DROP,
        severity=Severity.LOW,
        state=AnomalyState.RESOLVED,
        resolution=Resolution.ENDED,
        start_date=NEWEST - timedelta(days=9),
        last_date=NEWEST - timedelta(days=9),
        expected=Decimal(25),
        actual=Decimal("3.5"),
        peak=Decimal("3.5"),
        explanation=(),
    )


def said(*events: Event, link: LinkTemplate | None = None) -> Message:
    """Return the message about events."""
    return message_of([event.to_cloudevent() for event in events], link)


def many_events() -> list[Event]:
    """Return what a bad night tells."""
    euros = an_event(name="shop", currency="EUR", severity=Severity.MEDIUM, id=UUID(int=42))
    update = an_event(ChangeKind.UPDATED, id=UUID(int=43), service=EC2, revision=2)
    return [a_run(), reminder(), resolved(), a_recovery(), a_failure(), euros, update, an_event()]


CASES = {
    "detected": [an_event()],
    "resolved": [resolved()],
    "reminder": [reminder()],
    "answered": [answered()],
    "reopened": [answered(None, reason="")],
    "explained": [explained()],
    "account-failed": [a_failure()],
    "run": [a_run()],
    "stopped": [a_run("stopped")],
    "digest": many_events(),
    "discovery": a_discovery(),
    "charges": charges(),
    "test": [sink_test("pager", now=NOW)],
}
# One event of each type.
SAMPLES = {
    each.type: each for events in (*CASES.values(), [a_run("completed"), a_run("failed")]) for each in events
}


@pytest.mark.parametrize("name", sorted(CASES))
@pytest.mark.parametrize("form", ["txt", "md", "html"])
def test_every_format_reads_as_its_snapshot(name: str, form: str) -> None:
    """One event of each kind and a digest, for plain channels, for chat and for mail."""
    message = said(*CASES[name], link=LINK)
    text = {"txt": f"{message.title}\n\n{message.text}", "md": message.markdown, "html": message.html}[form]
    snapshot = SNAPSHOTS / f"{name}.{form}"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        snapshot.write_text(text, encoding="utf-8")
    assert text == snapshot.read_text(encoding="utf-8")


def test_every_type_of_event_has_words_of_its_own() -> None:
    """Of one that the program does not know, a person reads nothing but its type."""
    assert SAMPLES.keys() == set(EventType)
    titles = [said(each).title for each in SAMPLES.values()]
    assert [title for title in titles if title.startswith("Event ")] == []


def test_an_account_that_was_paused_meanwhile_is_not_missing() -> None:
    """It is counted apart from those that the run was about."""
    message = said(a_run("completed", total=13, failed=0, collected=12, not_active=1))
    assert message.title == "Run completed: 12 of 12 accounts collected"
    assert "12 of 12 accounts collected, 1 not active" in message.text


@pytest.mark.parametrize(
    ("job", "does"),
    [("collect", "collected"), ("discover", "discovered"), ("sc*n", "processed by sc*n")],
)
def test_a_failure_is_told_in_the_words_of_its_job(job: str, does: str) -> None:
    """An account whose discovery fails is still collected; a job of a later release has only its name."""
    failed, recovered = said(a_failure(job=job)), said(a_recovery(job))
    assert failed.title == f"Account cannot be {does}: search (000000000002), access_denied"
    assert recovered.title == f"Account is {does} again: lab (000000000003)"


@pytest.mark.parametrize(
    "own",
    [
        {"resources": 5},
        {"resources": ["a"]},
        {"api": {"requests": 3}},
        {"anomalies": {"new": 1}},
        {"cost_date": {"newest": None}},
    ],
)
def test_a_run_is_told_whatever_the_numbers_of_its_job_are_called(own: dict[str, Any]) -> None:
    """Another job means something else by the same names; an event without a message holds up all others."""
    accounts = {"total": 1, "done": 1, "failed": 0, "skipped": 0, "not_active": 0, "unfinished": 0}
    summary = {"job": "scan", "status": "completed", "accounts": accounts, "failures": {}, **own}
    message = said(run_ended(summary, run_id=RUN, run_key="job-9", now=NOW))
    assert (message.title, message.text) == (
        "Run completed: 1 of 1 account done",
        "Accounts: 1 of 1 account done",
    )


BACK, NEW, EITHER = (
    "The cost is normal again.",
    "The cost stays at its new level, which is expected now.",
    "These days are not unusual any more: the cost went back, or its new level is expected now.",
)


@pytest.mark.parametrize(
    ("direction", "before", "during", "after", "is_complete", "end"),
    [
        (Direction.SPIKE, ["10"] * 5, ["90"], ["11", "9", "12", "10"], True, BACK),
        (Direction.SPIKE, ["10"] * 5, ["30"] * 15, ["31", "29", "30", "31"], True, NEW),
        (Direction.SPIKE, ["10"] * 5, ["90", *["30"] * 14], ["30"] * 4, True, NEW),
        (Direction.SPIKE, ["10"] * 5, ["30", "10", "10", "30"], ["11", "9", "12"], True, BACK),
        (Direction.SPIKE, ["10", "500", *["10"] * 5], ["30"] * 5, ["30", "30", "30"], True, NEW),
        (Direction.SPIKE, ["10"] * 5, ["30"] * 5, ["30", "9", "30"], True, EITHER),
        (Direction.SPIKE, ["10"] * 5, ["30"] * 5, ["30", "30", "9"], False, NEW),
        (Direction.DROP, ["10"] * 5, ["2"], ["10", "9", "11"], True, BACK),
        (Direction.DROP, ["10"] * 5, ["2"], ["10", "9", "3"], False, BACK),
        (Direction.DROP, ["10"] * 5, ["2", "2"], ["2", "2", "2"], True, NEW),
        (Direction.SPIKE, ["10"] * 5, ["30"], ["10"], False, EITHER),
        (Direction.SPIKE, [], ["30"] * 26, ["30"] * 4, True, EITHER),
        (Direction.DROP, ["80"] * 5, ["0"] * 4, ["80", "380", "390", "380", "385"], True, EITHER),
        (Direction.SPIKE, ["80"] * 5, ["320"] * 3, ["0"] * 5, True, EITHER),
        (Direction.SPIKE, ["4"] * 5, ["40"] * 3, ["3000"] * 5, True, EITHER),
        (Direction.SPIKE, ["0"] * 5, ["40"] * 3, ["0"] * 5, True, BACK),
        (Direction.SPIKE, ["100"] * 5, ["900"], ["110", "0", "0", "105", "100"], True, BACK),
    ],
)
def test_the_end_of_an_anomaly_is_told_as_it_is(
    *,
    direction: Direction,
    before: list[str],
    during: list[str],
    after: list[str],
    is_complete: bool,
    end: str,
) -> None:
    """The cost went back, or it stays and is expected now; either if the trend shows neither."""
    last = NEWEST - timedelta(days=len(after))
    event = an_event(
        ChangeKind.RESOLVED,
        trend=a_trend(*before, *during, *after, is_complete=is_complete),
        direction=direction,
        state=AnomalyState.RESOLVED,
        resolution=Resolution.ENDED,
        start_date=last - timedelta(days=len(during) - 1),
        last_date=last,
    )
    assert f"Resolved: {end}\n" in said(event).text


@pytest.mark.parametrize("resolution", Resolution)
def test_a_message_says_why_an_anomaly_is_over(resolution: Resolution) -> None:
    """Whatever the reason is; that of a removed account is not that its cost went back."""
    event = an_event(ChangeKind.RESOLVED, state=AnomalyState.RESOLVED, resolution=resolution)
    text = said(event).text
    assert "Resolved: " in text
    assert ("Resolved: Its account was removed." in text) is (resolution == "removed")
    # A night that finds them explained neither knows of a correction nor of another rule.
    assert ("or later days explain them." in text) is (resolution == "restated")


def test_a_message_says_everything_that_a_person_needs() -> None:
    """Whose, what, how much, since when, why, whether it is complete, where to look, how to answer."""
    message = said(an_event(), link=LINK)
    assert message.title == "[high] Cost spike: search (000000000001), +1,249.40 USD (+606.2 %)"
    for part in (
        "expected 206.10 → actual 1,455.50 USD",
        "2025-06-18, until 2025-06-19",
        f"+1,000.26 USD {EC2}",
        "2025-06-19, not complete yet",
        "https://grafana.example.com/d/cost?var-account=000000000001&from=1747612800000",
        f"costbatch anomalies acknowledge {UUID(int=40)}",
        f"costbatch anomalies dismiss {UUID(int=40)} --reason",
        f"costbatch anomalies expect {UUID(int=40)} --as-of-now",
    ):
        assert part in message.text


@pytest.mark.parametrize(
    ("kind", "effect", "command"),
    [
        (AnswerKind.DISMISSED, "It is silent at 1,204.00 USD a day.", f"anomalies reopen {UUID(int=40)}"),
        (
            AnswerKind.EXPECTED,
            "It is silent at 1,204.00 USD a day until 2025-06-28.",
            f"anomalies reopen {UUID(int=40)}",
        ),
        (AnswerKind.PLANNED, "It is silent from 2025-06-19 until 2025-06-28.", "planned remove 7"),
        (
            AnswerKind.ACKNOWLEDGED,
            "No update and no reminder is sent at 1,204.00 USD a day. Its end is reported.",
            f"anomalies reopen {UUID(int=40)}",
        ),
        (None, "Every change is reported.", f"anomalies dismiss {UUID(int=40)}"),
    ],
)
def test_an_answer_is_told_with_its_effect_and_how_to_undo_it(
    kind: AnswerKind | None, effect: str, command: str
) -> None:
    """Who hears of it knows what will be silent, and can disagree."""
    message = said(answered(kind))
    assert message.title.startswith(f"[high] Cost spike, {kind or 'reopened'}: {EC2} in search")
    assert f"Effect: {effect}" in message.text
    assert f"costbatch {command}" in message.text


def test_a_digest_tells_an_anomaly_once_with_its_root_cause() -> None:
    """As what it is, such as detected; alone, a root cause is told as such."""
    both, alone = said(an_event(), explained(), a_run()), said(explained(41), a_run())
    assert both.title.startswith("Cost anomalies: 1 detected, +1,249.40 USD")
    assert both.text.count("[high] Cost spike: ") == 1
    assert "+1,000.26 USD eu-west-1 EUW1-BoxUsage:p4d.24xlarge (0.00 → 1,000.26)" in both.text
    assert alone.title.startswith("Cost anomalies: 1 explained, ")


def an_incident(size: int) -> Event:
    """Return the event of an incident; the anomaly of its n-th account has the id n."""
    members = tuple(
        Member(f"{n:012}", f"team-{n}", UUID(int=n << 96), Decimal(10), Decimal(500 - n))
        for n in range(1, size + 1)
    )
    incident = Incident(
        service=EC2, direction=Direction.SPIKE, start_date=NEWEST, currency="USD", members=members
    )
    return incident_detected(incident, run_id=RUN, now=NOW)


@pytest.mark.parametrize("others", [[], [a_run()]], ids=["alone", "in a digest"])
def test_an_incident_names_its_accounts_with_the_ids_to_answer(others: list[Event]) -> None:
    """Their own parts are left out of a digest, so nothing else names them; what is left out is counted."""
    for size, rest in ((5, None), (25, "… 5 more"), (4_000, "… 3,980 more")):
        text = said(an_incident(size), *others).text
        for n in range(1, min(size, 20) + 1):
            assert f"team-{n} ({n:012}), ID {n:08x}" in text
        assert ("more" in text) == (rest is not None)
        assert rest is None or rest in text
        assert "costbatch anomalies dismiss ID" in text


def test_a_digest_leaves_out_also_the_members_that_a_large_incident_does_not_name() -> None:
    """It counts them, and a part of each would tell the smallest of all at length; others have their part."""

    def spike(number: int, account: int = 4_000, start: date = NEWEST, **fields: Any) -> Event:
        return an_event(account=account, id=UUID(int=number << 96), start_date=start, **fields)

    alike = spike(4_000)
    others = [
        spike(4_001, start=NEWEST - timedelta(days=1)),
        spike(4_002, service="AWS Lambda"),
        spike(4_003, currency="EUR"),
        # Of an account that is named with a larger one.
        spike(4_004, account=1),
    ]
    assert "[high] Cost spike: " not in said(alike, an_incident(4_000)).text
    assert said(alike, *others, an_incident(4_000)).text.count("[high] Cost spike: ") == len(others)
    assert "[high] Cost spike: " in said(alike, an_incident(5)).text


def test_a_digest_tells_the_root_cause_of_a_member_of_an_incident() -> None:
    """By a part of its own beside the incident; members without one have none."""
    members = [an_event(id=UUID(int=n << 96)) for n in (1, 2)]
    message = said(an_incident(5), *members, explained(2 << 96))
    assert message.text.count("[high] Cost spike: ") == 1
    assert "+1,000.26 USD eu-west-1 EUW1-BoxUsage:p4d.24xlarge (0.00 → 1,000.26)" in message.text


def test_a_digest_tells_the_end_of_a_member_of_an_incident() -> None:
    """The incident comes again if another account joins, and does not say of whom it is over."""
    ended = Resolution.ENDED
    over = an_event(ChangeKind.RESOLVED, id=UUID(int=1 << 96), state=AnomalyState.RESOLVED, resolution=ended)
    message = said(an_event(id=UUID(int=2 << 96)), over, an_incident(5))
    assert message.text.count("[high] Cost spike, resolved: ") == 1
    assert "[high] Cost spike: " not in message.text


def test_a_digest_says_how_many_rows_it_leaves_out() -> None:
    """Two of three services look like all of them otherwise; a message of one event has them all."""
    alone, digest = said(an_event()), said(an_event(), a_run())
    assert "Amazon S3" in alone.text
    assert "more" not in alone.text.replace("more cost may arrive", "")
    for text in (digest.text, digest.markdown, digest.html):
        assert "Amazon S3" not in text
        assert "… 1 more" in text


def test_an_anomaly_without_baseline_has_no_percentage() -> None:
    """A new service was not expected to cost anything."""
    assert "(nothing was expected)" in said(an_event(expected=Decimal(0))).title


def test_a_trend_that_is_not_known_is_left_out() -> None:
    """A service that is judged no longer has no series."""
    message = said(an_event(trend=Trend(newest=NEWEST, is_complete=True)))
    assert "Trend" not in message.text + message.markdown + message.html
    assert "2025-06-19, complete" in message.text


@pytest.mark.parametrize("type_", EventType)
def test_the_title_of_a_digest_counts_every_type_of_event(type_: EventType) -> None:
    """Beside what it counts, nobody would miss what it does not."""
    kind = KINDS[type_]
    assert said(SAMPLES[type_], SAMPLES[type_]).title.startswith(f"{kind.subject}: 1 {kind.verb}")


def test_what_warns_in_the_log_warns_in_a_channel() -> None:
    """A channel that shows it as information would hide it among what needs no attention."""
    warns = [each for type_, each in SAMPLES.items() if KINDS[type_].warns]
    assert warns
    assert [each.type for each in warns if said(each).importance < Importance.WARNING] == []


@pytest.mark.parametrize(
    ("event", "importance"),
    [
        (an_event(), Importance.FAILURE),
        (an_event(severity=Severity.MEDIUM), Importance.WARNING),
        (an_event(severity=Severity.LOW), Importance.INFO),
        (resolved(), Importance.SUCCESS),
        (answered(), Importance.INFO),
        (answered(None), Importance.FAILURE),
        (a_failure(), Importance.FAILURE),
        (a_run("completed"), Importance.SUCCESS),
        (a_run("partial"), Importance.WARNING),
        (a_run("failed"), Importance.FAILURE),
        (a_run("stopped"), Importance.WARNING),
        (a_discovery()[0], Importance.WARNING),
        (charges()[0], Importance.FAILURE),
        (charges()[2], Importance.WARNING),
        (charges()[3], Importance.WARNING),
    ],
)
def test_the_importance_is_that_of_the_event(event: Event, importance: Importance) -> None:
    """A channel colours by it; a digest is as important as its worst part."""
    assert said(event).importance is importance
    assert said(event, a_run("completed")).importance is importance


def test_a_digest_shows_the_severest_first_and_counts_the_rest() -> None:
    """Twenty are enough to read; the title counts them all, and sums the money by currency."""
    events = [an_event(id=UUID(int=n), severity=Severity.LOW, actual=Decimal(300 + n)) for n in range(25)]
    message = said(*events, an_event(id=UUID(int=99)))
    assert message.title == "Cost anomalies: 26 detected, +3,896.90 USD"
    assert message.text.count("Cost spike") == 20
    assert "6 more are not shown here." in message.text
    assert message.text.index("[high]") < message.text.index("[low]")
    assert "+117.90 USD" in message.text
    assert "+93.90 USD" not in message.text


def test_a_digest_tells_an_anomaly_once_by_its_newest_event() -> None:
    """An update and a reminder of one night are one part, and its money counts once."""
    update = an_event(ChangeKind.UPDATED, id=UUID(int=44), actual=Decimal(300))
    message = said(a_failure(), update, reminder())
    assert message.title == "Cost anomalies: 1 still open, +100.00 USD. Accounts: 1 failed"
    assert message.text.count(str(UUID(int=44))) == 1


def test_an_event_of_a_later_release_is_told_by_its_type() -> None:
    """It may lie in the outbox after a downgrade; delivery must not fail because of it."""
    document = {**an_event().to_cloudevent(), "type": "anomaly.forecast", "data": {}}
    assert message_of([document]).title == "Event anomaly.forecast of 000000000001"
    assert message_of([document, {**document, "id": "2"}]).title == "2 events"
    known = {**a_run("completed").to_cloudevent(), "id": "3"}
    assert message_of([document, known]).title == "Runs: 1 completed. 1 other event"


class _Tags(HTMLParser):
    """Collects tags with their attributes, and the text between them."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, Sequence[tuple[str, str | None]]]] = []
        self.text = ""
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, attrs))

    def handle_data(self, data: str) -> None:
        self.text += data


def shape(markdown: str) -> list[tuple[str, str]]:
    """Return how a CommonMark parser reads a text: its tokens, without the content of code spans."""
    tokens = MarkdownIt().parse(markdown)
    flat = [each for token in tokens for each in (token, *(token.children or ()))]
    return [(token.type, "" if token.type in {"code_inline", "inline"} else token.content) for token in flat]


def hostile_events(name: str) -> list[list[Event]]:
    """Return an anomaly, a failure and a digest with a name in every place that comes from outside."""
    explanation = (Contribution(name, Decimal(1), Decimal(900)),)
    anomaly = an_event(name=name, service=name, explanation=explanation)
    return [
        [anomaly],
        [answered(author=name, reason=name)],
        [a_failure(name, name)],
        [anomaly, a_failure(name, name)],
    ]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_arrives_as_text(name: str) -> None:
    """The formats have the same tags and tokens as with a harmless name, and nothing pings anyone."""
    for events, harmless in zip(hostile_events(name), hostile_events("x"), strict=True):
        message, plain = said(*events, link=LINK), said(*harmless, link=LINK)
        assert _Tags(message.html).tags == _Tags(plain.html).tags
        assert shape(message.markdown) == shape(plain.markdown)
        assert [kind for kind, _ in shape(message.markdown_title)] == [
            kind for kind, _ in shape(plain.markdown_title)
        ]
        assert message.text.count("\n") == plain.text.count("\n")
        for text in (
            message.title,
            message.markdown_title,
            message.text,
            message.markdown,
            _Tags(message.html).text,
        ):
            assert all(letter.isprintable() or letter in "\n\u200b" for letter in text)
            assert not any(ping in text for ping in ("@everyone", "@here", "<!", "<@", "!channel"))
        own_words = message.text.replace("https://grafana", "")
        assert "://" not in own_words


@pytest.mark.parametrize(
    ("name", "is_marked"), [("حساب الإنتاج", True), ("ייצור 7", True), ("prod 🚀", False)]
)
def test_a_name_from_right_to_left_does_not_turn_what_follows_it(name: str, *, is_marked: bool) -> None:
    """Else -112.00 behind it would be shown as 112.00-, and before the id of the account."""
    message = said(an_event(name=name))
    shown = f"{name}\N{LEFT-TO-RIGHT MARK}" if is_marked else name
    assert f" {shown} (000000000001), " in message.title
    assert f"`{shown}` (000000000001)" in message.markdown
    assert f"{shown} (000000000001), " in _Tags(message.html).text


def test_a_name_is_shown_whole_unless_it_is_absurd() -> None:
    """What can be read of a name stays readable in every format; a megabyte is cut."""
    message = said(an_event(name="<b>Mühle & Söhne</b>", service="a" * 100_000))
    assert "Mühle & Söhne" in message.title
    assert (
        said(an_event(name="prod_eu-1 (new)")).markdown_title == said(an_event(name="prod_eu-1 (new)")).title
    )
    assert "Mühle & Söhne" in _Tags(message.html).text
    assert "&lt;\u200bb&gt;Mühle &amp; Söhne" in message.html
    assert len(message.text) < 5_000


@pytest.mark.parametrize(
    ("template", "address"),
    [
        ("https://x.example/{aws_account_id}/{currency}", "https://x.example/000000000001/USD"),
        ("https://x.example/?s={service}", "https://x.example/?s=A%2FB%20%26%20%3Cc%3E"),
        ("https://x.example/?n={account_name}", "https://x.example/?n=%22%3E%0A"),
        ("http://x.example:3000/{anomaly_id}", f"http://x.example:3000/{UUID(int=40)}"),
        ("https://x.example/{start_date}/{last_date}", "https://x.example/2025-06-18/2025-06-19"),
        (
            "https://x.example/?from={from_ms}&to={to_ms}",
            "https://x.example/?from=1747612800000&to=1750377600000",
        ),
        ("https://x.example/", "https://x.example/"),
    ],
)
def test_a_link_is_filled_with_encoded_values(template: str, address: str) -> None:
    """No value can leave its place in the address."""
    event = an_event(name='">\n', service="A/B & <c>").to_cloudevent()
    assert LinkTemplate.parse(template).fill(event) == address


def test_an_event_without_a_value_of_the_template_has_no_link() -> None:
    """A failing account has no anomaly to show; one that names only the account has its link."""
    failure = a_failure().to_cloudevent()
    assert LinkTemplate.parse("https://x.example/{anomaly_id}").fill(failure) is None
    assert (
        LinkTemplate.parse("https://x.example/{aws_account_id}").fill(failure)
        == "https://x.example/000000000002"
    )
    answer = answered().to_cloudevent()
    # It does not say how far the costs go, so the link ends with the anomaly.
    assert LinkTemplate.parse("https://x.example/{to_ms}").fill(answer) == "https://x.example/1750377600000"
    assert "Details" not in message_of([failure], LinkTemplate.parse("https://x.example/{service}")).text


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("https://x.example/{account}", "unknown placeholder 'account'"),
        ("https://x.example/{}", "unknown placeholder ''"),
        ("https://x.example/{service.__class__}", "unknown placeholder"),
        ("https://x.example/{service!r}", "unknown placeholder"),
        ("https://x.example/{service:>100000000}", "unknown placeholder"),
        ("https://x.example/{service", "must be a URL"),
        ("https://x.example/}", "must be a URL"),
        ("https://x.example/{{service}}", "must be a URL"),
        ("https://{service}/", "must be a URL"),
        ("javascript:alert(1)", "must be a URL"),
        ("https://x.example/a b", "must be a URL"),
        ("https://x.example/<", "must be a URL"),
        ("https://[x.example/", "must be a URL"),
        ("x.example", "must be a URL"),
    ],
)
def test_a_template_with_a_mistake_is_refused(template: str, problem: str) -> None:
    """When the program starts, not when the alert should go out."""
    with pytest.raises(ValueError, match=re.escape(problem)):
        LinkTemplate.parse(template)
