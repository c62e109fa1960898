"""What each check of settings, database and records says, when all is well and when it is not."""

from dataclasses import replace
from datetime import timedelta

import pytest

from costbatch.application.doctor.findings import Mark
from costbatch.application.doctor.ports import SchemaVersion, SealedOfAccount, SinkHealth
from costbatch.application.inspection import Rights
from costbatch.domain.accounts import NO_PROGRESS, AccountStatus, Failing, Progress
from costbatch.domain.credentials import AccessKeys, SealedCredentials, Secret, StoredSecrets
from costbatch.domain.deliveries import Backlog
from costbatch.domain.periods import DateRange
from costbatch.domain.runs import RunStatus
from costbatch.errors import ErrorKind
from tests.support.fake_doctor import (
    DAY,
    LAST_NIGHT,
    NOW,
    TODAY,
    FakeHealth,
    Ward,
    make_account,
    make_run,
)
from tests.support.fakes import FakeVault

SECRETS = StoredSecrets(
    access_keys=AccessKeys(
        access_key_id=Secret("AKIAPLANTEDPLANTED00"), secret_access_key=Secret("planted-secret")
    )
)


def stored(number: int, *, key_id: str = FakeVault.key_id) -> list[SealedOfAccount]:
    """Return the credentials of so many accounts, sealed by a key."""
    ids = [f"{n:012}" for n in range(1, number + 1)]
    return [
        SealedOfAccount(aws_account_id=each, sealed=FakeVault(key_id).seal(each, SECRETS)) for each in ids
    ]


def test_every_problem_of_the_configuration_is_told() -> None:
    """One a line, and that it is the configuration."""
    finding = Ward(problems=["A is wrong.", "B is wrong."]).find("configuration")
    assert (finding.mark, finding.found) == (Mark.FAILURE, "A is wrong.\nB is wrong.")
    assert finding.is_configuration


def test_a_key_that_opens_everything_is_ok() -> None:
    """With the number of credentials, and nothing of what they hold."""
    finding = Ward(health=FakeHealth(credentials=stored(1234))).find("encryption key")
    assert finding.mark is Mark.OK
    assert finding.found == "ENCRYPTION_KEY (key id 11112222) decrypts all 1,234 stored credentials."


def test_a_key_with_nothing_to_open_is_ok() -> None:
    """Before the first account there is nothing to try it on."""
    finding = Ward().find("encryption key")
    assert finding.mark is Mark.OK
    assert "no credentials are stored yet" in finding.found


def test_a_key_that_opens_some_is_a_warning_with_the_counts() -> None:
    """The others are the accounts that will fail."""
    finding = Ward(health=FakeHealth(credentials=[*stored(30), *stored(2, key_id="99998888")])).find(
        "encryption key"
    )
    assert finding.mark is Mark.WARNING
    first, second = finding.found.splitlines()
    assert first == "ENCRYPTION_KEY (key id 11112222) decrypts 30 of the 32 stored credentials."
    assert second.startswith("2 encrypted with key id 99998888; the first of them: ")
    assert "set-credentials" in finding.advice


def test_a_key_that_opens_none_is_a_failure_of_the_configuration() -> None:
    """As for a run, which refuses to start."""
    finding = Ward(health=FakeHealth(credentials=stored(2, key_id="99998888"))).find("encryption key")
    assert finding.mark is Mark.FAILURE
    assert finding.is_configuration
    assert "decrypts none of the 2" in finding.found


def test_a_credential_of_another_account_s_row_does_not_open() -> None:
    """The right key id proves nothing: the credential is really opened."""
    first, *others = stored(5)
    swapped = replace(first, aws_account_id="000000000077")
    finding = Ward(health=FakeHealth(credentials=[*others, swapped])).find("encryption key")
    assert finding.mark is Mark.WARNING
    assert "decrypts 4 of the 5 stored credentials.\n1 encrypted with key id 11112222; " in finding.found
    only = Ward(health=FakeHealth(credentials=[swapped])).find("encryption key")
    assert only.mark is Mark.FAILURE


def test_what_a_credential_holds_is_never_told() -> None:
    """Neither opened nor sealed."""
    text = str(Ward(health=FakeHealth(credentials=[*stored(1), *stored(1, key_id="99998888")])).examine())
    assert "planted" not in text.lower()
    assert "SealedCredentials" not in text


