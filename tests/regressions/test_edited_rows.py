"""Rows that were edited by hand: refused if the program cannot read them, and no run ends because of them."""

from dataclasses import dataclass

import psycopg2
import pytest

from tests.support.harness import ONE_DAY, TODAY, Finished, Harness, Prepare, bill, make_account, steady

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


# The table, and what is assigned to the rows of an account in it. What the constraints let pass:
READABLE = [
    ("anomalies", "actual = 9e29"),
    ("anomalies", "revision = 2147483647"),
    ("anomalies", "start_date = '2000-01-01'"),
    ("anomalies", "last_date = '2999-12-31'"),
    ("anomalies", "service = 'Nothing of ours'"),
    ("anomalies", "currency = 'XXX'"),
    ("anomalies", f"explanation = '[{GOOD}]'"),
    ("anomalies", 'explanation = \'[{"service": "", "expected": "0E-60", "actual": "9E+99"}]\''),
    ("account_progress", "covered_start = '2000-01-01', covered_end_exclusive = '2999-12-31'"),
    ("account_progress", "failing_since = '2999-12-31', failing_kind = 'nothing of ours'"),
    ("day_digests", "start_date = '2999-12-31'"),
    ("day_digests", "days = decode(repeat('ff', 400), 'hex')"),
    ("daily_costs", "unblended = 9e29"),
    ("daily_costs", "service = 'Nothing of ours' || service"),
    ("daily_costs", "currency = 'XXX'"),
]
# What they do not:
UNREADABLE = [
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
]


@dataclass(frozen=True)
class Edited:
    """A run after edits, of which the number is that of the account. The last account was not edited."""

    harness: Harness
    run: Finished

    def outcome(self, number: int) -> str:
        """Return how an account ended."""
        return self.run.outcomes[self.harness.ids[number]]


def collected(harness: Harness) -> None:
    """Collect an account for each edit, and one more; all cost more yesterday than before."""
    rows = (*steady("10.00", until=YESTERDAY, days=40), bill(YESTERDAY, "90.00"))
    harness.open(*(make_account(n, rows=rows) for n in range(1, len(READABLE) + 2)))
    assert harness.collect().summary["run"]["anomalies"]["open"] == len(harness.ids)


@pytest.fixture(scope="module")
def constrained(prepare_shared: Prepare) -> Harness:
    """Return a harness whose accounts have an open anomaly each, for edits that are refused."""
    return prepare_shared(collected)


@pytest.fixture(scope="module")
def edited(prepare_shared: Prepare) -> Edited:
    """Return the run after the edits that the constraints let pass, each of an account of its own."""
    harness = prepare_shared(collected)
    for number, change in enumerate(READABLE):
        edit(harness, number, *change)
    return Edited(harness, harness.collect())


@pytest.fixture(scope="module")
def unreadable(prepare_shared: Prepare) -> Edited:
    """Return the run after the edits that no constraint would let pass."""
    harness = prepare_shared(collected)
    for constraint in CONSTRAINTS:
        harness.rows(f"ALTER TABLE {constraint}")
    for number, change in enumerate(UNREADABLE):
        edit(harness, number, *change)
    return Edited(harness, harness.collect())


def edit(harness: Harness, number: int, table: str, assignment: str) -> None:
    """Edit the rows of an account by hand."""
    account = "id" if table == "accounts" else "account_id"
    harness.rows(
        f"UPDATE {table} SET {assignment} WHERE {account} = "
        "(SELECT id FROM accounts WHERE aws_account_id = %s)",
        harness.ids[number],
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
def test_an_explanation_that_cannot_be_read_is_refused(constrained: Harness, explanation: str) -> None:
    """The constraint knows its form, to the parts."""
    with pytest.raises(psycopg2.errors.CheckViolation, match="ck_anomalies_explanation"):
        edit(constrained, 0, "anomalies", f"explanation = '{explanation}'")


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
    constrained: Harness, table: str, assignment: str, constraint: str
) -> None:
    """PostgreSQL's largest are beyond what Python holds."""
    with pytest.raises(psycopg2.errors.CheckViolation, match=constraint):
        edit(constrained, 0, table, assignment)


@pytest.mark.parametrize("number", range(len(READABLE)), ids=[" ".join(each) for each in READABLE])
def test_what_the_constraints_let_pass_does_no_harm(edited: Edited, number: int) -> None:
    """The run ends with a report of all accounts, and those that were not edited are collected."""
    assert edited.outcome(number) in {"collected", "internal"}
    assert edited.outcome(-1) == "collected"


def test_the_table_shows_what_was_edited(edited: Edited) -> None:
    """The report for people is printed, too, whatever the rows hold."""
    finished = edited.harness.run("collect")
    assert finished.status == 0
    assert edited.harness.ids[-1] in finished.stdout


def test_an_anomaly_that_ends_in_the_future_is_judged_to_the_newest_day(edited: Edited) -> None:
    """The next night gives it its days back, and stores no expectation of a day that has no cost yet."""
    number = READABLE.index(("anomalies", "last_date = '2999-12-31'"))
    for day, table in (("last_date", "anomalies"), ("usage_date", "daily_expectations")):
        newest = (
            f"SELECT max({day}) FROM {table} "
            "WHERE account_id = (SELECT id FROM accounts WHERE aws_account_id = %s)"
        )
        assert edited.harness.value(newest, edited.harness.ids[number]) == YESTERDAY


@pytest.mark.parametrize("number", range(len(UNREADABLE)), ids=[" ".join(each) for each in UNREADABLE])
def test_without_the_constraints_only_the_account_of_the_row_fails(unreadable: Edited, number: int) -> None:
    """Nothing that is stored of one account ends the run or hides what is reported of the others."""
    assert unreadable.outcome(number) in {"collected", "internal"}
    assert unreadable.outcome(-1) == "collected"
    listed = {each["aws_account_id"] for each in unreadable.run.summary["open_anomalies"]}
    assert unreadable.harness.ids[-1] in listed
