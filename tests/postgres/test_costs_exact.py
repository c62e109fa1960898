"""What goes through COPY comes back as it was: amounts to the last digit, names to the last character."""

from decimal import Decimal
from random import Random

import pytest

from costbatch.adapters.postgres import PostgresDatabase
from costbatch.domain.accounts import Account
from costbatch.errors import StatementRefused
from tests.postgres.conftest import Query
from tests.support.database_rows import add_account, cost_row, prepare_months, store


@pytest.fixture
def account(database: PostgresDatabase) -> Account:
    """Register an account, with room for its costs."""
    prepare_months(database)
    return add_account(database)


AMOUNTS = [
    "0",
    "-9.0E-10",
    "9.0E-10",
    "1E+3",
    "-0.000000000000000000000000000001",
    "123456789012345.123456789012345",
    "-999999999999999999.9999999999999999999999999999999999999999",
    "0.1000000000000000055511151231",
]


def test_amounts_are_exact_to_the_last_digit(
    database: PostgresDatabase, account: Account, query: Query
) -> None:
    """Exponents, 15 digits, 30 and more: no binary fraction and no rounding on the way."""
    rows = [cost_row(3, amount, service=f"{n}") for n, amount in enumerate(AMOUNTS)]
    store(database, account, rows)
    found = query("SELECT unblended, amortized FROM daily_costs ORDER BY service")
    assert found == [(Decimal(amount), Decimal(amount)) for amount in AMOUNTS]
    assert store(database, account, rows).changed_dates == frozenset()


def test_a_net_amount_of_zero_is_not_a_missing_one(
    database: PostgresDatabase, account: Account, query: Query
) -> None:
    """AWS's "none" stays NULL, its zero stays zero."""
    store(database, account, [cost_row(3, net_unblended=Decimal(0), net_amortized=None)])
    assert query("SELECT net_unblended, net_amortized FROM daily_costs") == [(Decimal(0), None)]


NAMES = {
    "tab": "a\tb",
    "newline": "a\nb",
    "carriage return": "a\r\nb\r",
    "backslash": "a\\b\\",
    "escape": r"\t\n\N",
    "null marker": r"\N",
    "end marker": r"\.",
    "quotes": "'\"`$$;--",
    "percent": "%s %(x)s %%",
    "spaces": "  a  ",
    "emoji": "🚀☁️👩‍👩‍👧",
    "right to left": "\u202eخدمة אחסון\u200f",
    "decomposed": "e\u0301",
    "300": "x" * 300,
    "1000": "ä" * 1000,
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_names_keep_every_character(
    database: PostgresDatabase, account: Account, query: Query, name: str
) -> None:
    """COPY's own characters, other scripts, long ones: stored as they came, and found again."""
    rows = [cost_row(3, service=name, record_type="Usage"), cost_row(4, service="Usage", record_type=name)]
    assert store(database, account, rows).inserted == 2
    found = query("SELECT service, record_type FROM daily_costs ORDER BY usage_date")
    assert found == [(name, "Usage"), ("Usage", name)]
    assert store(database, account, rows).changed_dates == frozenset()


def test_names_that_look_alike_are_different_services(database: PostgresDatabase, account: Account) -> None:
    """Names are compared byte by byte: case, spaces and composition count."""
    names = ["ec2", "EC2", "ec2 ", "e\u0301c2", "\u00e9c2"]
    assert store(database, account, [cost_row(3, service=name) for name in names]).inserted == len(names)


@pytest.mark.parametrize("length", [1000, 3000])
def test_a_name_too_long_for_the_index_is_this_account_alone(
    database: PostgresDatabase, account: Account, length: int
) -> None:
    """An index row holds 2,704 bytes: the statement is refused, which fails one account, not the run."""
    random = Random(length)
    name = "".join(chr(random.randrange(0x20000, 0x2A000)) for _ in range(length))
    with pytest.raises(StatementRefused, match="index row") as refused:
        store(database, account, [cost_row(3, service=name)])
    assert name[:10] not in str(refused.value)
    assert store(database, account, [cost_row(3)]).inserted == 1


def test_a_character_that_postgresql_lacks_is_refused_without_quoting_it(
    database: PostgresDatabase, account: Account
) -> None:
    """An error inside COPY, where the driver is spoken to directly, is translated like any other."""
    with pytest.raises(StatementRefused, match="refused a statement") as refused:
        store(database, account, [cost_row(3, service="hidden\x00name")])
    assert "hidden" not in str(refused.value)


def test_an_amount_that_is_no_number_is_refused(database: PostgresDatabase, account: Account) -> None:
    """NaN would make every sum NaN."""
    for amount in ("NaN", "Infinity", "-Infinity"):
        with pytest.raises(StatementRefused, match="amounts_are_numbers"):
            store(database, account, [cost_row(3, amount)])
