"""Every fault that an account can suffer: its kind and sentence everywhere, and its neighbour untouched."""

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import psycopg2
import pytest

from costbatch.demo.postgres import EmbeddedPostgres
from costbatch.domain.periods import DateRange
from costbatch.errors import ErrorKind
from costbatch.simulator.client import SimulatorProcess
from costbatch.simulator.world import Fault
from tests.support.bills import billed, stored
from tests.support.databases import copied_database
from tests.support.harness import ONE_DAY, TODAY, Finished, Harness, bill, make_account

BROKEN, HEALTHY = "100000000001", "100000000002"
WINDOW = DateRange(TODAY.replace(year=2024, month=2, day=1), TODAY)
STS = "GetCallerIdentity"
Failed = tuple[Harness, Finished]

FAULTS = [
    ("not_json", Fault("not_json"), "malformed_response"),
    ("a body that is no object", Fault("body", body="[1, 2]"), "malformed_response"),
    ("an empty body", Fault("body", body=""), "malformed_response"),
    ("no results", Fault("missing_fields", field="ResultsByTime"), "malformed_response"),
    ("no groups", Fault("missing_fields", field="Groups"), "malformed_response"),
    ("no keys", Fault("missing_fields", field="Keys"), "malformed_response"),
    ("no metrics", Fault("missing_fields", field="Metrics"), "malformed_response"),
    ("no unblended cost", Fault("missing_fields", field="UnblendedCost"), "malformed_response"),
    ("no amounts", Fault("missing_fields", field="Amount"), "malformed_response"),
    ("no units", Fault("missing_fields", field="Unit"), "malformed_response"),
    ("no days", Fault("missing_fields", field="TimePeriod"), "malformed_response"),
    ("no estimated", Fault("missing_fields", field="Estimated"), "malformed_response"),
    ("a repeated page token", Fault("repeat_token"), "malformed_response"),
    ("endless pages", Fault("endless_pages"), "malformed_response"),
    ("half an answer", Fault("truncated"), "malformed_response"),
    ("another account", Fault("wrong_account"), "wrong_account"),
    ("revoked keys", Fault("invalid_token", operation=STS), "credentials_rejected"),
    ("expired keys", Fault("expired_token", operation=STS), "credentials_rejected"),
    ("no permission", Fault("access_denied"), "access_denied"),
    ("no Cost Explorer", Fault("not_enabled"), "cost_explorer_not_enabled"),
    ("no data yet", Fault("data_unavailable"), "data_unavailable"),
    ("a bill that expired", Fault("bill_expiration"), "data_unavailable"),
    ("throttled for good", Fault("limit_exceeded"), "throttled"),
    ("STS throttled for good", Fault("throttling", operation=STS), "throttled"),
    ("connections that are reset", Fault("reset"), "timeout"),
    ("500", Fault("http_500"), "timeout"),
    ("503", Fault("http_503"), "timeout"),
    ("a request that AWS does not take", Fault("validation"), "internal"),
]


def fail(harness: Harness, *faults: Fault, **environ: str) -> Finished:
    """Collect an account with these faults beside a healthy one."""
    harness.open(make_account(1, faults=faults), make_account(2))
    return harness.collect("--fail-on", "partial", COSTBATCH_PAGE_LIMIT="4", **environ)


@pytest.fixture(scope="module")
def failed(aws: SimulatorProcess, postgres: EmbeddedPostgres, template: str) -> Iterator[Failed]:
    """Collect an account with each fault, and a healthy one beside them."""
    with copied_database(postgres, template) as url:
        harness = Harness(aws, url)
        broken = [make_account(n, faults=(fault,)) for n, (_, fault, _) in enumerate(FAULTS, 1)]
        harness.open(*broken, make_account(len(FAULTS) + 1))
        yield harness, harness.collect("--fail-on", "partial", COSTBATCH_PAGE_LIMIT="4")


@pytest.mark.parametrize(
    ("number", "kind"),
    [(number, kind) for number, (_, _, kind) in enumerate(FAULTS)],
    ids=[each[0] for each in FAULTS],
)
def test_each_fault_has_its_kind_and_sentence(failed: Failed, number: int, kind: str) -> None:
    """A fault ends in one kind with its advice, in summary, database and log, and nothing is stored.

    Passing failures are tried three times in all, the others once.
    """
    harness, run = failed
    check_failed(harness, run, harness.ids[number], kind)


def test_all_faults_together_leave_their_neighbour_alone(failed: Failed) -> None:
    """The run ends as failed in part, and the healthy account is stored as billed."""
    harness, run = failed
    assert run.status == 3
    assert [state for state in run.outcomes.values() if state == "collected"] == ["collected"]
    healthy = len(FAULTS) + 1
    assert stored(harness, harness.ids[-1]) == billed(make_account(healthy), WINDOW, read_on=TODAY)


