"""What the report of a run asks of the database."""

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

from sqlalchemy import event

from costbatch.adapters.postgres import PostgresDatabase
from costbatch.application.collect.report import Detail, full_report
from costbatch.domain.collect_report import CollectReport
from costbatch.domain.detection import Rule
from costbatch.domain.runs import Run
from tests.support.database_rows import (
    NOW,
    TODAY,
    add_account,
    anomaly,
    cost_row,
    open_run,
    prepare_months,
    store,
)

YESTERDAY = TODAY - timedelta(days=1)
SERVICES = (None, "EC2", "S3")


def add_open_anomalies(database: PostgresDatabase, number: int) -> None:
    """Register an account with an open anomaly of its total and of each of two services."""
    account = add_account(database, number)
    store(database, account, [cost_row(YESTERDAY, f"{number}", service="EC2")])
    with database.transaction() as tx:
        for service in SERVICES:
            found = anomaly(account, id=uuid4(), service=service, start_date=YESTERDAY, last_date=YESTERDAY)
            tx.anomalies.save(found, run_id=None, now=NOW)


def report_of(database: PostgresDatabase, run: Run) -> tuple[CollectReport, int]:
    """Return the report for a program, and how many statements it took."""
    statements: list[str] = []

    def remember(_: object, __: object, statement: str, *___: Any) -> None:
        statements.append(statement)

    event.listen(database._engine, "before_cursor_execute", remember)
    try:
        with database.transaction() as tx:
            report = full_report(
                tx, run, Detail(every_account=True), rule=Rule(), rule_of=lambda _: Rule(), now=NOW
            )
    finally:
        event.remove(database._engine, "before_cursor_execute", remember)
    return report, len(statements)


def test_open_anomalies_are_read_for_many_accounts_at_once(database: PostgresDatabase) -> None:
    """A program is told of all of them, before the metrics are pushed: thousands must not take a minute."""
    prepare_months(database)
    add_open_anomalies(database, 1)
    run = open_run(database)
    _, few = report_of(database, run)
    for number in range(2, 21):
        add_open_anomalies(database, number)
    report, many = report_of(database, run)
    assert many <= few + 2
    costs = {(each.aws_account_id, each.anomaly.service): each.trend[-1] for each in report.open_anomalies}
    assert len(costs) == 60
    assert {each.usage_date for each in costs.values()} == {YESTERDAY}
    for (account, service), each in costs.items():
        assert each.actual == (Decimal(0) if service == "S3" else int(account[-2:]))
