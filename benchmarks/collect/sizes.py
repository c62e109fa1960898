"""How large each measurement is."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Numbers of accounts, unless said otherwise.

    rounds: repetitions, whose median counts. turns: of what takes turns with something else. starts: of the
    programs that end at once.
    small, large: between them the marginal CPU is taken. plain_small, plain_large: the plain way's.
    upserts: accounts that execute_values stores. latency_ms: for the wall time. waits: how often each place
    of a run waits for an answer, so that every concurrency has the same bound, as far as ``many`` accounts
    go. few, some, many: for memory and for the CPU of many accounts.
    large_accounts, large_rows, largest_rows: first collections of many rows, several at once and one alone.
    history_rows: rows of older days. written: for the WAL. dlt: accounts whose rows dlt merges.
    compared: for the comparison of whole nights. serial: how many of them the plain way collects, one after
    the other. fetched: for what fetching alone costs it.
    discovered: for discovery. resources: of each, in each of 17 regions.
    """

    rounds: int = 3
    turns: int = 5
    starts: int = 15
    small: int = 100
    large: int = 400
    plain_small: int = 10
    plain_large: int = 40
    upserts: int = 50
    latency_ms: int = 300
    waits: int = 250
    few: int = 200
    some: int = 1000
    many: int = 10_000
    large_accounts: int = 8
    large_rows: int = 100_000
    largest_rows: int = 1_000_000
    history_rows: int = 20_000_000
    written: int = 400
    dlt: int = 100
    compared: int = 1000
    serial: int = 400
    fetched: int = 50
    discovered: int = 1000
    resources: int = 300

    def with_changes(self, changes: Sequence[str]) -> "Sizes":
        """Return the sizes with each NAME=NUMBER applied.

        Raises:
            ValueError: no such name, or no number above zero.

        """
        known = [field.name for field in fields(self)]
        numbers: dict[str, int] = {}
        for change in changes:
            name, _, number = change.partition("=")
            if name not in known or not number.isdecimal() or int(number) < 1:
                raise ValueError(f"{change!r} is not NAME=NUMBER with one of: {', '.join(known)}.")
            numbers[name] = int(number)
        return replace(self, **numbers)


FULL = Sizes()
# Everything once, in seconds: whether it still runs, not how fast.
SMOKE = Sizes(
    rounds=1,
    turns=1,
    starts=1,
    small=2,
    large=6,
    plain_small=1,
    plain_large=2,
    upserts=2,
    latency_ms=20,
    waits=1,
    few=2,
    some=3,
    many=6,
    large_accounts=2,
    large_rows=1000,
    largest_rows=2000,
    history_rows=20_000,
    written=3,
    dlt=2,
    compared=3,
    serial=2,
    fetched=2,
    discovered=4,
    resources=5,
)
