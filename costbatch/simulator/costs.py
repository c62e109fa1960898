"""The cost of an account on a day: a pure function of seed, account, service, usage day and reading day."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from costbatch.simulator.arrival import arrived_share, correction
from costbatch.simulator.charges import Charge, monthly_charges, usage_charges
from costbatch.simulator.noise import draws
from costbatch.simulator.profiles import PROFILES, Profile
from costbatch.simulator.services import TRACE_COST, Service, services_of
from costbatch.simulator.world import Account, Anomaly, CostRow

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

SATURDAY = 5
DAYS_OF_YEAR = 365.25
LARGEST_RUNAWAY = 60.0
LAST_GROWTH_DAY = 730


@dataclass(frozen=True, slots=True)
class _Reading:
    """One day of one account, as it is read on one day."""

    account: Account
    profile: Profile
    identity: str
    day: date
    read_on: date
    arrived: float
    level: float


def rows_of_day(account: Account, day: date, *, seed: int, read_on: date) -> list[CostRow]:
    """List the cost rows that AWS knows for a usage day when it is read on a later one."""
    if account.rows is not None:
        return [row for row in account.rows if row.date == day and day <= read_on]
    if day < account.start:
        return []
    profile = PROFILES[account.profile]
    identity = f"{seed}|{account.costs_like or account.account_id}"
    arrived = arrived_share(identity, day, read_on, profile=profile)
    if arrived == 0.0:
        return []
    level = account.daily_cost * _level(account, profile, day)
    reading = _Reading(account, profile, identity, day, read_on, arrived, level)
    return [_row(reading, charge) for charge in _charges(reading)]


def anomaly_factor(anomalies: tuple[Anomaly, ...], service: str, day: date) -> float:
    """Multiply what the planted anomalies do to a service on a day."""
    factor = 1.0
    for anomaly in anomalies:
        if anomaly.service in (None, service):
            factor *= _factor(anomaly, (day - anomaly.start).days)
    return factor


def _factor(anomaly: Anomaly, elapsed_days: int) -> float:
    days = 1 if anomaly.kind == "spike" and anomaly.days is None else anomaly.days
    if elapsed_days < 0 or (days is not None and elapsed_days >= days):
        return 1.0
    if anomaly.kind == "runaway":
        return min(anomaly.factor ** (elapsed_days + 1), LARGEST_RUNAWAY)
    return anomaly.factor


def _level(account: Account, profile: Profile, day: date) -> float:
    age = (day - account.start).days
    # Growth is limited, so that an early start does not make today's cost absurd.
    growth = (1.0 + profile.growth_per_day) ** min(age, LAST_GROWTH_DAY)
    season = 1.0 + profile.season * math.sin(2.0 * math.pi * day.timetuple().tm_yday / DAYS_OF_YEAR)
    weekend = profile.weekend if day.weekday() >= SATURDAY else 1.0
    ramp = min(1.0, (age + 1) / profile.ramp_days) if profile.ramp_days else 1.0
    return growth * season * weekend * ramp


def _charges(reading: _Reading) -> Iterator[Charge]:
    account, profile = reading.account, reading.profile
    services = services_of(
        reading.identity, account.services, start=account.start, uniform=not profile.settles
    )
    for service in services:
        yield from _service_charges(reading, service)
    for charge in monthly_charges(reading.day, daily_cost=account.daily_cost, profile=profile):
        if anomaly_factor(account.anomalies, charge.service, reading.day):
            yield charge


def _service_charges(reading: _Reading, service: Service) -> Iterator[Charge]:
    day, profile = reading.day, reading.profile
    if day < service.first_day:
        return
    present, wave, rate, *_ = draws(f"{reading.identity}|{service.name}|{day}")
    if present >= service.presence * profile.presence:
        return
    factor = anomaly_factor(reading.account.anomalies, service.name, day)
    if profile.settles:
        factor *= correction(reading.identity, service.name, day=day, read_on=reading.read_on)
    noise = 1.0 + profile.noise * (2.0 * wave - 1.0)
    cost = reading.level * service.weight * noise * factor * reading.arrived
    if service.trace:
        cost = TRACE_COST * (0.2 + 2.0 * rate) * factor
    if cost:
        usage = cost * service.usage_per_cost * (0.98 + 0.04 * rate)
        yield from usage_charges(service.name, cost, usage=usage, profile=profile)


def _row(reading: _Reading, charge: Charge) -> CostRow:
    unblended = _amount(charge.unblended)
    amortized = unblended if charge.amortized == charge.unblended else _amount(charge.amortized)
    net_unblended, net_amortized = unblended, amortized
    discount = reading.profile.net_discount
    if discount and charge.unblended > 0:
        net_unblended = _amount(charge.unblended * (1.0 - discount))
        net_amortized = _amount(charge.amortized * (1.0 - discount))
    return CostRow(
        date=reading.day,
        service=charge.service,
        record_type=charge.record_type,
        unblended=unblended,
        amortized=amortized,
        net_unblended=net_unblended,
        net_amortized=net_amortized,
        usage=_amount(charge.usage),
    )


def _amount(value: float) -> Decimal:
    # The generator may compute in floats: the text that it prints here is the exact amount from then on.
    return Decimal(f"{value:.10f}")
