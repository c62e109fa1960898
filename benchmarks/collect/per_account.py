"""What an account costs, against parsing its body, the plain way, and a plain upsert."""

import json
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from timeit import Timer
from typing import Any
from unittest import mock

import psycopg2
import sqlalchemy as sa
from psycopg2.extras import execute_values

from benchmarks import plain_way
from benchmarks.collect import program
from benchmarks.collect.bench import Bench, median
from benchmarks.collect.scripts import keys_of, run_plain_way
from benchmarks.collect.server import execute
from benchmarks.collect.targets import Result
from benchmarks.collect.testbed import DAYS, ROWS_PER_ACCOUNT

# What was measured of costbatch and of the other way, by round.
Rounds = Sequence[tuple[float, float]]

_PARSES = 100
_COLUMNS = ["account_id", *plain_way.KEY[1:], "currency", *plain_way.AMOUNTS, "estimated"]
_UPSERT = (
    f"INSERT INTO plain_costs ({', '.join(_COLUMNS)}) VALUES %s "
    f"ON CONFLICT ({', '.join(plain_way.KEY)}) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS if name not in plain_way.KEY)
)


def against_json(bench: Bench) -> list[Result]:
    """Measure the client's CPU against ``json.loads`` of the same body."""
    body = body_of(bench, 0)
    timer = Timer(lambda: json.loads(body), timer=time.process_time)
    rounds = [
        (marginal.client_seconds, loads)
        for marginal, loads in bench.beside(lambda: median(timer.repeat(3, _PARSES)) / _PARSES)
    ]
    changed = median(each.client_seconds for each in bench.changed_marginals())
    parts = {
        **_milliseconds("client", "json_loads", rounds),
        "client_changed_ms": changed * 1000,
        "body_bytes": float(len(body)),
    }
    return [Result("json", _ratio(rounds), parts)]


def against_plain_way(bench: Bench) -> list[Result]:
    """Measure the client's CPU against the plain way's, which has one thread and nothing to wait for."""
    sizes = bench.sizes
    url = bench.testbed.server.create_database("plain")
    _plain_run(bench, url, sizes.plain_large)
    accounts = sizes.plain_large - sizes.plain_small

    def plain() -> float:
        large = _plain_run(bench, url, sizes.plain_large)
        return (large - _plain_run(bench, url, sizes.plain_small)) / accounts

    rounds = [(marginal.client_seconds, seconds) for marginal, seconds in bench.beside(plain)]
    return [Result("plain", _ratio(rounds), _milliseconds("client", "plain_way", rounds))]


def _plain_run(bench: Bench, url: str, accounts: int) -> float:
    # The upserts leave dead rows behind, which autovacuum would have removed.
    execute(url, "VACUUM")
    return run_plain_way(bench.testbed, url, accounts).client_seconds


def against_execute_values(bench: Bench) -> list[Result]:
    """Measure the server's CPU against ``execute_values`` of the same unchanged rows, one page an account."""
    sizes = bench.sizes
    url = bench.testbed.server.create_database("upserts")
    answer = json.loads(body_of(bench, 0))
    rows = [[row[name] for name in _COLUMNS] for row in plain_way.rows_of("", answer)]
    _create_table(url)
    work = partial(_upsert_all, url, rows, sizes.upserts)
    work()
    rounds = [
        (marginal.server_seconds, upserts / sizes.upserts)
        for marginal, upserts in bench.beside(lambda: _measured(bench, url, work))
    ]
    parts = {**_milliseconds("server", "execute_values", rounds), "rows": float(len(rows))}
    return [Result("execute_values", _ratio(rounds), parts)]


def _ratio(rounds: Rounds) -> float:
    return median(ours / other for ours, other in rounds)


def _milliseconds(ours: str, other: str, rounds: Rounds) -> dict[str, float]:
    seconds = {ours: median(each for each, _ in rounds), other: median(each for _, each in rounds)}
    return {f"{name}_ms": value * 1000 for name, value in seconds.items()}


def _create_table(url: str) -> None:
    engine = sa.create_engine(url)
    plain_way.costs.metadata.create_all(engine)
    engine.dispose()


def _measured(bench: Bench, url: str, work: Callable[[], None]) -> float:
    execute(url, "VACUUM plain_costs")
    before = bench.testbed.server.cpu_seconds()
    work()
    return bench.testbed.server.cpu_seconds() - before


def _upsert_all(url: str, rows: list[list[Any]], accounts: int) -> None:
    connection = psycopg2.connect(url)
    try:
        for number in range(accounts):
            with connection, connection.cursor() as cursor:
                owned = [(str(number), *row[1:]) for row in rows]
                execute_values(cursor, _UPSERT, owned, page_size=ROWS_PER_ACCOUNT)
    finally:
        connection.close()


def body_of(bench: Bench, number: int) -> bytes:
    """Return the body of an account's answer, as the stand-in sends it."""
    bench.testbed.open_world(number + 1)
    keys = keys_of(number + 1)[number]
    start, end_exclusive = program.TODAY - timedelta(days=DAYS), program.TODAY
    with mock.patch.dict("os.environ", bench.testbed.environment(""), clear=True):
        client = plain_way.client_of(keys)
        bodies: list[bytes] = []
        client.meta.events.register(
            "before-parse.cost-explorer.GetCostAndUsage",
            lambda response_dict, **_: bodies.append(response_dict["body"]),
        )
        request = plain_way.request_of(keys["account_id"], str(start), str(end_exclusive))
        client.get_cost_and_usage(**request)
    return bodies[0]
