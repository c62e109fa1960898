"""Bad input to `collect`: exit status 2, one clear sentence, nothing written and nothing paid."""

import pytest

from costbatch.adapters.postgres import PostgresDatabase
from costbatch.adapters.postgres.migrations import Schema
from costbatch.domain.credentials import Secret
from tests.support.harness import Finished, Harness, make_account

ONE, TWO = "100000000001", "100000000002"


@pytest.fixture
def opened(harness: Harness) -> Harness:
    """Return a harness with an active and a paused account."""
    harness.open(make_account(1), make_account(2))
    assert harness.run("accounts", "pause", TWO).status == 0
    return harness


def refused(harness: Harness, *args: str, **environ: str) -> Finished:
    """Run `collect`, check that it was refused whole, and return what it said."""
    before = harness.contents()
    run = harness.collect(*args, **environ)
    assert run.status == 2
    assert run.stdout == ""
    assert len(run.sentences) == 1
    assert run.sentences[0][-1] in ".?)"
    assert "Traceback" not in run.stderr
    assert harness.contents() == before
    assert harness.aws.requests()["total"]["requests"] == 0
    return run


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["--account", "999999999999"], "Account 999999999999 is not registered"),
        (["--account", TWO], f"Account {TWO} (account-2) is paused; resume it"),
        (["--account", ONE, "--account", TWO], f"Account {TWO} (account-2) is paused; resume it"),
        (["--account", "12345678901"], "'12345678901' is not an AWS account id: it must have 12 digits."),
        (["--date", "2025-03-12"], "2025-03-12 is not over yet"),
        (["--date", "2026-03-12"], "2026-03-12 is not over yet"),
        (["--date", "2025-02-30"], "'2025-02-30' is not a day, such as 2026-12-31."),
        (["--from", "2025-03-01", "--to", "2025-03-12"], "2025-03-12 is not over yet"),
        (
            ["--from", "2024-01-31"],
            "AWS no longer gives the cost of 2024-01-31; ask for 2024-02-01 or later.",
        ),
        (
            ["--date", "2025-03-01", "--from", "2025-02-01"],
            "--date is for one day, --from and --to are for several",
        ),
        (["--to", "2025-03-01"], "--to needs --from"),
        (["--from", "2025-03-12"], "2025-03-12 is not over yet"),
        (["--concurrency", "0"], "0 is not in the range 1<=x<=256"),
        (["--max-api-cost", "0"], "The cap must be at least $0.01"),
        (["--max-api-cost", "much"], "'much' is not an amount of US dollars"),
        (["--fail-on", "never"], "'never' is not one of 'total', 'partial'"),
        (["--run-key", ""], "must be 1 to 200 printable ASCII characters without spaces."),
        (["--run-key", "two words"], "must be 1 to 200 printable ASCII characters without spaces."),
        (["--nightly"], "No such option"),
        (["tonight"], "Got unexpected extra argument (tonight)"),
    ],
)
def test_a_wrong_option_is_refused(opened: Harness, args: list[str], sentence: str) -> None:
    """What cannot be done is said in one sentence before anything is opened, written or paid."""
    assert sentence in refused(opened, *args).sentences[0]


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("ENCRYPTION_KEY", "", "ENCRYPTION_KEY is not set; set it, or ENCRYPTION_KEY_FILE"),
        ("ENCRYPTION_KEY", "5b5b", "64 hex digits, base64, or 32 characters. It has 2 bytes of hexadecimal."),
        (
            "ENCRYPTION_KEY",
            "6c" * 32,
            "decrypts none of the 2 stored credentials: they were encrypted with key id",
        ),
        ("DATABASE_URL", "", "DATABASE_URL is not set"),
        ("DATABASE_URL", "mysql://root@db/costs", "DATABASE_URL must begin with postgresql://"),
        ("PUSHGATEWAY_URL", "gateway", "PUSHGATEWAY_URL must be a URL"),
        ("COSTBATCH_CONCURRENCY", "many", "COSTBATCH_CONCURRENCY must be a whole number from 1 to 256"),
        ("COSTBATCH_CONCURENCY", "4", "did you mean COSTBATCH_CONCURRENCY?"),
        ("COSTBATCH_SINKS", "pigeon", "COSTBATCH_SINKS must be log or none, not 'pigeon'"),
        ("COSTBATCH_RUN_KEY", "two words", "COSTBATCH_RUN_KEY must be 1 to 200 printable ASCII"),
    ],
)
def test_a_wrong_setting_is_refused(opened: Harness, name: str, value: str, sentence: str) -> None:
    """A configuration that cannot work is refused, with the name of its variable."""
    said = refused(opened, **{name: value})
    assert sentence in said.sentences[0]
    assert not value.startswith(("6c", "5b")) or value not in said.stderr


def test_every_wrong_setting_is_listed_at_once(opened: Harness) -> None:
    """Who deploys learns of all problems in one go, one sentence each."""
    wrong = {"COSTBATCH_CONCURRENCY": "0", "COSTBATCH_WINDOW_DAYS": "x", "ENCRYPTION_KEY": "short"}
    run = opened.collect(**wrong)
    assert run.status == 2
    assert sorted(sentence.split()[0] for sentence in run.sentences) == sorted(wrong)


@pytest.mark.parametrize("args", [["--account", TWO], ["--date", "2025-03-12"], ["--from", "2024-01-31"]])
def test_a_dry_run_refuses_what_a_run_would(opened: Harness, args: list[str]) -> None:
    """A plan that could not be carried out is not shown."""
    assert refused(opened, "--dry-run", *args).sentences == opened.collect(*args).sentences


@pytest.mark.parametrize("dry_run", [[], ["--dry-run"]])
def test_a_key_that_opens_nothing_is_refused_before_a_run(opened: Harness, dry_run: list[str]) -> None:
    """A wrong key is one sentence, not one failed account each."""
    said = refused(opened, *dry_run, ENCRYPTION_KEY="6c" * 32).sentences[0]
    assert "Set ENCRYPTION_KEY to that key." in said


def test_a_run_key_belongs_to_one_request(opened: Harness) -> None:
    """A key that was used for other days or accounts is refused, and its run stays as it was."""
    assert opened.collect("--run-key", "nightly").status == 0
    opened.aws.reset_requests()
    said = refused(opened, "--run-key", "nightly", "--date", "2025-03-01")
    assert (
        "The run key 'nightly' belongs to a run that was asked for other days or accounts"
        in said.sentences[0]
    )


@pytest.mark.parametrize(
    ("revision", "sentence"),
    [
        (None, "The database has no costbatch tables yet; run `costbatch db upgrade` first."),
        ("29990101_future", "which this program does not know: it was migrated by a newer costbatch."),
    ],
)
def test_a_schema_that_does_not_fit_is_refused(
    opened: Harness, empty_database_url: str, revision: str | None, sentence: str
) -> None:
    """A database that is not migrated, or newer than the program, is left alone."""
    harness = Harness(opened.aws, empty_database_url)
    if revision:
        harness.rows("CREATE TABLE alembic_version (version_num text)")
        harness.rows("INSERT INTO alembic_version VALUES (%s)", revision)
    assert sentence in refused(harness).sentences[0]


def test_the_refused_command_works_once_the_schema_is_there(opened: Harness, empty_database_url: str) -> None:
    """The advice in the sentence is right."""
    assert opened.run("db", "upgrade", DATABASE_URL=empty_database_url).status == 0
    assert opened.collect(DATABASE_URL=empty_database_url).status == 0
    schema = Schema(PostgresDatabase(Secret(empty_database_url)).connection)
    assert schema.current() == schema.needed
