"""The request for a root cause: daily cost by region and usage type, in place of service and record type."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from costbatch.adapters.aws.cost_explorer.schema import METRICS
from costbatch.domain.accounts import Account
from costbatch.domain.causes import CauseKey, CauseQuestion
from costbatch.domain.costs import FetchedCosts

_GROUP_BY = [{"Type": "DIMENSION", "Key": "REGION"}, {"Type": "DIMENSION", "Key": "USAGE_TYPE"}]


def cause_query(account: Account, question: CauseQuestion) -> dict[str, Any]:
    """Return the request of a question: of the account alone, and of what is compared of it."""
    wanted = [_of("LINKED_ACCOUNT", [account.aws_account_id])]
    if question.services:
        wanted.append(_of("SERVICE", list(question.services)))
    if question.excluded_record_types:
        wanted.append({"Not": _of("RECORD_TYPE", sorted(question.excluded_record_types))})
    return {
        # AWS refuses a combination of one.
        "Filter": {"And": wanted} if len(wanted) > 1 else wanted[0],
        "TimePeriod": {
            "Start": question.days.start.isoformat(),
            "End": question.days.end_exclusive.isoformat(),
        },
        "Granularity": "DAILY",
        "GroupBy": _GROUP_BY,
        "Metrics": METRICS,
    }


def amounts_of(fetched: FetchedCosts, question: CauseQuestion) -> Mapping[date, Mapping[CauseKey, Decimal]]:
    """Return the amounts of the question's currency and cost basis, by day, region and usage type."""
    found: defaultdict[date, dict[CauseKey, Decimal]] = defaultdict(dict)
    for part in fetched.costs.parts:
        amounts = part.amounts(question.cost_basis)
        columns = part.usage_dates, part.keys, part.currencies, amounts
        for day, key, currency, amount in zip(*columns, strict=True):
            if currency == question.currency:
                found[day][key] = amount
    return found


def _of(dimension: str, values: list[str]) -> dict[str, Any]:
    return {"Dimensions": {"Key": dimension, "Values": values}}
