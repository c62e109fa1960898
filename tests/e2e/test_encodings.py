"""A database that cannot hold every name is refused before anything is made in it."""

from collections.abc import Iterator
from itertools import count

import psycopg2
import pytest

from costbatch.demo.postgres import EmbeddedPostgres
from tests.support.harness import Harness

_numbers = count(1)


@pytest.fixture
def execute(postgres: EmbeddedPostgres) -> Iterator[psycopg2.extensions.cursor]:
    """Return what runs statements on the server."""
    connection = psycopg2.connect(postgres.url())
    connection.autocommit = True
    with connection.cursor() as cursor:
        yield cursor
    connection.close()


@pytest.fixture(params=["SQL_ASCII", "LATIN1", "EUC_JP"])
def encoding(request: pytest.FixtureRequest) -> str:
    """Return an encoding: one that checks nothing, and two that lack letters."""
    return str(request.param)


@pytest.fixture
def url(encoding: str, postgres: EmbeddedPostgres, execute: psycopg2.extensions.cursor) -> str:
    """Make a database with the encoding and return its URL."""
    name = f"encoded_{next(_numbers)}"
    execute.execute(
        f"CREATE DATABASE {name} ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
    )
    return postgres.url(name)


def test_an_upgrade_is_refused_with_the_encoding_and_what_to_do(
    harness: Harness, url: str, encoding: str
) -> None:
    """Status 2, one sentence, and no table: a retry of the hook cannot help."""
    run = harness.run("db", "upgrade", DATABASE_URL=url)

    name = url.partition("@/")[2].partition("?")[0]
    assert (run.status, run.stdout) == (2, "")
    assert " ".join(run.sentences) == (
        f"The database {name} has the encoding {encoding}, in which not every name of a service or an "
        "account can be stored exactly. Create a database with ENCODING 'UTF8' TEMPLATE template0, and "
        "set DATABASE_URL to it."
    )
    assert run.stderr.count("\n") == 1
    assert Harness(harness.aws, url).contents() == {}


def test_the_doctor_names_the_encoding(harness: Harness, url: str, encoding: str) -> None:
    """Status 2: somebody has to make another database."""
    run = harness.run("doctor", "--output", "json", DATABASE_URL=url)

    check = next(each for each in run.summary["checks"] if each["name"] == "database")
    assert (run.status, check["status"]) == (2, "failure")
    assert f"The database's encoding is {encoding}," in check["found"]
    assert "ENCODING 'UTF8'" in check["advice"]


def test_what_the_sentence_says_to_do_helps(
    harness: Harness, postgres: EmbeddedPostgres, execute: psycopg2.extensions.cursor
) -> None:
    """The words can be copied into a statement, whatever the server's own encoding is."""
    name = f"encoded_{next(_numbers)}"
    execute.execute(f"CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0")

    assert harness.run("db", "upgrade", DATABASE_URL=postgres.url(name)).status == 0
