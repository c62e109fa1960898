"""The dashboard of costs and anomalies: every query, as Grafana asks it, of what a night has stored."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

import pytest
import sqlalchemy as sa

from costbatch.adapters.postgres import PostgresDatabase
from costbatch.simulator.demo_world import demo_world
from tests.postgres.roles import database_as
from tests.support.documents import ROOT
from tests.support.grafana import interpolated
from tests.support.harness import Harness, Prepare
from tests.support.query import Query

DASHBOARD: dict[str, Any] = json.loads((ROOT / "helm/costbatch/files/dashboard-costs.json").read_text())
PANELS = {panel["title"]: panel for panel in DASHBOARD["panels"]}
# Some with anomalies of dollars, and one with euros.
ACCOUNTS = ("checkout", "search", "mobile-backend", "berlin-subsidiary")


@cache
def now() -> datetime:
    """Return the time of the first test: queries look at the database's clock."""
    return datetime.now(tz=UTC)


def night(harness: Harness) -> None:
    """Store a night, an answer and a planned change."""
    harness.wake_at(now())
    harness.open(*(each for each in demo_world(now().date()).accounts if each.name in ACCOUNTS))
    assert harness.collect().status == 0
    assert harness.run("discover").status == 0
    found = json.loads(harness.run("anomalies", "list", "--currency", "USD", "--output", "json").stdout)
    assert harness.run("anomalies", "acknowledge", found[0]["id"], "--author", "alice").status == 0
    today = ("--from", str(now().date()), "--to", str(now().date()), "--reason", "it's a test")
    assert harness.run("planned", "add", "--account", found[0]["aws_account_id"], *today).status == 0


@pytest.fixture
def database_url(prepare: Prepare) -> str:
    """Return the URL of a database with a night, an answer and a planned change."""
    return prepare(night).database_url


@pytest.fixture
def reader(database_url: str, query: Query) -> Iterator[PostgresDatabase]:
    """Open the database as a role that may read five tables."""
    grant = "SELECT ON accounts, daily_costs, anomalies, anomaly_answers, discovered_regions"
    with database_as("dashboard_reader", grant, database_url=database_url, query=query) as database:
        yield database


def rows(database: PostgresDatabase, sql: str, **chosen: list[str]) -> list[dict[str, Any]]:
    """Return what a query finds in the last sixty days, of every account unless some are chosen."""
    variables = {"currency": ["USD"], "account": ["all"], "basis": ["unblended"], **chosen}
    with database.connection() as connection:
        found = connection.execute(sa.text(interpolated(sql, variables, now() - timedelta(days=60), now())))
        return [dict(row) for row in found.mappings()]


def queries() -> dict[str, str]:
    """Return the query of every panel, every variable and the annotation."""
    found = {title: panel["targets"][0]["rawSql"] for title, panel in PANELS.items()}
    found |= {
        each["name"]: each["query"] for each in DASHBOARD["templating"]["list"] if each["type"] == "query"
    }
    return found | {each["name"]: each["rawQuery"] for each in DASHBOARD["annotations"]["list"]}


def test_every_query_finds_something(reader: PostgresDatabase, harness: Harness) -> None:
    """After one night nothing is empty, with every basis, one account or several; sums equal the bill."""
    for title, sql in queries().items():
        found = rows(reader, sql)
        assert found, title
        assert any(value is not None for value in found[0].values()), title
        if PANELS.get(title, {}).get("type") == "timeseries":
            assert set(found[0]) >= {"time", "metric"}, title
    for basis in ("amortized", "net_unblended", "net_amortized"):
        assert rows(reader, queries()["This month"], basis=[basis])[0]["cost"] is not None
    accounts = [row["__value"] for row in rows(reader, queries()["account"])]
    (one,) = rows(reader, queries()["Last month"], account=accounts[-1:])
    (all_,) = rows(reader, queries()["Last month"])
    (chosen,) = rows(reader, queries()["Last month"], account=accounts)
    assert one["cost"] < all_["cost"] == chosen["cost"]
    stacked = sum((row["cost"] for row in rows(reader, queries()["Daily cost by account"])), Decimal(0))
    assert stacked == sum(
        (row["cost"] for row in rows(reader, queries()["Daily cost by service"])), Decimal(0)
    )
    bill = harness.value(
        "SELECT sum(unblended) FROM daily_costs WHERE currency = 'USD' AND usage_date >= %s",
        now().date() - timedelta(days=60),
    )
    assert stacked == bill


