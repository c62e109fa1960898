"""What creating and dropping a month locks, and what two processes creating the same month at once meet."""

import datetime as dt
import threading
from typing import Final

import psycopg2
import psycopg2.extensions

from benchmarks.storage_server import Session
from benchmarks.storage_sql import partition_name

_MONTH: Final = dt.date(2026, 3, 1)
_NAME: Final = partition_name(_MONTH)
_BOUNDS: Final = "FOR VALUES FROM ('2026-03-01') TO ('2026-04-01')"
_LIKE: Final = (
    f"CREATE TABLE IF NOT EXISTS {_NAME} (LIKE daily_costs INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"
)
_ATTACH: Final = f"ALTER TABLE daily_costs ATTACH PARTITION {_NAME} {_BOUNDS}"
FORMS: Final = {
    "PARTITION OF": f"CREATE TABLE {_NAME} PARTITION OF daily_costs {_BOUNDS}",
    "LIKE + ATTACH": f"{_LIKE}; {_ATTACH}",
}
# The advisory lock makes the second process wait; looking again makes it find the month and do nothing.
_GUARDED: Final = f"""
SELECT pg_advisory_xact_lock(hashtextextended('daily_costs partitions', 0));
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_inherits
                   WHERE inhparent = 'daily_costs'::regclass AND inhrelid = to_regclass('{_NAME}')) THEN
        {_LIKE};
        {_ATTACH};
    END IF;
END $$
"""
_HELD: Final = """
SELECT l.relation::regclass::text, l.mode FROM pg_locks l
WHERE l.pid = pg_backend_pid() AND l.relation IN ('daily_costs'::regclass, 'lock_accounts'::regclass)
ORDER BY 1, 2
"""


def lock_report(uri: str, schema: str) -> dict[str, object]:
    """Return, per form of creating or dropping a month, the locks it takes and whether a reader blocks it."""
    report: dict[str, object] = {}
    session = Session(uri, schema)
    session.run("CREATE TABLE lock_accounts (id bigint PRIMARY KEY)")
    session.commit()
    for form, sql in FORMS.items():
        report[form] = {
            "locks": _locks(session, sql),
            "with an open reader": _beside_a_reader(uri, schema, sql),
        }
    report["LIKE + ATTACH, foreign key to accounts"] = {"locks": _locks_with_foreign_key(session)}
    drops = {
        "DROP TABLE of a partition": "DROP TABLE daily_costs_2026_02",
        "DETACH": "ALTER TABLE daily_costs DETACH PARTITION daily_costs_2026_02",
    }
    for form, sql in drops.items():
        report[form] = {
            "locks": _locks(session, sql),
            "with an open reader": _beside_a_reader(uri, schema, sql),
        }
    session.run("DROP TABLE lock_accounts")
    session.commit()
    session.close()
    report["two at once, PARTITION OF"] = _race(uri, schema, FORMS["PARTITION OF"])
    report["two at once, LIKE + ATTACH"] = _race(uri, schema, FORMS["LIKE + ATTACH"])
    report["two at once, advisory lock and LIKE + ATTACH"] = _race(uri, schema, _GUARDED)
    return report


def _locks(session: Session, sql: str) -> list[str]:
    session.run(sql)
    held = session.rows(_HELD)
    session.connection.rollback()
    return [f"{relation}: {mode}" for relation, mode in held]


def _locks_with_foreign_key(session: Session) -> list[str]:
    # On an empty twin, because a foreign key on the full table would have to be checked row by row.
    schema = session.rows("SELECT current_schema()")[0][0]
    session.run("CREATE SCHEMA fk_twin")
    session.run(
        "CREATE TABLE fk_twin.daily_costs (LIKE daily_costs INCLUDING INDEXES) "
        "PARTITION BY RANGE (usage_date)"
    )
    session.run("ALTER TABLE fk_twin.daily_costs ADD FOREIGN KEY (account_id) REFERENCES lock_accounts (id)")
    session.commit()
    session.run(f"SET LOCAL search_path = fk_twin, {schema}")
    held = _locks(session, FORMS["LIKE + ATTACH"])
    session.run("DROP SCHEMA fk_twin CASCADE")
    session.commit()
    return held


def _beside_a_reader(uri: str, schema: str, sql: str) -> str:
    reader, writer = Session(uri, schema), Session(uri, schema)
    try:
        reader.rows("SELECT count(*) FROM daily_costs WHERE account_id = 1")
        writer.run("SET lock_timeout = '300ms'")
        writer.run(sql)
    except psycopg2.errors.LockNotAvailable:
        return "waits for the reader, and new readers wait behind it"
    else:
        return "goes through"
    finally:
        writer.connection.rollback()
        reader.close()
        writer.close()


def _race(uri: str, schema: str, sql: str) -> str:
    """Let a second process create the month before the first commits; return what the second one met."""
    first, second = Session(uri, schema), Session(uri, schema)
    met: list[str] = []

    def create() -> None:
        try:
            second.run(sql)
            second.commit()
            met.append("no error")
        except psycopg2.Error as error:
            met.append(f"{type(error).__name__}: {str(error).splitlines()[0]}")

    first.run(sql)
    thread = threading.Thread(target=create)
    thread.start()
    thread.join(0.5)
    waited = "waits, then " if thread.is_alive() else ""
    first.commit()
    thread.join()
    second.close()
    first.run(f"DROP TABLE {_NAME}")
    first.commit()
    first.close()
    return waited + met[0]