def test_no_answer_in_time_is_a_timeout(harness: Harness) -> None:
    """With a limit that the other faults have no need of."""
    run = fail(harness, Fault("hang", seconds=30), COSTBATCH_AWS_READ_TIMEOUT_SECONDS="0.4")
    check_failed(harness, run, BROKEN, "timeout")
    assert run.outcomes[HEALTHY] == "collected"


def check_failed(harness: Harness, run: Finished, aws_account_id: str, kind: str) -> None:
    """Check what the summary, the log and the database say of an account that failed."""
    assert run.outcomes[aws_account_id] == kind
    account = run.account(aws_account_id)
    error = account["error"]
    # What is known of the page limit, of credentials or of a bill that expired is more than the kind says.
    known = {
        "pages": "in each run.",
        "ExpiredToken": "must be a long-lived one.",
        "BillExpiration": "AWS cannot read the bill at the moment; the next run tries again.",
    }
    better = [advice for words, advice in known.items() if words in error["message"]]
    assert error["message"].endswith(better[0] if better else ErrorKind(kind).advice)
    logged = [line for line in run.logs() if line.get("aws_account_id") == aws_account_id]
    assert ("Traceback" in json.dumps(logged)) is (kind == "internal")
    recorded = harness.rows(
        "SELECT state, error_kind, error_message FROM run_items JOIN accounts ON accounts.id = account_id"
        " WHERE aws_account_id = %s",
        aws_account_id,
    )
    assert recorded == [{"state": "failed", "error_kind": kind, "error_message": error["message"]}]
    attempts = 3 if ErrorKind(kind).is_transient else 1
    assert account["attempts"] == attempts
    reasons = [line["reason"] for line in logged if line["event"] == "account_failed"]
    assert reasons == [error["message"]] * attempts
    assert stored(harness, aws_account_id) == {}


@pytest.mark.parametrize("kind", ["limit_exceeded", "throttling", "http_503", "reset", "hang"])
@pytest.mark.parametrize("times", [1, 2])
def test_a_fault_that_passes_is_no_failure(harness: Harness, kind: str, times: int) -> None:
    """An account that recovers at its second or third attempt is collected, without an alert."""
    fault = Fault(kind, times=times, seconds=30)
    hurry = {"COSTBATCH_AWS_READ_TIMEOUT_SECONDS": "0.4"} if kind == "hang" else {}
    run = fail(harness, fault, **hurry)
    assert run.status == 0
    assert run.outcomes == {BROKEN: "collected", HEALTHY: "collected"}
    assert run.account(BROKEN)["attempts"] == times + 1
    assert run.account(BROKEN)["error"] is None
    assert stored(harness, BROKEN) == billed(make_account(1), WINDOW, read_on=TODAY)
    assert run.summary["events"]["written"] == {"run.completed": 1}


def test_botocore_retries_the_limit_within_an_attempt(harness: Harness) -> None:
    """LimitExceededException is repeated by the client first: a moment's throttling is no attempt."""
    run = fail(harness, Fault("limit_exceeded", times=2), COSTBATCH_AWS_MAX_ATTEMPTS="3")
    assert run.outcomes[BROKEN] == "collected"
    assert run.account(BROKEN)["attempts"] == 1


def test_the_second_chance_waits_for_its_pause(harness: Harness) -> None:
    """The first accounts are all done before a throttled one is asked again."""
    run = fail(harness, Fault("limit_exceeded", times=1), COSTBATCH_RETRY_PAUSE_SECONDS="1")
    assert [line["aws_account_id"] for line in run.logs("account_finished")] == [HEALTHY, BROKEN]
    assert run.summary["run"]["duration_seconds"] >= 1


@pytest.mark.parametrize("currency", ["EUR", "JPY"])
def test_another_currency_is_no_fault(harness: Harness, currency: str) -> None:
    """An account that is billed otherwise today is stored as billed."""
    assert fail(harness, Fault("other_currency", currency=currency)).status == 0
    assert {unit for unit, _ in stored(harness, BROKEN).values()} == {currency}


def test_a_currency_that_is_none_is_refused(harness: Harness) -> None:
    """What is not a currency code is a malformed answer, and the sentence shows the place."""
    run = fail(harness, Fault("other_currency", currency="dollars"))
    assert run.outcomes[BROKEN] == "malformed_response"
    assert 'Unit is "dollars"' in run.account(BROKEN)["error"]["message"]


def test_unknown_record_types_and_long_names_are_kept(harness: Harness) -> None:
    """The lists of AWS are open: new record types, services of 300 characters and odd letters are stored."""
    names = [
        ("S" * 300, "Usage"),
        ("Amazon Ünïcode ☁ \\N\t".strip(), "MoonTax"),
        ("Tab\\tService", "Discounted Usage"),
    ]
    rows = tuple(bill(TODAY - ONE_DAY, "1.5", service=name, record_type=kind) for name, kind in names)
    harness.open(make_account(1, rows=rows))
    assert harness.collect().status == 0
    assert sorted((service, kind) for _, service, kind in stored(harness, BROKEN)) == sorted(names)


