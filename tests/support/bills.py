"""What AWS bills and what the database holds, in one form, for exact comparison."""

from collections.abc import Iterable
from datetime import date
from decimal import Context, Decimal

from costbatch.simulator.costs import rows_of_day
from costbatch.simulator.world import Account
from tests.support.harness import Harness

# (usage date, service, record type) to currency and the amounts: four bases and the usage.
Bill = dict[tuple[date, str, str], tuple[str, tuple[Decimal, ...]]]

_EXACT = Context(prec=100)


def stored(harness: Harness, aws_account_id: str) -> Bill:
    """Return every cost row that the database holds of an account."""
    rows = harness.rows(
        "SELECT c.* FROM daily_costs c JOIN accounts a ON a.id = c.account_id WHERE aws_account_id = %s",
        aws_account_id,
    )
    amounts = ("unblended", "amortized", "net_unblended", "net_amortized", "usage_quantity")
    return {
        (row["usage_date"], row["service"], row["record_type"]): (
            row["currency"],
            tuple(row[name] for name in amounts),
        )
        for row in rows
    }


def billed(account: Account, days: Iterable[date], *, read_on: date, seed: int = 1) -> Bill:
    """Return what the stand-in bills an account for the days when it is read on a day."""
    bill: Bill = {}
    for day in days:
        for row in rows_of_day(account, day, seed=seed, read_on=read_on):
            key = (row.date, row.service, row.record_type)
            amounts = (row.unblended, row.amortized, row.net_unblended, row.net_amortized, row.usage)
            _, before = bill.get(key, ("", (Decimal(0),) * len(amounts)))
            total = tuple(_EXACT.add(one, other) for one, other in zip(before, amounts, strict=True))
            bill[key] = (row.unit or account.currency_on(row.date), total)
    return bill
