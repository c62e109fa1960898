"""`costbatch doctor` as a whole, on a real PostgreSQL, the local AWS and a real Pushgateway."""

import time
from datetime import datetime, timedelta

import pytest

from costbatch.application.doctor import checks
from costbatch.simulator.world import Fault
from tests.support.doctor import examine
from tests.support.harness import KEY, Harness, make_account, wait_for

PLANTED = ("planted-db-password", "planted-gateway-password", KEY)


def test_a_healthy_installation_is_0_and_every_check_ok(
    harness: Harness, now: datetime, gateway_url: str
) -> None:
    """After a night of collecting."""
    harness.open(make_account(1), make_account(2))
    harness.collect()
    before, paid = harness.contents(), harness.aws.paid()
    found = examine(harness, PUSHGATEWAY_URL=gateway_url)
    assert (found.finished.status, found.status, len(found.names("ok"))) == (0, "ok", 16)
    assert "decrypts all 2 stored credentials" in found["encryption key"]["found"]
    assert harness.contents() == before
    assert harness.aws.paid() == paid


def test_the_document_has_this_shape(harness: Harness, now: datetime) -> None:
    """For programs: the same keys in every check."""
    document = examine(harness).finished.summary
    assert set(document) == {"checks", "status"}
    for check in document["checks"]:
        assert list(check) == ["name", "status", "found", "advice", "seconds"]
        assert check["status"] in {"ok", "warning", "failure", "skipped"}
        assert isinstance(check["seconds"], float)
        assert (check["advice"] is None) is (check["status"] in {"ok", "skipped"})


def test_a_fresh_installation_has_warnings_and_is_0(harness: Harness, now: datetime) -> None:
    """What nobody did yet is no failure: `helm test` passes right after the installation."""
    found = examine(harness)
    assert (found.finished.status, found.status) == (0, "warning")
    assert found.names("warning") == ["accounts", "last run", "Pushgateway"]


def test_the_table_is_readable_without_colours(harness: Harness, now: datetime) -> None:
    """A word for each mark, the advice behind an arrow, and a last line for all."""
    harness.open(make_account(1))
    finished = harness.run("doctor")
    lines = finished.stdout.splitlines()
    assert lines[0] == "ok       configuration     All settings are valid."
    assert any(
        line.startswith("warning  last run          There has been no run over all accounts yet.")
        for line in lines
    )
    assert any(line.strip().startswith("→ Wait for the first night") for line in lines)
    assert lines[-1] == "OK, with warnings: 16 checks, 0 failures, 2 warnings."
    assert "\x1b" not in finished.stdout
    assert all(line == line.rstrip() for line in lines)


def test_a_lost_database_is_1_and_names_what_was_skipped(
    harness: Harness, closed_port: int, gateway_url: str
) -> None:
    """What does not lie in the database is looked at all the same."""
    url = f"postgresql://costbatch:{PLANTED[0]}@127.0.0.1:{closed_port}/costs"
    found = examine(harness, DATABASE_URL=url, PUSHGATEWAY_URL=gateway_url)
    assert (found.finished.status, found.status) == (1, "failure")
    assert found.names("failure") == ["database"]
    assert found.names("ok") == ["configuration", "Pushgateway"]
    assert found["schema"]["found"] == "Skipped: depends on the failed database check."


def test_wrong_settings_are_2_with_every_problem(harness: Harness) -> None:
    """And nothing else is looked at."""
    found = examine(harness, COSTBATCH_CONCURRENCY="many", COSTBATCH_CONCURENCY="1")
    assert found.finished.status == 2
    assert len(found["configuration"]["found"].splitlines()) == 2
    assert (found.names("failure"), found.names("ok")) == (["configuration"], [])