def test_a_name_with_control_characters_is_refused(harness: Harness) -> None:
    """A name that could break a terminal or a table is a malformed answer."""
    harness.open(
        make_account(1, rows=(bill(TODAY - ONE_DAY, "1", service="EC2\x00\x1b[2J"),)), make_account(2)
    )
    run = harness.collect()
    assert run.outcomes == {BROKEN: "malformed_response", HEALTHY: "collected"}


def test_stored_credentials_of_another_account_are_refused_before_anything_is_paid(harness: Harness) -> None:
    """STS says whose keys these are: one customer's cost is never stored under another."""
    keys = make_account(2)
    swapped = replace(
        make_account(1), access_key_id=keys.access_key_id, secret_access_key=keys.secret_access_key
    )
    harness.open(make_account(2))
    harness.register(swapped)
    run = harness.collect()
    assert run.outcomes == {BROKEN: "wrong_account", HEALTHY: "collected"}
    assert "are those of account 100000000002." in run.account(BROKEN)["error"]["message"]
    assert harness.aws.paid() == 1
    assert run.account(BROKEN)["api"]["requests"] == 0


def test_credentials_sealed_with_another_key_fail_their_account_only(harness: Harness) -> None:
    """An account that was not resealed when the key changed says what to do; the others go on."""
    harness.open(make_account(1), make_account(2))
    harness.rows(
        "UPDATE account_credentials SET key_id = 'other' FROM accounts "
        "WHERE accounts.id = account_id AND aws_account_id = %s",
        BROKEN,
    )
    run = harness.collect()
    assert run.outcomes == {BROKEN: "credentials_unreadable", HEALTHY: "collected"}
    assert "costbatch accounts set-credentials" in run.account(BROKEN)["error"]["message"]


def test_keys_that_were_rotated_in_aws_are_rejected_until_they_are_stored(harness: Harness) -> None:
    """A key that AWS forgot fails its account; set-credentials from standard input heals it."""
    harness.open(make_account(1))
    new = make_account(99)
    keys = {"access_key_id": new.access_key_id, "secret_access_key": new.secret_access_key}
    harness.aws.update_account(BROKEN, **keys)
    assert harness.collect().outcomes == {BROKEN: "credentials_rejected"}
    told = harness.run("accounts", "set-credentials", BROKEN, "--secrets-file", "-", stdin=json.dumps(keys))
    assert (told.status, new.secret_access_key in told.stdout + told.stderr) == (0, False)
    assert harness.collect().outcomes == {BROKEN: "collected"}


def test_aws_being_away_altogether_is_a_timeout_of_every_account(harness: Harness) -> None:
    """A region's outage fails every account by the same kind, and the run in total."""
    harness.open(make_account(1), make_account(2))
    harness.aws.set_outage(on=True)
    try:
        run = harness.collect()
    finally:
        harness.aws.set_outage(on=False)
    assert run.status == 1
    assert run.summary["run"]["failures"] == {"timeout": 2}
    assert harness.aws.paid() == 0


def test_the_table_groups_accounts_by_what_is_wrong(harness: Harness) -> None:
    """The summary for people has each reason once, with its accounts and the advice."""
    denied: dict[str, Any] = {"faults": (Fault("access_denied"),)}
    harness.open(make_account(1, **denied), make_account(2), make_account(3, **denied))
    printed = " ".join(harness.run("collect").stdout.split())
    assert "failed: access_denied (2 accounts) 100000000001 account-1, 100000000003 account-3" in printed
    assert printed.count(ErrorKind.ACCESS_DENIED.advice) == 1


def test_what_the_database_does_not_let_a_run_read_fails_the_accounts_and_ends(harness: Harness) -> None:
    """A statement that takes longer than statement_timeout undoes the claim; the next run collects them."""
    harness.open(make_account(1), make_account(2))
    hurried = f"{harness.database_url}&options=-cstatement_timeout%3D100ms"
    connection = psycopg2.connect(harness.database_url)
    with closing(connection), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE day_digests")
        run = harness.collect("--deadline", "30", DATABASE_URL=hurried)
    assert run.status == 1
    assert run.outcomes == {BROKEN: "internal", HEALTHY: "internal"}
    sentence = "The database refused a statement: canceling statement due to statement timeout. "
    assert run.account(BROKEN)["error"]["message"] == f"{sentence}{ErrorKind.INTERNAL.advice}"
    assert harness.aws.paid() == 0
    assert harness.rows("SELECT status, attempts FROM runs JOIN run_items ON run_id = runs.id") == [
        {"status": "failed", "attempts": 3},
        {"status": "failed", "attempts": 3},
    ]
    assert harness.collect().outcomes == {BROKEN: "collected", HEALTHY: "collected"}