def test_the_database_says_its_version_and_how_long_it_took() -> None:
    """And that a pooler stands between, which is fine."""
    health = FakeHealth()
    assert Ward(health=health).find("database").found == "Connected to PostgreSQL 16.4 in 12 ms."
    health.the_server = replace(health.the_server, is_pooled=True)
    finding = Ward(health=health).find("database")
    assert finding.mark is Mark.OK
    assert finding.found.endswith(", through a connection pooler.")


def test_an_old_server_is_a_failure() -> None:
    """PostgreSQL 12 is too old, 13 is not."""
    health = FakeHealth()
    health.the_server = replace(health.the_server, version_number=120_022, version="12.22")
    finding = Ward(health=health).find("database")
    assert finding.mark is Mark.FAILURE
    assert "PostgreSQL 13 or newer" in finding.advice
    health.the_server = replace(health.the_server, version_number=130_000)
    assert Ward(health=health).find("database").mark is Mark.OK


@pytest.mark.parametrize(
    ("schema", "found", "advice"),
    [
        (
            SchemaVersion(current=None, needed="r2", is_known=False),
            "no costbatch tables",
            "costbatch db upgrade",
        ),
        (
            SchemaVersion(current="r1", needed="r2", is_known=True),
            "but this version needs r2",
            "costbatch db upgrade",
        ),
        (
            SchemaVersion(current="r9", needed="r2", is_known=False),
            "a newer version of costbatch",
            "that version",
        ),
    ],
    ids=["empty", "behind", "newer"],
)
def test_a_schema_that_does_not_fit_is_a_failure(schema: SchemaVersion, found: str, advice: str) -> None:
    """Of the configuration, as for a run."""
    finding = Ward(health=FakeHealth(the_schema=schema)).find("schema")
    assert (finding.mark, finding.is_configuration) == (Mark.FAILURE, True)
    assert found in finding.found
    assert advice in finding.advice


def test_missing_privileges_are_listed() -> None:
    """Each as it would be granted."""
    rights = Rights(role="app", missing=("INSERT on runs", "ownership of daily_costs"))
    finding = Ward(health=FakeHealth(the_rights=rights)).find("privileges")
    assert finding.mark is Mark.FAILURE
    assert finding.found == "The role app lacks privileges:\nINSERT on runs\nownership of daily_costs"


def test_a_standby_is_a_failure() -> None:
    """Nothing can be stored there, nor if the transactions of the primary are read-only."""
    finding = Ward(health=FakeHealth(the_rights=Rights(role="app", missing=(), is_read_only=True))).find(
        "privileges"
    )
    assert finding.mark is Mark.FAILURE
    assert "primary" in finding.advice
    assert "default_transaction_read_only" in finding.advice


@pytest.mark.parametrize(
    ("seconds", "mark", "found"),
    [
        (4, Mark.OK, "agree to 4.0 s"),
        (90, Mark.WARNING, "90.0 s ahead of"),
        (-90, Mark.WARNING, "90.0 s behind"),
        (-90_000, Mark.WARNING, "1 day, 1:00:00 behind"),
    ],
)
def test_clocks_may_differ_by_a_few_seconds(seconds: int, mark: Mark, found: str) -> None:
    """More is a warning that says in which direction."""
    health = FakeHealth(the_clock=lambda: NOW + timedelta(seconds=seconds))
    finding = Ward(health=health).find("clock")
    assert finding.mark is mark
    assert found in finding.found


@pytest.mark.parametrize(
    ("run", "mark", "words"),
    [
        (None, Mark.WARNING, "There has been no run over all accounts yet."),
        (make_run(RunStatus.COMPLETED, succeeded=1200), Mark.OK, "it is completed (1,200 collected)."),
        (make_run(RunStatus.COMPLETED), Mark.OK, "it is completed (no accounts)."),
        (make_run(RunStatus.RUNNING, succeeded=1, pending=2), Mark.OK, "running (1 collected, 2 pending)"),
        (make_run(RunStatus.RUNNING, hours_ago=25), Mark.WARNING, "it is running"),
        (make_run(RunStatus.FAILED, failed=3), Mark.WARNING, "failed (3 failed)"),
        (make_run(RunStatus.PARTIAL, succeeded=2, failed=1), Mark.WARNING, "partial (2 collected, 1 failed)"),
        (make_run(RunStatus.STOPPED, succeeded=2, pending=1), Mark.WARNING, "stopped"),
        (make_run(RunStatus.COMPLETED, hours_ago=49, succeeded=1), Mark.WARNING, "2025-03-10 05:30 UTC"),
    ],
)
def test_the_newest_run_is_told(run: object, mark: Mark, words: str) -> None:
    """When it was, how it ended, and its counts."""
    finding = Ward(health=FakeHealth(run=run)).find("last run")  # type: ignore[arg-type] # parametrize knows no types
    assert finding.mark is mark
    assert words in finding.found
    assert bool(finding.advice) is (mark is Mark.WARNING)


