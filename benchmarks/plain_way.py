"""The plain way that costbatch is compared with: one boto3 client per account, one upsert per account.

`python -m benchmarks.plain_way DATABASE_URL ACCOUNTS.json`; the file lists account ids with their keys.
With `-` for the database it only fetches, which programs leave out that only store.
Written as one would write it first: nothing shared, judged or recorded, one account after the other.
"""

import json
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

METRICS = ["UnblendedCost", "AmortizedCost", "NetUnblendedCost", "NetAmortizedCost", "UsageQuantity"]
KEY = ["account_id", "usage_date", "service", "record_type"]
AMOUNTS = ["unblended", "amortized", "net_unblended", "net_amortized", "usage_quantity"]
NO_DATABASE = "-"

costs = sa.Table(
    "plain_costs",
    sa.MetaData(),
    sa.Column("account_id", sa.Text, primary_key=True),
    sa.Column("usage_date", sa.Date, primary_key=True),
    sa.Column("service", sa.Text, primary_key=True),
    sa.Column("record_type", sa.Text, primary_key=True),
    sa.Column("currency", sa.Text, nullable=False),
    *(sa.Column(name, sa.Numeric) for name in AMOUNTS),
    sa.Column("estimated", sa.Boolean, nullable=False),
)


def upsert() -> sa.Executable:
    """Return the statement that inserts a row or overwrites what is there."""
    statement = insert(costs)
    changed = {name: statement.excluded[name] for name in ["currency", *AMOUNTS, "estimated"]}
    return statement.on_conflict_do_update(index_elements=KEY, set_=changed)


def request_of(account_id: str, start: str, end_exclusive: str) -> dict[str, Any]:
    """Return the question that costbatch asks too."""
    return {
        "Filter": {"Dimensions": {"Key": "LINKED_ACCOUNT", "Values": [account_id]}},
        "TimePeriod": {"Start": start, "End": end_exclusive},
        "Granularity": "DAILY",
        "GroupBy": [{"Type": "DIMENSION", "Key": key} for key in ("SERVICE", "RECORD_TYPE")],
        "Metrics": METRICS,
    }


def client_of(account: dict[str, str]) -> Any:  # noqa: ANN401 - boto3 makes the client's methods at run time
    """Return a client with an account's keys."""
    session = boto3.Session(
        aws_access_key_id=account["access_key_id"],
        aws_secret_access_key=account["secret_access_key"],
        region_name="us-east-1",
    )
    return session.client("ce")


def rows_of(account_id: str, answer: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Return the rows of one page."""
    for day in answer["ResultsByTime"]:
        for group in day["Groups"]:
            metrics = group["Metrics"]
            amounts = [Decimal(metrics[name]["Amount"]) for name in METRICS]
            yield {
                "account_id": account_id,
                "usage_date": day["TimePeriod"]["Start"],
                "service": group["Keys"][0],
                "record_type": group["Keys"][1],
                "currency": metrics["UnblendedCost"]["Unit"],
                **dict(zip(AMOUNTS, amounts, strict=True)),
                "estimated": day["Estimated"],
            }


def fetch(account: dict[str, str], start: str, end_exclusive: str) -> list[dict[str, Any]]:
    """Return the rows of one account, page after page."""
    client = client_of(account)
    request = request_of(account["account_id"], start, end_exclusive)
    rows: list[dict[str, Any]] = []
    while True:
        answer = client.get_cost_and_usage(**request)
        rows.extend(rows_of(account["account_id"], answer))
        if "NextPageToken" not in answer:
            return rows
        request["NextPageToken"] = answer["NextPageToken"]


def main(url: str, path: Path) -> None:
    """Collect every account."""
    plan = json.loads(path.read_text())
    engine = None if url == NO_DATABASE else sa.create_engine(url)
    if engine is not None:
        costs.metadata.create_all(engine)
    for account in plan["accounts"]:
        rows = fetch(account, plan["start"], plan["end_exclusive"])
        if engine is not None:
            with engine.begin() as connection:
                connection.execute(upsert(), rows)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
