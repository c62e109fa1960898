"""A service's history as it is stored: what later days look at, and no more."""

from array import array
from datetime import date, timedelta
from functools import lru_cache
from math import isnan, nan
from typing import Any, NamedTuple

from costbatch.domain.adaptive_past import Band
from costbatch.domain.expectation import GROWTHS_KEPT, History

_WEEK = 7
# How much of each list later days look at: what lies before need not be stored.
_TAILS = {
    "cleaned": 50,
    "errors": 64,
    # An outage is compared with one a year ago, and that one with the level of four weeks before it.
    "levels": 400,
    "week_means": 44,
    "growths": GROWTHS_KEPT,
    "peaks": 57,
    "runs": 57,
}
_BANDS_TAIL = 6


class PackedHistory(NamedTuple):
    """A history as it is stored: what JSON holds, numbers of eight bytes, and bytes."""

    about: list[Any]
    numbers: "array[float]"
    data: bytes


def pack_history(history: History) -> PackedHistory:
    """Return what is needed to go on from here."""
    tails = {name: getattr(history, name)[-most:] for name, most in _TAILS.items()}
    numbers = array("d", [*history.weights, history.noise, history.growth])
    for band in history.bands[-_BANDS_TAIL:]:
        numbers.extend(band or (nan, nan, nan))
    return PackedHistory(
        [
            history.first.toordinal(),
            len(history.amounts),
            len(history.bands),
            len(tails["growths"]),
            history.is_sparse,
            history.last_rise,
            history.last_drop,
            history.level_from,
        ],
        numbers,
        b"".join([history.amounts.tobytes(), *(tail.tobytes() for tail in tails.values()), history.marks]),
    )


def unpack_history(about: list[Any], numbers: "array[float]", data: memoryview) -> tuple[History, int, int]:
    """Return the history that begins the numbers and the data, and how much of each it takes.

    Raises:
        ValueError: they are too short.

    """
    ordinal, settled, opened, growths, is_sparse, last_rise, last_drop, level_from = about
    first, tail = date.fromordinal(ordinal), min(opened, _BANDS_TAIL)
    weekdays, month_days = _calendar(first, opened)
    history = History(first, weekdays=[*weekdays], month_days=[*month_days], is_sparse=is_sparse)
    history.last_rise, history.last_drop, history.level_from = last_rise, last_drop, level_from
    *weights, history.noise, history.growth = numbers[: _WEEK + 2]
    history.weights = weights
    used = _WEEK + 2 + 3 * tail
    bands = [Band(*numbers[n : n + 3]) for n in range(_WEEK + 2, used, 3)]
    history.bands = [None] * (opened - tail)
    history.bands += [None if isnan(band.expected) else band for band in bands]
    whole = {
        "amounts": settled,
        "cleaned": settled,
        "errors": settled,
        "levels": settled,
        "week_means": max(0, settled - _WEEK + 1),
        "growths": growths,
        "peaks": -(-settled // _WEEK),
        "runs": -(-settled // _WEEK),
    }
    place = 0
    for name, length in whole.items():
        known = min(length, _TAILS.get(name, length))
        values = getattr(history, name)
        values.frombytes(bytes(values.itemsize * (length - known)))
        values.frombytes(data[place : place + values.itemsize * known])
        place += values.itemsize * known
    history.marks += data[place : place + opened]
    if len(history.marks) != opened or len(history.weights) != _WEEK or len(bands) != tail:
        raise ValueError("the history is shorter than it says")
    return history, used, place + opened


@lru_cache(maxsize=4096)
def _calendar(first: date, days: int) -> tuple[list[int], list[int]]:
    """Return the weekdays and the days of the month of some days."""
    found = [first + timedelta(days=n) for n in range(days)]
    return [day.weekday() for day in found], [day.day for day in found]
