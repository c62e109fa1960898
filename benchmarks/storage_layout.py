"""Measure whether `daily_costs` is best a plain table or partitioned by month.

Run from the repository's root: `python -m benchmarks.storage_layout --rows 20000000 --output FILE`.
It starts an embedded PostgreSQL in a temporary folder, needs about 25 GB of disk there at 20 million rows,
and removes it.
"""

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import storage_sql as sql
from benchmarks import storage_steps as steps
from benchmarks.storage_locks import lock_report
from benchmarks.storage_server import Reading, Session, median, running_server

ROUNDS = 3
WAYS = {"LATERAL": sql.UPSERT, "EXCEPT": sql.UPSERT_EXCEPT}


class Figures:
    """The figures by measure and layout, in the order in which they were taken."""

    def __init__(self) -> None:
        self.table: dict[str, dict[str, float]] = {}
        self.plans: dict[str, dict[str, object]] = {}
        self._began = time.monotonic()

    def note(self, measure: str, layout: str, value: float) -> None:
        """Keep one figure and show it at once."""
        self.table.setdefault(measure, {})[layout] = float(f"{value:.4g}")
        print(
            f"{time.monotonic() - self._began:6.0f} s  {measure}: {layout} {value:.4g}",
            file=sys.stderr,
            flush=True,
        )

    def reading(self, measure: str, layout: str, reading: Reading, *, wal: bool = True) -> None:
        """Keep the CPU, and where it says something the WAL, of one measure."""
        self.note(f"{measure}, server CPU ms", layout, reading.cpu_ms)
        if wal:
            self.note(f"{measure}, WAL bytes", layout, reading.wal_bytes)


def load(uri: str, figures: Figures, accounts: int) -> None:
    """Fill every layout, look at its plans before and after statistics exist, and note size and cost."""
    for layout in sql.LAYOUTS:
        reading = steps.fill(uri, layout, accounts)
        rows = accounts * sql.DAYS * sql.ACCOUNT_SERVICES
        figures.note("load, CPU seconds", layout, reading.cpu_ms / 1000)
        figures.note("load, wall seconds", layout, reading.wall_seconds)
        figures.note("load, WAL bytes per row", layout, reading.wal_bytes / rows)
        note_plans(uri, figures, layout, "without statistics")
        session = Session(uri, layout)
        vacuum: list[Reading] = []
        with session.measured(vacuum):
            session.alone("VACUUM ANALYZE daily_costs")
        figures.note("first VACUUM ANALYZE, CPU seconds", layout, vacuum[0].cpu_ms / 1000)
        for part, size in session.sizes().items():
            figures.note(f"{part}, bytes per row", layout, size / rows)
        session.close()
        note_plans(uri, figures, layout, "with statistics")


def note_plans(uri: str, figures: Figures, layout: str, moment: str) -> None:
    """Keep which scans the re-read chooses, and what an account costs, at this moment."""
    for way, upsert in WAYS.items():
        plan = steps.explain_store(uri, layout, "unchanged", 1, upsert)
        figures.plans[f"{layout}, {way}, {moment}"] = plan
        reading = steps.store_accounts(uri, layout, "unchanged", list(range(1, 4)), upsert)
        figures.note(f"3 unchanged accounts, {way}, {moment}, CPU ms each", layout, reading.cpu_ms)


