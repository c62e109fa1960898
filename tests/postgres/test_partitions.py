"""The monthly partitions of the daily costs and of what was expected of each day."""

from collections.abc import Callable, Iterator
from datetime import date
from threading import Barrier, Thread
from time import monotonic

import pytest
import sqlalchemy as sa

from costbatch.adapters.postgres import PostgresDatabase
from costbatch.adapters.postgres.partitions import PARTITIONED
from costbatch.domain.credentials import Secret
from costbatch.domain.periods import DateRange
from costbatch.errors import StatementRefused
from tests.postgres.conftest import Query
from tests.postgres.roles import database_as
from tests.support.database_rows import WINDOW, add_account, cost_row, prepare_months, store

YEAR = DateRange(date(2025, 11, 15), date(2026, 2, 2))
PARTITIONS = "SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r' ORDER BY relname"
OF_YEAR = [
    (f"{table}_{month}",)
    for table in ("cost_changes", "daily_costs", "daily_expectations")
    for month in ("2025_11", "2025_12", "2026_01", "2026_02")
]


def test_every_month_that_the_days_touch_is_made_once(database: PostgresDatabase, query: Query) -> None:
    """Parts of months count whole, across the turn of the year, and again is no error."""
    prepare_months(database, YEAR)
    assert query(PARTITIONS) == OF_YEAR
    oids = query("SELECT oid FROM pg_class WHERE relispartition ORDER BY relname")
    prepare_months(database, YEAR)
    assert query("SELECT oid FROM pg_class WHERE relispartition ORDER BY relname") == oids


def test_months_have_the_index_the_checks_and_the_key_of_the_table(
    database: PostgresDatabase, query: Query
) -> None:
    """A partition made later refuses the same wrong rows as the table; neither has a foreign key."""
    prepare_months(database, WINDOW)
    kinds = query(
        "SELECT contype::text, count(*) FROM pg_constraint WHERE conrelid = 'daily_costs_2026_03'::regclass"
        " AND contype IN ('p', 'f', 'c') GROUP BY contype ORDER BY contype"
    )
    of_table = query(
        "SELECT contype::text, count(*) FROM pg_constraint WHERE conrelid = 'daily_costs'::regclass"
        " AND contype IN ('p', 'f', 'c') GROUP BY contype ORDER BY contype"
    )
    assert kinds == of_table
    assert [kind for kind, _ in kinds] == ["c", "p"]


def test_two_processes_that_make_the_same_months_take_turns(
    database: PostgresDatabase, database_url: str, query: Query
) -> None:
    """The second one finds them there."""
    barrier, errors = Barrier(4), list[Exception]()

    def prepare() -> None:
        own = PostgresDatabase(Secret(database_url))
        with own.connection():
            barrier.wait(20)
        try:
            prepare_months(own, YEAR)
        except Exception as error:  # noqa: BLE001 - any error, the test shows it
            errors.append(error)
        own.close()

    run_all([prepare] * 4)
    assert errors == []
    assert query(PARTITIONS) == OF_YEAR


_OWNERS = "SELECT DISTINCT relowner::regrole::text FROM pg_class WHERE relispartition ORDER BY 1"


@pytest.fixture
def member(database_url: str, query: Query) -> Iterator[PostgresDatabase]:
    """Open the database as a member of the role that owns the tables, whose name needs quotes."""
    query('DROP ROLE IF EXISTS "month""s owner, 100%"')
    query('CREATE ROLE "month""s owner, 100%"')
    for table in (*PARTITIONED, "accounts"):
        query(f'ALTER TABLE {table} OWNER TO "month""s owner, 100%"')
    grant = '"month""s owner, 100%"'
    with database_as("months_member", grant, database_url=database_url, query=query) as member:
        query("GRANT CREATE ON SCHEMA public TO months_member")
        yield member
        query('REASSIGN OWNED BY "month""s owner, 100%" TO postgres')
        query('DROP OWNED BY "month""s owner, 100%"')
    query('DROP ROLE "month""s owner, 100%"')


def test_a_month_belongs_to_the_owner_of_its_table(member: PostgresDatabase, query: Query) -> None:
    """Or the next migration, which that role runs, could not change the month with the table."""
    query('GRANT CREATE ON SCHEMA public TO "month""s owner, 100%"')
    prepare_months(member, YEAR)
    assert query(_OWNERS) == [('"month""s owner, 100%"',)]
    assert query(PARTITIONS) == OF_YEAR


def test_a_month_is_made_also_if_its_owner_may_not_have_it(member: PostgresDatabase, query: Query) -> None:
    """A role that may not create tables is given none; the night needs the month all the same."""
    query("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    prepare_months(member, YEAR)
    assert query(_OWNERS) == [("months_member",)]
    assert query(PARTITIONS) == OF_YEAR


def test_making_a_month_neither_waits_for_a_reader_nor_holds_one_up(
    database: PostgresDatabase, other: PostgresDatabase, database_url: str
) -> None:
    """An analyst's long query continues while the night makes a month, and so does the next one."""
    prepare_months(database)
    count = sa.text("SELECT count(*) FROM daily_costs JOIN accounts ON accounts.id = account_id")
    third = PostgresDatabase(Secret(database_url))
    with other.connection() as reader:
        reader.execute(count)
        begun = monotonic()
        with database.transaction() as tx:
            tx.costs.prepare_months(DateRange(date(2026, 5, 1), date(2026, 6, 1)))
            with third.connection() as late_reader:
                late_reader.execute(sa.text("SET LOCAL lock_timeout = '2s'"))
                late_reader.execute(count)
            reader.execute(count)
        assert monotonic() - begun < 5
    third.close()


def test_a_missing_month_is_refused_by_name(database: PostgresDatabase) -> None:
    """The sentence says that there is no partition; nothing else of the window is stored."""
    prepare_months(database, WINDOW)
    account = add_account(database)
    window = DateRange(date(2026, 3, 30), date(2026, 4, 3))
    rows = [cost_row(30), cost_row(date(2026, 4, 1))]
    with pytest.raises(StatementRefused, match='no partition of relation "daily_costs" found for row'):
        store(database, account, rows, window)
    with database.transaction() as tx:
        assert tx.costs.first_days({account.id: ["USD"]}) == {}


def run_all(actions: list[Callable[[], None]]) -> None:
    """Run actions at once, each in a thread, and wait for them."""
    threads = [Thread(target=action) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
