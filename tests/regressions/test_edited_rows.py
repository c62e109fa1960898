"""Rows that were edited by hand: refused if the program cannot read them, and no run ends because of them."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
import pytest
from sqlalchemy.engine import make_url

from costbatch.demo.postgres import EmbeddedPostgres
from costbatch.simulator.client import SimulatorProcess
from tests.support.databases import copied_database
from tests.support.harness import ONE_DAY, TODAY, Harness, bill, make_account, steady

YESTERDAY = TODAY - ONE_DAY
GOOD = '{"service": "S3", "expected": "1", "actual": "2"}'
CONSTRAINTS = (
    "anomalies DROP CONSTRAINT ck_anomalies_explanation_names_services",
    "anomalies DROP CONSTRAINT ck_anomalies_explanation_is_list",
    "anomalies DROP CONSTRAINT ck_anomalies_times_plausible",
    "anomalies DROP CONSTRAINT ck_anomalies_dates_ordered",
    "anomalies DROP CONSTRAINT ck_anomalies_severity_known",
    "anomalies DROP CONSTRAINT ck_anomalies_amounts_are_numbers",
    "day_digests DROP CONSTRAINT ck_day_digests_times_plausible",
    "accounts DROP CONSTRAINT ck_accounts_times_plausible",
    "account_progress DROP CONSTRAINT ck_account_progress_times_plausible",
    "daily_costs DROP CONSTRAINT ck_daily_costs_amounts_are_numbers",
)


def open_two(aws: SimulatorProcess, database_url: str) -> Harness:
    """Return a harness with two accounts that cost more yesterday than before."""
    rows = (*steady("10.00", until=YESTERDAY), bill(YESTERDAY, "90.00"))
    harness = Harness(aws, database_url)
    harness.open(make_account(1, rows=rows), make_account(2, rows=rows))
    return harness


@pytest.fixture(scope="module")
def collected(aws: SimulatorProcess, postgres: EmbeddedPostgres, template: str) -> Iterator[str]:
    """Collect both once, for every test to copy; give the database's name."""
    with copied_database(postgres, template) as url:
        run = open_two(aws, url).collect()
        assert run.summary["run"]["anomalies"]["open"] == 2
        yield str(make_url(url).database)


@pytest.fixture
def two(aws: SimulatorProcess, postgres: EmbeddedPostgres, collected: str) -> Iterator[Harness]:
    """Give a harness with two accounts, each with an open anomaly."""
    with copied_database(postgres, collected) as url:
        yield open_two(aws, url)


@contextmanager
def without_constraints(harness: Harness) -> Iterator[None]:
    """Let rows be written that no constraint would let pass."""
    for constraint in CONSTRAINTS:
        harness.rows(f"ALTER TABLE {constraint}")
    yield


def edit(harness: Harness, table: str, assignment: str) -> None:
    """Edit the rows of the first account by hand."""
    account = "id" if table == "accounts" else "account_id"
    harness.rows(
        f"UPDATE {table} SET {assignment} WHERE {account} = "
        "(SELECT id FROM accounts WHERE aws_account_id = %s)",
        harness.ids[0],
    )


@pytest.mark.parametrize(
    "explanation",
    [
        "[1,2]",
        "[{}]",
        "[[]]",
        f"[{GOOD}, null]",
        f"[[{GOOD}]]",
        '["S3"]',
        GOOD,
        "null",
        '[{"service": "S3"}]',
    ],
)
def test_an_explanation_that_cannot_be_read_is_refused(two: Harness, explanation: str) -> None:
    """The constraint knows its form, to the parts."""
    with pytest.raises(psycopg2.errors.CheckViolation, match="ck_anomalies_explanation"):
        edit(two, "anomalies", f"explanation = '{explanation}'")
    edit(two, "anomalies", f"explanation = '[{GOOD}]'")
    assert two.collect().status == 0