def store(uri: str, figures: Figures, accounts: list[int], sample: int) -> None:
    """Measure the write path on the full table, side by side, in rounds."""
    scenarios = [
        ("unchanged", "unchanged", sql.UPSERT, "on"),
        ("unchanged, EXCEPT", "unchanged", sql.UPSERT_EXCEPT, "on"),
        ("two days changed", "two days changed", sql.UPSERT, "on"),
        ("two days changed, no full pages", "two days changed", sql.UPSERT, "off"),
        ("new day", "new day", sql.UPSERT, "on"),
        ("new day, no full pages", "new day", sql.UPSERT, "off"),
        ("two days changed, EXCEPT", "two days changed", sql.UPSERT_EXCEPT, "on"),
        ("new day, EXCEPT", "new day", sql.UPSERT_EXCEPT, "on"),
        ("one row vanished, EXCEPT", "one row vanished", sql.UPSERT_EXCEPT, "on"),
    ]
    fresh = iter(range(0, len(accounts), sample))  # a new day can be stored once per account
    for name, scenario, upsert, full_pages in scenarios:
        set_full_pages(uri, full_pages)
        readings: dict[str, list[Reading]] = {layout: [] for layout in sql.LAYOUTS}
        for number in range(ROUNDS):
            begin = next(fresh) if scenario == "new day" else number * sample
            chosen = accounts[begin : begin + sample]
            for layout in sql.LAYOUTS:
                readings[layout].append(steps.store_accounts(uri, layout, scenario, chosen, upsert))
        for layout in sql.LAYOUTS:
            figures.reading(f"account, {name}", layout, median(readings[layout]))
    set_full_pages(uri, "on")


def set_full_pages(uri: str, value: str) -> None:
    """Switch the WAL's full-page images on or off for the whole server."""
    session = Session(uri, "public")
    session.alone(f"ALTER SYSTEM SET full_page_writes = {value}")
    session.alone("SELECT pg_reload_conf()")
    time.sleep(0.3)
    session.close()


def buffers(uri: str, figures: Figures, accounts: list[int]) -> None:
    """Note buffers and planning time of the upsert and of the queries of one account."""
    for layout in sql.LAYOUTS:
        for scenario in ("unchanged", "two days changed", "new day"):
            for way, upsert in WAYS.items():
                plans = [steps.explain_store(uri, layout, scenario, account, upsert) for account in accounts]
                note_explained(figures, f"upsert, {scenario}, {way}", layout, plans)
        session = Session(uri, layout)
        period = {"start": sql.NEW_DAY - 66 * steps.DAY, "end": sql.NEW_DAY}
        for name, statement in (("judge 66 days", sql.JUDGE), ("first cost", sql.FIRST_COST)):
            session.explain(statement, account=1, **period)
            plans = [session.explain(statement, account=account, **period) for account in accounts]
            note_explained(figures, name, layout, plans)
        session.close()


def note_explained(figures: Figures, name: str, layout: str, plans: list[dict[str, object]]) -> None:
    """Note the medians of what EXPLAIN said."""
    figures.plans[f"{layout}, {name}"] = plans[-1]
    for key in ("buffers", "planning_ms"):
        figures.note(f"{name}, {key}", layout, statistics.median(float(str(plan[key])) for plan in plans))


def small_and_fillfactor(uri: str, figures: Figures, accounts: list[int]) -> None:
    """Compare with a nearly empty table, and different fill factors on three nights of changes."""
    for layout in sql.LAYOUTS:
        steps.fill_last_days(uri, f"small_{layout}", layout, accounts)
        few = [steps.store_accounts(uri, f"small_{layout}", "unchanged", accounts) for _ in range(ROUNDS)]
        full = [steps.store_accounts(uri, layout, "unchanged", accounts) for _ in range(ROUNDS)]
        ratio = median(full).cpu_ms / median(few).cpu_ms
        figures.note("unchanged account, full over nearly empty table, CPU ratio", layout, ratio)
    for fillfactor in (100, 90, 70, 50):
        schema = f"fill_{fillfactor}"
        steps.fill_last_days(uri, schema, "plain", accounts, fillfactor)
        nights = [steps.store_accounts(uri, schema, "two days changed", accounts) for _ in range(ROUNDS)]
        session = Session(uri, schema)
        changed, hot = session.rows(
            "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE schemaname = %(schema)s",
            schema=schema,
        )[0]
        session.close()
        figures.note(
            f"fillfactor {fillfactor}, two days changed, WAL bytes per account",
            "plain",
            median(nights).wal_bytes,
        )
        figures.note(
            f"fillfactor {fillfactor}, share of updates that are HOT", "plain", hot / max(changed, 1)
        )


