"""What every measurement is given: sizes, the testbed (set up when first needed), and what several share."""

import contextlib
import os
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Self, TypeVar

from benchmarks.collect.processes import clients_on_their_core
from benchmarks.collect.sizes import Sizes
from benchmarks.collect.testbed import Database, Reading, Testbed, open_testbed

T = TypeVar("T")

_STEADY, _MANY = "steady", "many"


@dataclass(frozen=True, slots=True)
class Marginal:
    """What one more account costs, in CPU seconds of the client, of the server and in wall seconds."""

    client_seconds: float
    server_seconds: float
    wall_seconds: float


@dataclass(eq=False)
class Bench:
    """One run of the benchmark.

    dlt_python: None: an environment with dlt is made. is_smoke: nothing is installed or kept to a core.
    load_average: of the machine, before.
    """

    sizes: Sizes
    concurrency: int | None = None
    dlt_python: Path | None = None
    is_smoke: bool = False
    load_average: float = field(default_factory=lambda: os.getloadavg()[0])
    _exits: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _server_core: int | None = None

    def __enter__(self) -> Self:
        if not self.is_smoke:
            self._server_core = self._exits.enter_context(clients_on_their_core())
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    @cached_property
    def testbed(self) -> Testbed:
        """PostgreSQL and the local AWS, started when first needed."""
        return self._exits.enter_context(open_testbed(self._server_core))

    @property
    def has_testbed(self) -> bool:
        """Whether any measurement needed the testbed."""
        return "testbed" in vars(self)

    def steady(self) -> Database:
        """Return the database of the ordinary night: every account is loaded already."""
        return self.testbed.database(_STEADY, self.sizes.large)

    def many(self, accounts: int = 0) -> Database:
        """Return the same with very many accounts, at least so many."""
        return self.testbed.database(_MANY, max(self.sizes.many, accounts))

    def collect(self, database: Database, accounts: int) -> Reading:
        """Run the program as it is set up by default, or with the concurrency that was asked for."""
        return self.testbed.collect(database.url, accounts=accounts, concurrency=self.concurrency)

    def beside(self, other: Callable[[], T]) -> list[tuple[Marginal, T]]:
        """Measure what one more account costs and something else in turns, so that neighbours slow both."""
        return [(self._marginal(), other()) for _ in range(self.sizes.turns)]

    def changed_marginals(self) -> list[Marginal]:
        """Measure what one more account costs when the last two days have changed."""
        database, sizes = self.steady(), self.sizes
        factors = (1 + n / 100 for n in count(1))

        def collect(accounts: int) -> Reading:
            self.testbed.open_world(sizes.large, factor=next(factors))
            return self.collect(database, accounts)

        found = [self._between(collect(sizes.small), collect(sizes.large)) for _ in range(sizes.rounds)]
        self.testbed.open_world(sizes.large)
        self.collect(database, sizes.large)
        return found

    def _marginal(self) -> Marginal:
        """Measure what one more account costs when nothing has changed."""
        database = self.steady()
        small = self.collect(database, self.sizes.small)
        return self._between(small, self.collect(database, self.sizes.large))

    def _between(self, small: Reading, large: Reading) -> Marginal:
        accounts = self.sizes.large - self.sizes.small
        return Marginal(
            client_seconds=(large.client_seconds - small.client_seconds) / accounts,
            server_seconds=(large.server_seconds - small.server_seconds) / accounts,
            wall_seconds=(large.wall_seconds - small.wall_seconds) / accounts,
        )


def median(values: Iterable[float]) -> float:
    """Return the median."""
    return statistics.median(values)