@pytest.mark.parametrize(
    ("table", "assignment", "constraint"),
    [
        ("anomalies", "last_date = 'infinity'", "ck_anomalies_times_plausible"),
        ("anomalies", "updated_at = '20000-01-01'", "ck_anomalies_times_plausible"),
        ("anomalies", "actual = 1e30", "ck_anomalies_amounts_are_numbers"),
        ("accounts", "created_at = '-infinity'", "ck_accounts_times_plausible"),
        ("account_progress", "covered_end_exclusive = '9999-12-31'", "ck_account_progress_times_plausible"),
        ("day_digests", "start_date = '0044-03-15 BC'", "ck_day_digests_times_plausible"),
        ("daily_costs", "unblended = 1e30", "ck_daily_costs_amounts_are_numbers"),
    ],
)
def test_days_and_amounts_that_break_python_are_refused(
    two: Harness, table: str, assignment: str, constraint: str
) -> None:
    """PostgreSQL's largest are beyond what Python holds."""
    with pytest.raises(psycopg2.errors.CheckViolation, match=constraint):
        edit(two, table, assignment)


@pytest.mark.parametrize(
    ("table", "assignment"),
    [
        ("anomalies", "actual = 9e29"),
        ("anomalies", "revision = 2147483647"),
        ("anomalies", "start_date = '2000-01-01'"),
        ("anomalies", "last_date = '2999-12-31'"),
        ("anomalies", "service = 'Nothing of ours'"),
        ("anomalies", "currency = 'XXX'"),
        ("anomalies", 'explanation = \'[{"service": "", "expected": "0E-60", "actual": "9E+99"}]\''),
        ("account_progress", "covered_start = '2000-01-01', covered_end_exclusive = '2999-12-31'"),
        ("account_progress", "failing_since = '2999-12-31', failing_kind = 'nothing of ours'"),
        ("day_digests", "start_date = '2999-12-31'"),
        ("day_digests", "days = decode(repeat('ff', 400), 'hex')"),
        ("daily_costs", "unblended = 9e29"),
        ("daily_costs", "service = 'Nothing of ours' || service"),
        ("daily_costs", "currency = 'XXX'"),
    ],
)
def test_what_the_constraints_let_pass_does_no_harm(two: Harness, table: str, assignment: str) -> None:
    """The run ends with a report of both accounts, and the other one is collected."""
    edit(two, table, assignment)
    run = two.collect()
    assert run.outcomes[two.ids[1]] == "collected"
    assert run.outcomes[two.ids[0]] in {"collected", "internal"}
    assert two.run("collect").status == 0


def test_an_anomaly_that_ends_in_the_future_is_judged_to_the_newest_day(two: Harness) -> None:
    """The next night gives it its days back, and stores no expectation of a day that has no cost yet."""
    edit(two, "anomalies", "last_date = '2999-12-31'")
    two.collect()
    assert two.value("SELECT max(last_date) FROM anomalies") == YESTERDAY
    assert two.value("SELECT max(usage_date) FROM daily_expectations") == YESTERDAY


@pytest.mark.parametrize(
    ("table", "assignment"),
    [
        ("anomalies", "explanation = '[1,2]'"),
        ("anomalies", "explanation = '[{}]'"),
        ("anomalies", "explanation = '[[]]'"),
        ("anomalies", "explanation = '7'"),
        ("anomalies", 'explanation = \'[{"service": 1, "expected": "x", "actual": "y"}]\''),
        ("anomalies", "severity = 'apocalyptic'"),
        ("anomalies", "actual = 'NaN'"),
        ("day_digests", "start_date = '9999-12-31'"),
        ("day_digests", "start_date = '20000-01-01'"),
        ("account_progress", "covered_end_exclusive = '9999-12-31'"),
        ("account_progress", "covered_start = '0001-01-01'"),
        ("daily_costs", "unblended = 'NaN'"),
    ],
)
def test_without_the_constraints_only_the_account_of_the_row_fails(
    two: Harness, table: str, assignment: str
) -> None:
    """Nothing that is stored of one account ends the run or hides what is reported of the others."""
    with without_constraints(two):
        edit(two, table, assignment)
        run = two.collect()
    assert run.outcomes[two.ids[1]] == "collected"
    assert run.outcomes[two.ids[0]] in {"collected", "internal"}
    assert two.ids[1] in {each["aws_account_id"] for each in run.summary["open_anomalies"]}
