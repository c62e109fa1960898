"""What the adaptive detector remembers of an account between two nights, in one currency.

A snapshot of its state, and the mornings that it has read since. A morning that is read again replaces the
last one. So a run that is repeated, or finds the day more complete, remembers the same as a single run.
"""

import json
import sys
import zlib
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any

from costbatch.domain.adaptive import Detector, State
from costbatch.domain.adaptive_answers import Allowance
from costbatch.domain.adaptive_past import SETTLE_DAYS, floats
from costbatch.domain.adaptive_rule import AdaptiveRule, Judgement
from costbatch.domain.history_pack import pack_history, unpack_history
from costbatch.domain.money import Limit
from costbatch.domain.periods import DateRange

# What each service cost on the newest day, the day before, and the day before that.
Readings = Mapping[str, Sequence[Decimal | float]]
Morning = tuple[date, Readings]

# The version of what is learned of a day: a memory of another version is learned again.
_LEARNED_AS = 10
# A snapshot is many times as large as a morning; to judge a morning again takes as long as to store it.
_MORNINGS = 4
_LEVEL = 1
_LENGTH_BYTES = 4
_SETTLING = timedelta(days=SETTLE_DAYS)


class MemoryUnreadableError(ValueError):
    """A memory that this program did not write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """A snapshot of the state, and the mornings since, both packed.

    version: of what is learned, and of the settings that it depends on. newest: of the last morning.
    snapshot: None if the one that is stored stays.
    """

    version: str
    newest: date
    snapshot: bytes | None
    mornings: bytes

    def following(self, before: "Memory | None") -> "Memory":
        """Return this memory with the snapshot of the one before, if it has none of its own."""
        return replace(self, snapshot=before.snapshot) if before and self.snapshot is None else self


def mornings_of(costs: Mapping[str, Mapping[date, Decimal]], newest_days: DateRange) -> list[Morning]:
    """Return for each newest day what each service cost on it and on the two days before it."""
    span = DateRange(newest_days.start - _SETTLING, newest_days.end_exclusive)
    amounts = {service: [float(days.get(day, 0)) for day in span] for service, days in costs.items()}
    return [
        (day, {service: each[n : n + SETTLE_DAYS + 1][::-1] for service, each in amounts.items()})
        for n, day in enumerate(newest_days)
    ]


def version_of(rule: AdaptiveRule, currency: str, *compared: object) -> str:
    """Return what a memory depends on besides the costs. compared: what decides which costs count."""
    high_impact = Limit(rule.high_impact.of(currency))
    only = replace(rule, floor=Limit(rule.floor_of(currency)), high_impact=high_impact)
    return f"{_LEARNED_AS}/{sha256(repr((only, *compared)).encode()).hexdigest()[:16]}"


class Recollection:
    """A detector with its memory, for one night: it is shown what is new, and remembers it."""

    def __init__(
        self,
        rule: AdaptiveRule,
        currency: str,
        memory: Memory | None = None,
        answered: Sequence[Allowance] = (),
    ) -> None:
        """Replay the mornings since the snapshot, but for the last one: it may be read again.

        Raises:
            MemoryUnreadableError: this program did not write the memory.

        """
        self.currency = currency
        self._detector = Detector(rule, currency, answered=answered)
        # Without a memory, the mornings follow nothing: also not the snapshot of another version.
        self._snapshot = b"" if memory is None else None
        self._mornings: list[Morning] = []
        if memory is None:
            return
        try:
            self._detector.state = _unpack_state(memory.snapshot or b"")
            self._mornings = _unpack_mornings(memory.mornings)
            for newest, readings in self._mornings[:-1]:
                self._detector.judge(newest, readings)
        except (ArithmeticError, LookupError, TypeError, ValueError, zlib.error) as error:
            raise MemoryUnreadableError(str(error)) from error

    @property
    def newest(self) -> date | None:
        """The newest day of the last morning; None before the first one."""
        return self._mornings[-1][0] if self._mornings else None

    @property
    def judges_from(self) -> date | None:
        """See ``Detector``."""
        return self._detector.judges_from

    def final_amounts(self, day: date) -> dict[str, float | None] | None:
        """Return by service what a day cost when it was final (None: nothing is learned of it).

        None if it is not final yet.
        """
        state = self._detector.state
        if state.newest is not None and day <= state.newest - _SETTLING:
            places = {name: (day - each.first).days for name, each in state.histories.items()}
            return {
                name: state.histories[name].learned(place)
                for name, place in places.items()
                if 0 <= place < len(state.histories[name].amounts)
            }
        if self._mornings and day == self._mornings[-1][0] - _SETTLING:
            return {name: max(float(amounts[-1]), 0.0) for name, amounts in self._mornings[-1][1].items()}
        return None

    def has_cost(self, day: date) -> bool:
        """Return whether a day was seen to cost anything, final or not."""
        if self._mornings:
            newest, readings = self._mornings[-1]
            age = (newest - day).days
            if 0 <= age <= SETTLE_DAYS:
                return any(amounts[age] > 0 for amounts in readings.values())
        return any((self.final_amounts(day) or {}).values())

    def walk(self, mornings: Sequence[Morning], *, turn: int) -> list[Judgement]:
        """Show the detector one or more mornings; return the last judgement of each day of each service.

        The first morning is the last remembered one, read again, or the one after it.
        turn: different for each account, so that not all of them store a snapshot in the same night.

        Raises:
            ValueError: a morning does not follow the one before.

        """
        pending = self._mornings[-1:]
        if pending and pending[0][0] == mornings[0][0]:
            self._mornings.pop()
        elif pending:
            self._detector.judge(*pending[0])
        judged: dict[tuple[str, date], Judgement] = {}
        for newest, readings in mornings:
            if newest == mornings[-1][0] and (
                len(self._mornings) >= _MORNINGS or (newest.toordinal() + turn) % _MORNINGS == 0
            ):
                self._snapshot = _pack_state(self._detector.state)
                self._mornings.clear()
            self._mornings.append((newest, readings))
            judged |= {
                (each.service, each.usage_date): each for each in self._detector.judge(newest, readings)
            }
        return [*judged.values()]

    def memory(self, version: str) -> Memory:
        """Return what to store, after a walk."""
        newest, _ = self._mornings[-1]
        mornings = _pack_mornings(self._mornings)
        return Memory(version=version, newest=newest, snapshot=self._snapshot, mornings=mornings)


def _pack_state(state: State) -> bytes:
    packed = {name: pack_history(history) for name, history in state.histories.items()}
    about = {
        "newest": state.newest.toordinal() if state.newest else None,
        "mornings": state.mornings,
        "histories": {name: each.about for name, each in packed.items()},
    }
    numbers = array("d", state.totals)
    for each in packed.values():
        numbers += each.numbers
    return _pack(about | {"totals": len(state.totals)}, numbers, *(each.data for each in packed.values()))


def _unpack_state(packed: bytes) -> State:
    if not packed:
        return State()
    about, numbers, data = _unpack(packed, "d")
    state = State(date.fromordinal(about["newest"]) if about["newest"] else None, about["mornings"])
    state.totals = [*numbers[: about["totals"]]]
    numbers = numbers[about["totals"] :]
    for name, each in about["histories"].items():
        state.histories[name], used, length = unpack_history(each, numbers, data)
        numbers, data = numbers[used:], data[length:]
    return state


def _pack_mornings(mornings: Sequence[Morning]) -> bytes:
    services = sorted({name for _, readings in mornings for name in readings})
    nothing = [0.0] * (SETTLE_DAYS + 1)
    amounts = floats()
    for _, readings in mornings:
        for name in services:
            amounts.extend(map(float, readings.get(name, nothing)))
    return _pack(
        {"first": mornings[0][0].toordinal(), "mornings": len(mornings), "services": services}, amounts
    )


def _unpack_mornings(packed: bytes) -> list[Morning]:
    about, amounts, _ = _unpack(packed, "f")
    services, first, ages = about["services"], about["first"], SETTLE_DAYS + 1
    return [
        (
            date.fromordinal(first + n),
            {
                name: amounts[place : place + ages]
                for name, place in zip(
                    services, range(n * ages * len(services), len(amounts), ages), strict=False
                )
            },
        )
        for n in range(about["mornings"])
    ]


def _pack(about: Mapping[str, object], numbers: "array[float]", *data: bytes) -> bytes:
    head = json.dumps({**about, "order": sys.byteorder, "numbers": len(numbers)}).encode()
    parts = [len(head).to_bytes(_LENGTH_BYTES, "big"), head, numbers.tobytes(), *data]
    return zlib.compress(b"".join(parts), _LEVEL)


def _unpack(packed: bytes, kind: str) -> tuple[dict[str, Any], "array[float]", memoryview]:
    whole = memoryview(zlib.decompress(packed))
    start = _LENGTH_BYTES + int.from_bytes(whole[:_LENGTH_BYTES], "big")
    about = json.loads(bytes(whole[_LENGTH_BYTES:start]))
    if about["order"] != sys.byteorder:
        raise ValueError("it was written on another kind of processor")
    numbers: array[float] = array(kind)
    end = start + numbers.itemsize * about["numbers"]
    numbers.frombytes(whole[start:end])
    return about, numbers, whole[end:]
