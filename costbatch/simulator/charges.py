"""The rows that are not plain usage: monthly fees, commitments, credits, refunds and tax."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from costbatch.simulator.services import COMPUTE, DATABASE, SAVINGS_PLANS, SUPPORT, TAX

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from costbatch.simulator.profiles import Profile

REFUND_DAY = 10
ON_DEMAND_FACTOR = 1.3


@dataclass(frozen=True, slots=True)
class Charge:
    """One row of cost before rounding. Net amounts are the plain ones less the account's discount."""

    service: str
    record_type: str
    unblended: float
    amortized: float
    usage: float = 0.0


def monthly_charges(day: date, *, daily_cost: float, profile: Profile) -> Iterator[Charge]:
    """Return the charges of a month's first days and, for some accounts, a later refund."""
    if profile.month_start and day.day == 1:
        yield Charge(TAX, "Tax", daily_cost * 1.9, daily_cost * 1.9)
        # A reservation's fee is paid at once; amortized, its cost is in the usage that it covers.
        yield Charge(DATABASE, "RIFee", daily_cost * 0.8, 0.0)
        if profile.committed_share:
            yield Charge(SAVINGS_PLANS, "SavingsPlanRecurringFee", daily_cost * 9.0, daily_cost * 0.05)
    if profile.month_start and day.day == 3:  # noqa: PLR2004 - the third of the month
        yield Charge(SUPPORT, "Fee", daily_cost * 2.4, daily_cost * 2.4)
    if profile.refund_share and day.day == REFUND_DAY:
        refund = -daily_cost * profile.refund_share
        yield Charge(DATABASE, "Refund", refund, refund)


def usage_charges(service: str, cost: float, *, usage: float, profile: Profile) -> Iterator[Charge]:
    """Return a service's usage of a day, split by how it is paid for."""
    covered = cost * profile.committed_share if service == COMPUTE else 0.0
    plain = cost - covered
    yield Charge(service, "Usage", plain, plain, usage)
    if covered:
        on_demand = covered * ON_DEMAND_FACTOR
        yield Charge(service, "SavingsPlanCoveredUsage", on_demand, covered, usage)
        yield Charge(service, "SavingsPlanNegation", -on_demand, 0.0)
    if profile.credit_share:
        credit = -cost * profile.credit_share
        yield Charge(service, "Credit", credit, credit)