def test_the_resources_of_a_removed_account_are_shown_only_if_it_is_chosen(
    reader: PostgresDatabase, query: Query
) -> None:
    """No run reads it any more, so that it would be among the accounts with the most for ever."""
    sql = queries()["Resources by account"]
    first, *others = [row["account id"] for row in rows(reader, sql)]
    query("UPDATE accounts SET status = 'removed' WHERE aws_account_id = :id", id=first)
    assert [row["account id"] for row in rows(reader, sql)] == others
    assert [row["account id"] for row in rows(reader, sql, account=[first])] == [first]


@pytest.mark.parametrize("basis", ["unblended", "amortized"])
def test_without_a_discount_the_net_cost_is_the_plain_one(
    reader: PostgresDatabase, query: Query, basis: str
) -> None:
    """AWS leaves net amounts out if there is no discount; no query leaves the cost of these rows out."""
    query("UPDATE daily_costs SET amortized = unblended * 3, net_unblended = NULL, net_amortized = NULL")
    of_costs = {title: sql for title, sql in queries().items() if "${basis" in sql}
    assert len(of_costs) == 6
    for title, sql in of_costs.items():
        assert rows(reader, sql, basis=[f"net_{basis}"]) == rows(reader, sql, basis=[basis]), title


def test_open_anomalies_come_with_their_answers(reader: PostgresDatabase) -> None:
    """The severest first; one was acknowledged, the others were not answered; euros are left out."""
    found = rows(reader, queries()["Open anomalies by severity"])
    assert min(row["answer"] for row in found) == "acknowledged"
    assert {row["author"] for row in found if row["answer"] == "acknowledged"} == {"alice"}
    assert "berlin-subsidiary" not in {row["account"] for row in found}
    (count,) = rows(reader, queries()["Open anomalies"])
    assert count["open"] == len(found)
    kinds = [row["kind"] for row in rows(reader, queries()["Answers and planned changes"])]
    assert sorted(kinds) == ["acknowledged", "planned"]


def test_an_answer_for_days_that_have_passed_is_not_shown(reader: PostgresDatabase, query: Query) -> None:
    """An anomaly that goes on after the last day on which it was expected is reported again."""
    sql = queries()["Open anomalies by severity"]
    query("UPDATE anomaly_answers SET kind = 'expected' WHERE kind = 'acknowledged'")
    for later, shown in ((0, "expected"), (-1, "none")):
        query(
            "UPDATE anomaly_answers w SET start_date = last_date - 9, end_date = last_date + :later"
            " FROM anomalies n WHERE n.id = w.anomaly_id",
            later=later,
        )
        assert min(row["answer"] for row in rows(reader, sql)) == shown


def test_an_account_that_is_not_collected_has_no_open_anomalies(
    reader: PostgresDatabase, query: Query
) -> None:
    """Nothing ends them any more: the metric, and the alert on it, count those of active accounts too."""
    query("UPDATE accounts SET status = 'paused'")
    assert rows(reader, queries()["Open anomalies"]) == [{"open": 0}]
    assert rows(reader, queries()["Impact of open anomalies"]) == [{"impact": None}]
    assert not rows(reader, queries()["Open anomalies by severity"])


def test_a_name_with_a_quote_is_a_name(reader: PostgresDatabase) -> None:
    """What is chosen is quoted as Grafana quotes it; it is never part of a query."""
    for title, sql in queries().items():
        found = rows(reader, sql, account=["'; DROP TABLE accounts; --"], currency=["O'R"])
        assert not found or set(found[0].values()) <= {None, 0} or title in {"currency", "account"}, title


def test_the_panels_and_variables_are_those_that_the_queries_name() -> None:
    """A query that names no currency would add dollars to yen."""
    names = {each["name"] for each in DASHBOARD["templating"]["list"]}
    assert names == {"datasource", "currency", "account", "basis"}
    for title, panel in PANELS.items():
        (target,) = panel["targets"]
        assert panel["datasource"] == target["datasource"], title
        assert "${account:sqlstring}" in target["rawSql"], title
        is_of_money = title != "Resources by account"
        assert ("${currency:sqlstring}" in target["rawSql"]) == is_of_money, title
