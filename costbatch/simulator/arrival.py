"""How a day's cost changes: incomplete at first, then restated, then corrected until the month is closed."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

from costbatch.simulator.noise import draws

if TYPE_CHECKING:
    from costbatch.simulator.profiles import Profile

CLOSING_DAY = 7
SETTLED_AGE = 3
CORRECTED_SHARE = 0.08
LARGEST_CORRECTION = 0.004
_EVEN = 0.5


def month_closed_on(day: date) -> date:
    """Return the date from which the month of a usage day is final."""
    next_month = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
    return next_month.replace(day=CLOSING_DAY)


def is_estimated(day: date, read_on: date) -> bool:
    """Whether AWS may still change a day."""
    return read_on < month_closed_on(day)


def arrived_share(identity: str, day: date, read_on: date, *, profile: Profile) -> float:
    """Return the share of a day's cost that is known when it is read; 1 is all of it."""
    age = (read_on - day).days
    if age < 0:
        return 0.0
    if not profile.settles or age >= SETTLED_AGE:
        return 1.0
    least, most = profile.first_morning
    first, second, third, *_ = draws(f"{identity}|arrival|{day}")
    morning = least + (most - least) * first
    if age == 0:
        return morning * third * _EVEN
    return morning if age == 1 else max(morning, 0.93 + 0.06 * second)


def correction(identity: str, service: str, *, day: date, read_on: date) -> float:
    """Return the factor of a late correction: 1 for most services, and for all once the month is closed."""
    if (read_on - day).days < SETTLED_AGE or not is_estimated(day, read_on):
        return 1.0
    chance, size, *_ = draws(f"{identity}|correction|{service}|{day}|{read_on.toordinal() // 2}")
    if chance >= CORRECTED_SHARE:
        return 1.0
    return 1.0 + LARGEST_CORRECTION * (2.0 * size - 1.0)
