"""The same accounts collected and stored by costbatch, by a plain script and by dlt: two nights of each.

Not a target: nothing here has a limit. What was measured is a document that benchmarks/pages makes a page of.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.extras

from benchmarks import plain_way
from benchmarks.collect.bench import Bench, median
from benchmarks.collect.dlt_runs import WAYS, DltMissing, dlt_python, merge
from benchmarks.collect.report import made, rounded
from benchmarks.collect.scripts import keys_of, run_plain_way
from benchmarks.collect.server import execute, rows
from benchmarks.collect.testbed import DAYS, ROWS_PER_ACCOUNT, SERVICES, Reading
from costbatch.domain.costs import REQUEST_PRICE_USD
from costbatch.simulator.demo_world import LOAD_VARIANTS

_OURS = "compared"
_OUR_TABLE = """
(SELECT aws_account_id AS account_id, unblended
 FROM daily_costs JOIN accounts ON accounts.id = daily_costs.account_id) AS stored
"""
# Every row as the plain way has it: the account by its digits, all amounts as text.
_STORED_ROWS = f"""
SELECT aws_account_id AS account_id, usage_date::text, service, record_type, currency,
    {", ".join(f"{name}::text" for name in plain_way.AMOUNTS)}, estimated
FROM daily_costs JOIN accounts ON accounts.id = daily_costs.account_id
ORDER BY aws_account_id, usage_date
"""


@dataclass(frozen=True, slots=True)
class Night:
    """What one night of one way cost, and how many requests it paid."""

    reading: Reading
    paid: int

    def to_document(self) -> dict[str, Any]:
        """Return the night, JSON-ready. Costs are for all accounts together."""
        reading = self.reading
        return {
            "client_seconds": rounded(reading.client_seconds),
            "server_seconds": rounded(reading.server_seconds),
            "wall_seconds": rounded(reading.wall_seconds),
            "memory_mb": rounded(reading.memory_bytes / 1e6),
            "wal_mb": rounded(reading.wal_bytes / 1e6),
            "requests": self.paid,
            "dollars": str(self.paid * REQUEST_PRICE_USD),
        }


def compare(bench: Bench) -> dict[str, Any]:
    """Measure every way and return the document. dlt is left out, with a sentence, where there is none."""
    bench.testbed.open_world(bench.sizes.compared)
    # So that the stand-in has rendered every answer that differs before the first of them is timed.
    bench.testbed.database("rendered", min(LOAD_VARIANTS, bench.sizes.compared))
    ways = {"costbatch": _costbatch(bench), "plain": _plain(bench)}
    version, skipped = None, ""
    try:
        python = dlt_python(bench)
        path = bench.testbed.folder / "compared.jsonl"
        _write_stored_rows(bench.testbed.database(_OURS, bench.sizes.compared).url, path)
        for way in WAYS:
            ways[f"dlt_{way}"], version = _dlt(bench, python, way, path)
    except DltMissing as missing:
        skipped = str(missing)
    return {
        "made": {**made(bench), "dlt": version},
        "accounts": bench.sizes.compared,
        "days": DAYS,
        "services": SERVICES,
        "latency_ms": bench.sizes.latency_ms,
        "ways": ways,
        "fetching": _fetching(bench),
        "skipped": skipped,
    }


def print_nights(document: dict[str, Any]) -> None:
    """Print one line per way and night."""
    print(f"\n{document['accounts']} accounts, {document['days']} days, {document['services']} services")
    columns = document["ways"]["costbatch"]["first"]
    print(f"{'':22}" + "".join(f"{name:>16}" for name in columns))
    for name, way in document["ways"].items():
        for night in ("first", "unchanged"):
            figures = "".join(f"{value:>16}" for value in way[night].values())
            print(f"{name + ', ' + night:22}{figures}")
    if document["skipped"]:
        print(f"Left out: {document['skipped']}")


def _costbatch(bench: Bench) -> dict[str, Any]:
    """Run the program as it is by default, and once more with latency."""
    testbed, accounts = bench.testbed, bench.sizes.compared
    testbed.aws.reset_requests()
    database = testbed.database(_OURS, accounts)
    first = Night(database.first_load, testbed.aws.paid())
    testbed.aws.reset_requests()
    unchanged = Night(testbed.collect(database.url, accounts=accounts), testbed.aws.paid())
    testbed.aws.set_latency(bench.sizes.latency_ms / 1000)
    waiting = testbed.collect(database.url, accounts=accounts).wall_seconds
    testbed.aws.set_latency(0)
    told = _way(bench, first, unchanged, url=database.url, table=_OUR_TABLE)
    return {**told, "wall_seconds_at_latency": rounded(waiting)}


def _plain(bench: Bench) -> dict[str, Any]:
    url = bench.testbed.server.create_database("compared-plain")
    first, unchanged = _plain_night(bench, url), _plain_night(bench, url)
    told = _way(bench, first, unchanged, url=url, table="plain_costs")
    return {**told, "accounts": bench.sizes.serial}


def _plain_night(bench: Bench, url: str) -> Night:
    bench.testbed.aws.reset_requests()
    reading = run_plain_way(bench.testbed, url, bench.sizes.serial)
    execute(url, "VACUUM ANALYZE")
    return Night(reading, bench.testbed.aws.paid())


def _dlt(bench: Bench, python: Path, way: str, path: Path) -> tuple[dict[str, Any], str]:
    url = bench.testbed.server.create_database(f"compared-dlt-{way}")
    nights, version = [], ""
    for _ in range(2):
        merged = merge(bench.testbed, python, way, url=url, rows_path=path)
        execute(url, "VACUUM ANALYZE")
        nights.append(Night(merged.process, 0))
        version = merged.version
    return _way(bench, nights[0], nights[1], url=url, table="costs.daily_costs"), version


def _way(bench: Bench, first: Night, unchanged: Night, *, url: str, table: str) -> dict[str, Any]:
    """Return a way's nights, its rows, and the exact total of the accounts that every way has collected."""
    last = keys_of(bench.sizes.serial)[-1]["account_id"]
    total = f"trim_scale(sum(unblended) FILTER (WHERE account_id <= '{last}'))::text"
    ((count, shared_total),) = rows(url, f"SELECT count(*), {total} FROM {table}")
    return {
        "accounts": bench.sizes.compared,
        "first": first.to_document(),
        "unchanged": unchanged.to_document(),
        "rows": count,
        "shared_total": shared_total,
    }


