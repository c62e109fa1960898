"""GetAnomalies: what AWS's own detection says of the planted anomalies, once their first day is over."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_OID, uuid5

from costbatch.simulator.answers import Answer
from costbatch.simulator.cost_query import json_object
from costbatch.simulator.costs import rows_of_day
from costbatch.simulator.errors import AwsError, validation_error
from costbatch.simulator.page_tokens import page_of
from costbatch.simulator.usage_types import parts_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from costbatch.simulator.world import Account, Anomaly, CostRow

KEPT = timedelta(days=90)
MOST_PER_PAGE = 100
MOST_ROOT_CAUSES = 10
# After so many days AWS takes the new level for normal.
LONGEST_DAYS = 30
ONE_DAY = timedelta(days=1)


def get_anomalies(
    account: Account, body: bytes, today: date, *, seed: int, page_size: int, ignores_token: bool = False
) -> Answer:
    """List one page of an account's anomalies that end in the interval."""
    request = json_object(body)
    first, last = _interval(request, today)
    found = [
        _described(account, planted, end, today, seed=seed)
        for planted in account.anomalies
        for end in [_last_day(planted, today)]
        if not planted.aws_misses and planted.start <= end and first <= end <= last
    ]
    page, token = page_of(
        found,
        None if ignores_token else request.get("NextPageToken"),
        size=min(page_size, request.get("MaxResults") or MOST_PER_PAGE),
        question=f"anomalies {first} {last}",
        owner=account.account_id,
        refuse=lambda message: AwsError("InvalidNextTokenException", message),
    )
    return Answer(
        body=json.dumps({"Anomalies": page, **({"NextPageToken": token} if token else {})}).encode()
    )


def _interval(request: dict[str, Any], today: date) -> tuple[date, date]:
    interval = request.get("DateInterval")
    if not isinstance(interval, dict) or "StartDate" not in interval:
        raise validation_error("DateInterval needs a StartDate.")
    try:
        first = date.fromisoformat(interval["StartDate"])
        last = date.fromisoformat(interval.get("EndDate") or str(today))
    except (TypeError, ValueError):
        raise validation_error("DateInterval must have days of the form yyyy-MM-dd.") from None
    if first > last:
        raise validation_error("Start date should be before end date")
    if first < today - KEPT:
        raise validation_error("Anomalies are available for up to 90 days")
    return first, last


def _last_day(planted: Anomaly, today: date) -> date:
    days = planted.days or (1 if planted.kind == "spike" else LONGEST_DAYS)
    return min(planted.start + timedelta(days=days), today) - ONE_DAY


def _described(account: Account, planted: Anomaly, last: date, today: date, *, seed: int) -> dict[str, Any]:
    without = replace(account, anomalies=tuple(each for each in account.anomalies if each is not planted))
    spent: defaultdict[tuple[str, str, str], list[Decimal]] = defaultdict(lambda: [Decimal(0), Decimal(0)])
    for number in range((last - planted.start).days + 1):
        for place, owner in enumerate((account, without)):
            day = planted.start + number * ONE_DAY
            for part in _parts(owner, planted, day, today, seed=seed):
                spent[part.service, part.region, part.usage_type][place] += part.unblended
    actual, expected = (sum((pair[place] for pair in spent.values()), Decimal(0)) for place in (0, 1))
    moved = sorted(((pair[0] - pair[1], key) for key, pair in spent.items()), reverse=True)
    causes = [
        {
            "Service": service,
            "Region": region,
            "LinkedAccount": account.account_id,
            "LinkedAccountName": account.name,
            "UsageType": usage_type,
            "Impact": {"Contribution": float(amount)},
        }
        for amount, (service, region, usage_type) in moved[:MOST_ROOT_CAUSES]
        if amount > 0
    ]
    identity = f"{account.account_id} {planted.kind} {planted.start} {planted.service}"
    return {
        "AnomalyId": str(uuid5(NAMESPACE_OID, identity)),
        "AnomalyStartDate": f"{planted.start}T00:00:00Z",
        "AnomalyEndDate": f"{last}T00:00:00Z",
        "DimensionValue": planted.service or (moved[0][1][0] if moved else ""),
        "RootCauses": causes,
        "AnomalyScore": {"MaxScore": 0.9, "CurrentScore": 0.8},
        "Impact": {
            "MaxImpact": float(actual - expected),
            "TotalImpact": float(actual - expected),
            "TotalActualSpend": float(actual),
            "TotalExpectedSpend": float(expected),
        },
        "MonitorArn": f"arn:aws:ce::{account.account_id}:anomalymonitor/services",
        **({"Feedback": planted.feedback} if planted.feedback else {}),
    }


def _parts(account: Account, planted: Anomaly, day: date, today: date, *, seed: int) -> Iterator[CostRow]:
    """Yield the usage of a day, as far as the anomaly is about it."""
    for row in rows_of_day(account, day, seed=seed, read_on=today):
        if planted.service in (None, row.service) and row.record_type == "Usage":
            yield from parts_of(account, row)
