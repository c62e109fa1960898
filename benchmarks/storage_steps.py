"""The steps of the storage benchmark: fill, store an account's window, aggregate, drop the oldest month."""

import datetime as dt
import io
import itertools
from decimal import Decimal
from typing import Final

from benchmarks import storage_sql as sql
from benchmarks.storage_server import Reading, Session, median

DAY: Final = dt.timedelta(days=1)
_PERIOD: Final = {"start": sql.WINDOW_START, "end": sql.NEW_DAY}
_NEXT_PERIOD: Final = {"start": sql.WINDOW_START + DAY, "end": sql.NEW_DAY + DAY}
_COLUMN_LIST: Final = ", ".join(sql.COLUMNS)


def fill(uri: str, layout: str, accounts: int) -> Reading:
    """Create one layout and store 390 days the way nights do: day after day, the primary key in place."""
    session = Session(uri, layout)
    session.run(f"CREATE SCHEMA {layout}")
    session.run(sql.create_layout(layout))
    session.commit()
    readings: list[Reading] = []
    with session.measured(readings):
        for number in range(sql.DAYS):
            day = sql.FIRST_DAY + number * DAY
            session.run(sql.FILL_DAY, **sql.fill_parameters(layout, day, accounts))
            session.commit()
    session.close()
    return readings[0]


def fill_last_days(uri: str, schema: str, layout: str, accounts: list[int], fillfactor: int = 100) -> None:
    """Create a schema that holds only the last window of these accounts, copied from the full table."""
    session = Session(uri, schema)
    session.run(f"CREATE SCHEMA {schema}")
    session.run(sql.create_layout(layout, fillfactor))
    session.run(
        f"INSERT INTO daily_costs SELECT * FROM {layout}.daily_costs "
        "WHERE account_id = ANY(%(accounts)s) AND usage_date >= %(start)s AND usage_date < %(end)s "
        "ORDER BY usage_date, account_id",
        accounts=accounts,
        **_PERIOD,
    )
    session.alone("VACUUM ANALYZE daily_costs")
    session.close()


def store_accounts(
    uri: str, schema: str, scenario: str, accounts: list[int], upsert: str = sql.UPSERT
) -> Reading:
    """Store the window of each account in a transaction of its own; return the cost of one account."""
    session = Session(uri, schema)
    period = _NEXT_PERIOD if scenario == "new day" else _PERIOD
    windows = [(account, _window(session, scenario, account)) for account in accounts]
    session.run(sql.STAGING)  # once per process and night: not a cost of one account
    session.commit()
    session.alone("CHECKPOINT")  # as at night: every page's first change writes the whole page into the WAL
    readings: list[Reading] = []
    with session.measured(readings, len(accounts)):
        for account, rows in windows:
            _store(session, upsert, account, rows, period)
    session.close()
    return readings[0]


def explain_store(
    uri: str, schema: str, scenario: str, account: int, upsert: str = sql.UPSERT
) -> dict[str, object]:
    """Return buffers, planning time and scans of the upsert of one account, then roll it back."""
    session = Session(uri, schema)
    period = _NEXT_PERIOD if scenario == "new day" else _PERIOD
    rows = _window(session, scenario, account)
    for _ in range(2):  # the first pass fills the catalogue caches, as the first account of a night does
        session.run(sql.STAGING)
        session.cursor.copy_expert(f"COPY staging ({_COLUMN_LIST}) FROM STDIN", io.StringIO("\n".join(rows)))
        answer = session.explain(upsert, account=account, **period)
        session.connection.rollback()
    session.close()
    return answer


def query_each(session: Session, statement: str, accounts: list[int], days: int = 0) -> Reading:
    """Run a statement for each account; return the cost of one run."""
    readings: list[Reading] = []
    start = sql.NEW_DAY - days * DAY
    with session.measured(readings, len(accounts)):
        for account in accounts:
            session.rows(statement, account=account, start=start, end=sql.NEW_DAY)
    return readings[0]


def drop_months(session: Session, layout: str, count: int = 3) -> dict[str, Reading]:
    """Remove the oldest months one after the other; return the median cost of one."""
    removal: list[Reading] = []
    vacuum: list[Reading] = []
    for month, following in zip(
        sql.months(sql.FIRST_DAY, count), sql.months(sql.FIRST_DAY, count + 1)[1:], strict=True
    ):
        name = sql.partition_name(month)
        with session.measured(removal):
            if layout == "monthly":
                session.alone(f"ALTER TABLE daily_costs DETACH PARTITION {name} CONCURRENTLY")
                session.alone(f"DROP TABLE {name}")
            else:
                session.run("DELETE FROM daily_costs WHERE usage_date < %(following)s", following=following)
                session.commit()
        with session.measured(vacuum):
            if layout != "monthly":
                session.alone("VACUUM daily_costs")
    return {"drop": median(removal), "vacuum": median(vacuum)}


def create_month(session: Session, count: int = 3) -> Reading:
    """Create months after the last one by LIKE and ATTACH; return the median cost of one."""
    readings: list[Reading] = []
    starts = sql.months(dt.date(2027, 1, 1), count + 1)
    for start, end in itertools.pairwise(starts):
        name = sql.partition_name(start)
        with session.measured(readings):
            session.run(f"CREATE TABLE {name} (LIKE daily_costs INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
            session.run(
                f"ALTER TABLE daily_costs ATTACH PARTITION {name} FOR VALUES FROM ('{start}') TO ('{end}')"
            )
            session.commit()
    return median(readings)


def _window(session: Session, scenario: str, account: int) -> list[str]:
    """Return the account's stored window as COPY lines, altered as the scenario says."""
    period = "' AND usage_date < '".join((f"{sql.WINDOW_START}", f"{sql.NEW_DAY}"))
    query = (
        f"SELECT {_COLUMN_LIST} FROM daily_costs WHERE account_id = {account} AND usage_date >= '{period}'"
    )
    text = io.StringIO()
    session.cursor.copy_expert(f"COPY ({query}) TO STDOUT", text)
    session.commit()
    lines = text.getvalue().splitlines()
    if scenario == "two days changed":
        changed = {f"{sql.NEW_DAY - DAY}", f"{sql.NEW_DAY - 2 * DAY}"}
        return [_dearer(line) if line.split("\t")[1] in changed else line for line in lines]
    if scenario == "one row vanished":
        return lines[:-1]
    if scenario == "new day":
        kept = [line for line in lines if line.split("\t")[1] != f"{sql.WINDOW_START}"]
        last = f"{sql.NEW_DAY - DAY}"
        return kept + [line.replace(last, f"{sql.NEW_DAY}") for line in lines if line.split("\t")[1] == last]
    return lines


def _dearer(line: str) -> str:
    fields = line.split("\t")
    fields[5] = str(Decimal(fields[5]) + Decimal("0.01"))
    return "\t".join(fields)


def _store(session: Session, upsert: str, account: int, rows: list[str], period: dict[str, dt.date]) -> None:
    session.run(sql.STAGING)
    session.cursor.copy_expert(f"COPY staging ({_COLUMN_LIST}) FROM STDIN", io.StringIO("\n".join(rows)))
    session.rows(upsert, account=account, **period)
    if session.rows(sql.COUNT, account=account, **period)[0][0] != len(rows):
        session.run(sql.DELETE_VANISHED, account=account, **period)
    session.commit()