def test_no_active_account_is_a_warning() -> None:
    """Runs would have nothing to do."""
    finding = Ward(accounts=[make_account(1, status=AccountStatus.PAUSED)]).find("accounts")
    assert finding.mark is Mark.WARNING
    assert "costbatch accounts add" in finding.advice


def test_accounts_left_behind_are_listed_with_why_they_fail() -> None:
    """The first five; those of yesterday are not behind, and new ones are counted apart."""
    failing = Failing(since=NOW - 4 * DAY, kind="access_denied")
    behind = Progress(covered=DateRange(TODAY - 9 * DAY, TODAY - 3 * DAY), failing=failing)
    late = [make_account(n) for n in range(10, 17)]
    fine = [make_account(1), make_account(2, created_at=NOW - DAY)]
    progress = {
        1: Progress(covered=DateRange(TODAY - 9 * DAY, TODAY - 2 * DAY)),
        2: NO_PROGRESS,
        **{account.id: behind for account in late},
    }
    finding = Ward(accounts=[*fine, *late], progress=progress).find("accounts")
    assert finding.mark is Mark.WARNING
    lines = finding.found.splitlines()
    assert lines[0] == "7 of 9 active accounts failing or not collected."
    assert lines[1] == "1 account, added within the last 2 days and not collected yet."
    assert lines[2] == (
        "000000000010 (account-10): collected up to 2025-03-08; access_denied since 2025-03-08 06:30 UTC."
    )
    assert (len(lines), lines[-1]) == (8, "And 2 more.")
    assert finding.advice == f"access_denied: {ErrorKind.ACCESS_DENIED.advice}"


def test_an_account_that_fails_since_this_night_is_not_well() -> None:
    """Whether it is new, or has the days of yesterday: the next nights fail as well."""
    failing = Failing(since=NOW - timedelta(hours=4), kind="access_denied")
    accounts = [make_account(1), make_account(2, created_at=NOW - timedelta(hours=20))]
    progress = {1: replace(LAST_NIGHT, failing=failing), 2: Progress(failing=failing)}
    finding = Ward(accounts=accounts, progress=progress).find("accounts")
    assert finding.mark is Mark.WARNING
    assert finding.found.splitlines() == [
        "2 of 2 active accounts failing or not collected.",
        "000000000001 (account-1): collected up to 2025-03-11; access_denied since 2025-03-12 02:30 UTC.",
        "000000000002 (account-2): never collected; access_denied since 2025-03-12 02:30 UTC.",
    ]


@pytest.mark.parametrize(
    ("collected", "words"),
    [
        ([1, 2], "2 active accounts, all collected within the last 2 days."),
        (
            [1],
            """1 active account, all collected within the last 2 days.
1 account, added within the last 2 days and not collected yet.""",
        ),
        ([], "2 accounts, added within the last 2 days and not collected yet."),
    ],
)
def test_what_is_new_is_not_said_to_be_collected(collected: list[int], words: str) -> None:
    """It is well all the same until the nights that should have come to it are over."""
    accounts = [make_account(n, created_at=NOW - DAY) for n in (1, 2)]
    progress = {n: LAST_NIGHT if n in collected else NO_PROGRESS for n in (1, 2)}
    finding = Ward(accounts=accounts, progress=progress).find("accounts")
    assert (finding.mark, finding.found) == (Mark.OK, words)


@pytest.mark.parametrize("days", [0, 3])
def test_an_account_that_was_removed_and_is_added_again_is_new(days: int) -> None:
    """Its days and its failure are from before; if no run comes to it, it is left behind after two days."""
    denied = Failing(since=NOW - 60 * DAY, kind="access_denied")
    before = Progress(covered=DateRange(TODAY - 90 * DAY, TODAY - 60 * DAY), failing=denied)
    account = make_account(1, created_at=NOW - timedelta(hours=1) - days * DAY)
    finding = Ward(accounts=[account], progress={1: before}).find("accounts")
    if days:
        assert finding.mark is Mark.WARNING
        assert finding.found.endswith("collected up to 2025-01-10; no failure is recorded.")
    else:
        assert (finding.mark, finding.found) == (
            Mark.OK,
            "1 account, added within the last 2 days and not collected yet.",
        )