def test_missing_settings_are_2_and_the_rest_is_looked_at(harness: Harness, now: datetime) -> None:
    """Without a key the database still tells how it is."""
    found = examine(harness, ENCRYPTION_KEY="")
    assert found.finished.status == 2
    assert found["configuration"]["found"].startswith("ENCRYPTION_KEY is not set")
    assert (found.names("failure"), found.names("skipped")) == (
        ["configuration"],
        ["encryption key", "discovery access"],
    )


def test_an_empty_database_is_2(harness: Harness, empty_database_url: str) -> None:
    """Trying again cannot help; the command that does is named."""
    found = examine(harness, DATABASE_URL=empty_database_url)
    assert found.finished.status == 2
    assert found["schema"]["advice"] == "Run `costbatch db upgrade`."
    assert found["privileges"]["found"] == "Skipped: depends on the failed schema check."


def test_a_key_that_opens_nothing_is_2(harness: Harness, now: datetime) -> None:
    """As for `collect`."""
    harness.open(make_account(1))
    found = examine(harness, ENCRYPTION_KEY="6c" * 32)
    assert found.finished.status == 2
    assert found["encryption key"]["status"] == "failure"
    assert harness.collect(ENCRYPTION_KEY="6c" * 32).status == 2


def test_a_pushgateway_or_an_aws_that_is_gone_is_1(harness: Harness, now: datetime, closed_port: int) -> None:
    """Neither is the configuration's fault."""
    harness.open(make_account(1))
    gone = f"http://127.0.0.1:{closed_port}"
    found = examine(harness, PUSHGATEWAY_URL=gone, AWS_ENDPOINT_URL=gone)
    assert found.finished.status == 1
    assert found.names("failure") == ["AWS endpoints", "Pushgateway"]
    assert found.names("skipped") == ["pod identity", "discovery access"]


def test_an_outage_of_aws_is_a_warning(harness: Harness, now: datetime) -> None:
    """The way there is free."""
    harness.open(make_account(1))
    harness.aws.set_outage(on=True)
    try:
        found = examine(harness)
    finally:
        harness.aws.set_outage(on=False)
    assert found["AWS endpoints"]["status"] == "warning"
    assert "HTTP status 503" in found["AWS endpoints"]["found"]


def test_a_clock_that_is_off_is_a_warning(harness: Harness) -> None:
    """The harness's own time is years ago."""
    found = examine(harness)
    assert found["clock"]["status"] == "warning"
    assert "ahead of this machine's" in found["clock"]["found"]


def test_failing_accounts_and_undelivered_events_are_warnings(harness: Harness, now: datetime) -> None:
    """Days later each is told with why."""
    harness.open(make_account(1), make_account(2, faults=(Fault("not_enabled"),)))
    harness.collect()
    harness.rows("UPDATE deliveries SET state = 'pending', delivered_at = NULL")
    harness.rows("UPDATE accounts SET created_at = created_at - interval '9 days'")
    harness.wake_at(now + timedelta(days=1, hours=1))
    found = examine(harness)
    assert found.finished.status == 0
    assert found["last run"]["found"].endswith("it is partial (1 collected, 1 failed).")
    assert (
        f"{harness.ids[1]} (account-2): never collected; cost_explorer_not_enabled since "
        in (found["accounts"]["found"])
    )
    assert found["events"]["status"] == "warning"


def test_paid_makes_exactly_one_request_and_says_its_price(harness: Harness, now: datetime) -> None:
    """For the first active account, or for the one that is named."""
    harness.open(make_account(1), make_account(2))
    found = examine(harness, "--paid")
    assert found.finished.status == 0
    assert found["Cost Explorer"]["found"].startswith(
        f"{harness.ids[0]} (account-1): Cost Explorer returned "
    )
    assert "This request cost $0.01." in found["Cost Explorer"]["found"]
    assert (harness.aws.paid(harness.ids[0]), harness.aws.paid()) == (1, 1)
    assert examine(harness, "--paid", "--account", harness.ids[1]).finished.status == 0
    assert (harness.aws.paid(harness.ids[1]), harness.aws.paid()) == (1, 2)


