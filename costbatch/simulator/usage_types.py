"""The regions and usage types of cost rows: a row in parts that add up to it exactly."""

from __future__ import annotations

from dataclasses import replace
from decimal import Context, Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from costbatch.simulator.costs import anomaly_factor
from costbatch.simulator.services import COMPUTE, DATABASE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from costbatch.simulator.world import Account, Anomaly, CostRow

NO_REGION, NO_USAGE_TYPE = "NoRegion", "NoUsageType"
# What is charged for no usage of a region.
_WITHOUT_USAGE = frozenset({"Tax", "Fee", "RIFee", "Refund", "SavingsPlanRecurringFee"})
_REGION_SHARES = (Decimal("0.7"), Decimal("0.3"))
_USAGE_SHARES = {
    COMPUTE: {"BoxUsage:m5.xlarge": "0.5", "BoxUsage:c5.large": "0.3", "DataTransfer-Out-Bytes": "0.2"},
    DATABASE: {"InstanceUsage:db.r5.large": "0.8", "RDS:GP2-Storage": "0.2"},
}
_OTHER_SHARES = {"Requests": "0.6", "TimedStorage-ByteHrs": "0.4"}
_BURSTS = {COMPUTE: "BoxUsage:p4d.24xlarge", DATABASE: "InstanceUsage:db.r5.24xlarge"}
_OTHER_BURST = "Requests-Tier1"
# Parts add up to their row in every digit.
_EXACT = Context(prec=100)
_AMOUNTS = ("unblended", "amortized", "net_unblended", "net_amortized", "usage")


def parts_of(account: Account, row: CostRow) -> Iterator[CostRow]:
    """Yield a row by region and usage type; one that names them is a part already."""
    if row.region or row.usage_type:
        yield replace(row, region=row.region or NO_REGION, usage_type=row.usage_type or NO_USAGE_TYPE)
        return
    if row.record_type in _WITHOUT_USAGE:
        yield replace(row, region=NO_REGION, usage_type=NO_USAGE_TYPE)
        return
    rest = row
    for region, usage_type, share in _shares(account, row):
        amounts: dict[str, Any] = {name: _EXACT.multiply(getattr(row, name), share) for name in _AMOUNTS}
        part = replace(row, region=region, usage_type=usage_type, **amounts)
        left: dict[str, Any] = {
            name: _EXACT.subtract(getattr(rest, name), getattr(part, name)) for name in _AMOUNTS
        }
        rest = replace(rest, **left)
        yield part
    # What the anomaly adds, or else what the shares leave: nothing.
    if any(getattr(rest, name) for name in _AMOUNTS):
        region, usage_type = _burst(account, row)
        yield replace(rest, region=region, usage_type=usage_type)


def _shares(account: Account, row: CostRow) -> Iterator[tuple[str, str, Decimal]]:
    """Yield the shares of the ordinary part: without what anomalies multiply."""
    is_given = account.rows is not None
    factor = 1.0 if is_given else anomaly_factor(account.anomalies, row.service, row.date)
    ordinary = Decimal(1) if factor <= 1 else Decimal(f"{1 / factor:.6f}")
    regions = account.regions[: 1 if is_given else len(_REGION_SHARES)]
    shares = _REGION_SHARES if len(regions) > 1 else (Decimal(1),)
    for region, of_region in zip(regions, shares, strict=True):
        for usage_type, share in _USAGE_SHARES.get(row.service, _OTHER_SHARES).items():
            yield region, _prefix(region) + usage_type, of_region * Decimal(share) * ordinary


def _burst(account: Account, row: CostRow) -> tuple[str, str]:
    """Return the region and usage type of what an anomaly adds."""
    anomaly = next(each for each in account.anomalies if _is_of(each, row))
    region = anomaly.region or account.regions[0]
    return region, anomaly.usage_type or _prefix(region) + _BURSTS.get(row.service, _OTHER_BURST)


def _is_of(anomaly: Anomaly, row: CostRow) -> bool:
    return anomaly_factor((anomaly,), row.service, row.date) > 1


@lru_cache(maxsize=64)
def _prefix(region: str) -> str:
    """Return how usage types of a region begin: "EUC1-" in eu-central-1, nothing in us-east-1."""
    if region == "us-east-1":
        return ""
    continent, place, number = region.rsplit("-", 2)
    return f"{continent.upper().replace('-', '')}{place[0].upper()}{number}-"