def test_an_account_that_no_run_came_to_is_left_behind_too() -> None:
    """There is no failure to name then; the CronJob is suspected."""
    finding = Ward(accounts=[make_account(1)], progress={1: NO_PROGRESS}).find("accounts")
    assert "never collected; no failure is recorded." in finding.found
    assert "CronJob" in finding.advice


def test_what_the_cap_leaves_out_is_not_said_to_fail_or_to_be_in_no_run() -> None:
    """Both checks name the setting; what fails beside it keeps its own advice."""
    run = make_run(RunStatus.PARTIAL, succeeded=1, skipped=1)
    left_out = FakeHealth(run=replace(run, left_out={1}))
    ward = Ward(accounts=[make_account(1)], progress={1: NO_PROGRESS}, health=left_out)
    accounts, newest = ward.find("accounts"), ward.find("last run")
    assert "never collected; left out by the cap on API cost." in accounts.found
    for finding in (accounts, newest):
        assert finding.mark is Mark.WARNING
        assert "COSTBATCH_MAX_API_COST_USD" in finding.advice
        assert not any(words in finding.advice for words in ("CronJob", "accounts list"))
    failed_too = replace(run, accounts={"failed": 1, "skipped": 1}, left_out={1})
    ward = Ward(accounts=[make_account(1), make_account(2)], health=FakeHealth(run=failed_too))
    assert "accounts list" in ward.find("last run").advice.splitlines()[0]
    assert "COSTBATCH_MAX_API_COST_USD" in ward.find("last run").advice
    both = Ward(
        accounts=[make_account(1), make_account(2)],
        progress={1: NO_PROGRESS, 2: NO_PROGRESS},
        health=left_out,
    ).find("accounts")
    assert "CronJob" in both.advice
    assert "COSTBATCH_MAX_API_COST_USD" in both.advice


def test_each_sink_is_described_with_its_last_success_and_its_backlog() -> None:
    """Events that wait for more than a day are a warning, with what the receiver answered."""
    old = SinkHealth(
        sink="log", backlog=Backlog(pending=3), oldest_at=NOW - 2 * DAY, last_error="It is full."
    )
    finding = Ward(health=FakeHealth(the_sinks=[old])).find("events")
    assert finding.mark is Mark.WARNING
    assert finding.found == (
        "log: never used; 3 events undelivered, the oldest since 2025-03-10 06:30 UTC; "
        "last error: It is full."
    )
    assert "events test" in finding.advice
    young = SinkHealth(
        sink="log", backlog=Backlog(pending=1), oldest_at=NOW - DAY / 2, last_success_at=NOW - DAY
    )
    finding = Ward(health=FakeHealth(the_sinks=[young])).find("events")
    assert finding.mark is Mark.OK
    assert finding.found.startswith("log: last accepted an event 2025-03-11 06:30 UTC; 1 event undelivered")
    assert Ward(health=FakeHealth()).find("events").found == "log: never used."


def test_an_event_from_the_future_is_not_young() -> None:
    """A clock that was ahead wrote it, so that nobody knows how long it has waited."""
    ahead = SinkHealth(sink="log", backlog=Backlog(pending=1), oldest_at=NOW + 30 * DAY)
    finding = Ward(health=FakeHealth(the_sinks=[ahead])).find("events")
    assert finding.mark is Mark.WARNING
    assert "events test" in finding.advice


def test_events_that_were_given_up_are_a_warning() -> None:
    """Until they are replayed or discarded."""
    dead = SinkHealth(sink="log", backlog=Backlog(dead=2))
    finding = Ward(health=FakeHealth(the_sinks=[dead])).find("events")
    assert (finding.mark, finding.found) == (Mark.WARNING, "log: never used; 2 events given up.")
    assert "replay --state dead" in finding.advice


def test_events_for_a_sink_that_is_no_longer_set_are_a_warning_of_their_own() -> None:
    """No run will ever deliver them; without a backlog it is not mentioned."""
    old = SinkHealth(sink="pager", backlog=Backlog(pending=1), oldest_at=NOW)
    finding = Ward(health=FakeHealth(the_sinks=[old, SinkHealth(sink="gone")])).find("events")
    assert finding.found.splitlines()[1].startswith("pager: never used; 1 event undelivered")
    assert "events discard pager" in finding.advice
    assert "gone" not in finding.found


def test_sealed_credentials_do_not_show() -> None:
    """Not even sealed."""
    sealed = SealedCredentials("k", b"s3al3d")
    assert "s3al3d" not in repr(SealedOfAccount(aws_account_id="1", sealed=sealed))