def test_a_paid_request_that_is_refused_is_1(harness: Harness, now: datetime) -> None:
    """With the kind's advice."""
    harness.open(make_account(1, faults=(Fault("not_enabled"),)))
    found = examine(harness, "--paid")
    assert found.finished.status == 1
    assert "open it once in the AWS billing console" in found["Cost Explorer"]["advice"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--account", "1" * 12], "--paid"),
        (["--paid", "--account", "12"], "12 digits"),
        (["--paid", "--account", ""], "12 digits"),
        (["--timeout", "0"], "0.1"),
    ],
)
def test_wrong_usage_is_2(harness: Harness, options: list[str], words: str) -> None:
    """In one sentence, with nothing paid or printed."""
    finished = harness.run("doctor", *options)
    assert (finished.status, finished.stdout) == (2, "")
    assert words in finished.stderr


def test_an_unknown_account_to_pay_for_is_2(harness: Harness, now: datetime) -> None:
    """The check says so, and nothing is paid."""
    harness.open(make_account(1))
    found = examine(harness, "--paid", "--account", "404404404404")
    assert found.finished.status == 2
    assert "404404404404 is not registered" in found["Cost Explorer"]["found"]
    assert harness.aws.paid() == 0


def test_a_database_that_never_answers_ends_in_time(harness: Harness, silent_port: int) -> None:
    """A real process ends too, though a thread of it still waits."""
    url = f"postgresql://costbatch:{PLANTED[0]}@127.0.0.1:{silent_port}/costs"
    began = time.monotonic()
    finished = wait_for(harness.start("doctor", "--timeout", "0.5", DATABASE_URL=url))
    assert time.monotonic() - began < 20
    assert finished.status == 1
    assert "Timed out after 0.5 seconds." in finished.stdout
    assert "Traceback" not in finished.stdout + finished.stderr


def test_an_unexpected_error_shows_no_traceback(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is that check's failure, and the others are made."""

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(checks, "check_newest_run", fail)
    finished = harness.run("doctor")
    assert finished.status == 1
    assert "crashed with an unexpected error (ZeroDivisionError)" in finished.stdout
    assert "Traceback" not in finished.stdout + finished.stderr
    debug = harness.run("doctor", COSTBATCH_LOG_LEVEL="debug")
    assert "Traceback" in debug.stderr


@pytest.mark.parametrize("output", ["table", "json"])
@pytest.mark.parametrize("level", ["info", "debug"])
def test_planted_secrets_do_not_show(
    harness: Harness, now: datetime, closed_port: int, output: str, level: str
) -> None:
    """Not in what is printed nor in the log, well or not."""
    account = make_account(1)
    harness.open(account)
    urls = {
        "DATABASE_URL": f"{harness.database_url}&password={PLANTED[0]}",
        "PUSHGATEWAY_URL": f"http://me:{PLANTED[1]}@127.0.0.1:{closed_port}",
        "COSTBATCH_LOG_LEVEL": level,
    }
    broken = {"DATABASE_URL": f"postgresql://me:{PLANTED[0]}@127.0.0.1:{closed_port}/costs"}
    unreadable = {"COSTBATCH_CONCURRENCY": "many"}
    for environ in (urls, urls | broken, urls | unreadable):
        finished = harness.run("doctor", "--paid", "--output", output, **environ)
        shown = finished.stdout + finished.stderr
        assert shown
        for secret in (*PLANTED, account.access_key_id, account.secret_access_key):
            assert secret not in shown
        assert "Traceback" not in shown


def test_the_help_has_an_example_and_the_price(harness: Harness) -> None:
    """And the exit statuses."""
    text = harness.run("doctor", "--help").stdout
    assert "costbatch doctor --paid --output json" in text
    assert "$0.01" in text
    assert "Exits with 0 if no check failed" in text
    assert "\\b" not in text