def _fetching(bench: Bench) -> dict[str, Any]:
    """Measure what one more account costs the plain way that stores nothing."""
    sizes = bench.sizes
    rounds = []
    for _ in range(sizes.rounds):
        one, all_of_them = (
            run_plain_way(bench.testbed, plain_way.NO_DATABASE, accounts) for accounts in (1, sizes.fetched)
        )
        cpu, wall = (
            all_of_them.client_seconds - one.client_seconds,
            all_of_them.wall_seconds - one.wall_seconds,
        )
        rounds.append((cpu / (sizes.fetched - 1), wall / (sizes.fetched - 1)))
    return {
        "accounts": sizes.fetched,
        "client_seconds_per_account": rounded(median(cpu for cpu, _ in rounds)),
        "wall_seconds_per_account": rounded(median(wall for _, wall in rounds)),
    }


def _write_stored_rows(url: str, path: Path) -> None:
    """Write what costbatch has stored, one account a line."""
    with path.open("w") as file:
        for _, account in groupby(_stored_rows(url), key=itemgetter("account_id")):
            file.write(json.dumps(list(account)) + "\n")


def _stored_rows(url: str) -> Iterator[dict[str, Any]]:
    connection = psycopg2.connect(url)
    try:
        with connection.cursor("stored", cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
            cursor.itersize = 20 * ROWS_PER_ACCOUNT
            cursor.execute(_STORED_ROWS)
            yield from cursor
    finally:
        connection.close()