def queries(uri: str, figures: Figures, accounts: list[int]) -> None:
    """Measure the judge's, the analyst's and the first-day queries, side by side."""
    sessions = {layout: Session(uri, layout) for layout in sql.LAYOUTS}
    runs: dict[str, Callable[[Session], Reading]] = {
        "judge 66 days, one account": lambda session: steps.query_each(session, sql.JUDGE, accounts, 66),
        "first cost, one account": lambda session: steps.query_each(session, sql.FIRST_COST, accounts),
        "last month by service": lambda session: steps.query_each(session, sql.LAST_MONTH, [0]),
    }
    for name, run in runs.items():
        readings: dict[str, list[Reading]] = {layout: [] for layout in sql.LAYOUTS}
        for _ in range(ROUNDS):
            for layout, session in sessions.items():
                readings[layout].append(run(session))
        for layout, found in readings.items():
            figures.reading(name, layout, median(found), wal=False)
    plain = sessions["plain"]
    plain.run("CREATE INDEX by_day ON daily_costs USING brin (usage_date)")
    plain.commit()
    plain.alone("VACUUM daily_costs")
    found_brin = [steps.query_each(plain, sql.LAST_MONTH, [0]) for _ in range(ROUNDS)]
    figures.reading("last month by service, BRIN", "plain", median(found_brin), wal=False)
    plain.run("DROP INDEX by_day")
    plain.commit()
    for session in sessions.values():
        session.close()


def months(uri: str, figures: Figures) -> None:
    """Measure dropping the oldest month and creating the next."""
    for layout in ("plain", "monthly"):
        session = Session(uri, layout)
        for name, reading in steps.drop_months(session, layout).items():
            figures.reading(f"oldest month, {name}", layout, reading)
            figures.note(f"oldest month, {name}, wall ms", layout, reading.wall_seconds * 1000)
        if layout == "monthly":
            figures.reading("next month, LIKE + ATTACH", layout, steps.create_month(session))
        session.close()


def main() -> None:
    """Run the comparison, print its table and write it as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=20_000_000, help="rows per layout (default: 20 million)")
    parser.add_argument("--output", type=Path, help="write the figures to this JSON file")
    options = parser.parse_args()
    accounts = max(9, options.rows // (sql.DAYS * sql.ACCOUNT_SERVICES))
    sample = max(1, min(200, accounts // (3 * ROUNDS)))
    shuffled = random.Random(1).sample(range(1, accounts + 1), accounts)
    figures = Figures()
    with running_server() as uri:
        load(uri, figures, accounts)
        store(uri, figures, shuffled, sample)
        buffers(uri, figures, shuffled[-5:])
        small_and_fillfactor(uri, figures, shuffled[:sample])
        queries(uri, figures, shuffled[:sample])
        locks = lock_report(uri, "monthly")
        months(uri, figures)
        session = Session(uri, "public")
        server = str(session.rows("SHOW server_version")[0][0])
        session.close()
    report = {
        "server": server,
        "rows": accounts * sql.DAYS * sql.ACCOUNT_SERVICES,
        "accounts_per_round": sample,
        "rounds": ROUNDS,
        "figures": figures.table,
        "plans": figures.plans,
        "locks": locks,
    }
    print_table(figures)
    if options.output:
        options.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def print_table(figures: Figures) -> None:
    """Print one line per measure, one column per layout."""
    print(f"{'':70}" + "".join(f"{layout:>14}" for layout in sql.LAYOUTS))
    for measure, values in figures.table.items():
        cells = "".join(
            f"{values[layout]:14,.6g}" if layout in values else f"{'-':>14}" for layout in sql.LAYOUTS
        )
        print(f"{measure:70}{cells}")


if __name__ == "__main__":
    main()
