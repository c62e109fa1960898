"""DATABASE_URL is what libpq says it is: taken whole, refused when the configuration is read, never shown."""

import string
import sys
from contextlib import closing
from pathlib import Path
from subprocess import run
from threading import Timer
from time import monotonic
from urllib.parse import quote

import psycopg2
import pytest
from psycopg2.extensions import parse_dsn

from costbatch.adapters.postgres import PostgresDatabase
from costbatch.config import Settings
from costbatch.config.database_url import OPTIONS
from costbatch.demo.postgres import EmbeddedPostgres
from costbatch.domain.credentials import Secret
from costbatch.errors import ConfigError
from tests.support.harness import Harness, make_account
from tests.support.machine import free_port
from tests.support.slow_servers import relay

PASSWORD = "tOp5ecr3tW0rd"


def taken(text: str) -> dict[str, str]:
    """Return what libpq reads in the value as the settings hand it on."""
    url = Settings.from_environment({"DATABASE_URL": text}).require_database_url()
    return dict(parse_dsn(url.reveal()))


def refused(text: str) -> str:
    """Return the one sentence that a value earns."""
    with pytest.raises(ConfigError) as caught:
        Settings.from_environment({"DATABASE_URL": text})
    (sentence,) = caught.value.problems
    assert sentence.startswith("DATABASE_URL ")
    assert sentence[-1] in ".?"
    return sentence


@pytest.mark.parametrize(
    "rest",
    [
        "//u:p@h/costs",
        "//u:p@h:6432/costs?sslmode=require&connect_timeout=3",
        "//u:p@a:5432,b:5433,c/costs?target_session_attrs=read-write",
        "//u@%2Fvar%2Frun%2Fpostgresql/costs",
        "///costs?host=/var/run/postgresql&user=u",
        "//[::1]:5432/costs",
        "//[2001:db8::1],[2001:db8::2]:5433/costs",
        "//h/costs?options=-csearch_path%3Dcosts%20-cstatement_timeout%3D30s",
        "//h/costs?ssl=true",
        "//h/costs?sslrootcert=system&sslmode=verify-full",
        "//h?dbname=costs&user=u",
        "//u:a?b@h/costs",
    ],
)
@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_what_libpq_takes_is_taken_as_libpq_takes_it(scheme: str, rest: str) -> None:
    """Whatever the name of the scheme, the settings mean what psql would."""
    assert taken(f"{scheme}:{rest}") == parse_dsn(f"postgresql:{rest}")


def test_a_list_of_names_and_values_is_taken() -> None:
    """Libpq's other form: quoted values may hold anything."""
    text = "host=db dbname=costs user=u password='a b@#/%'"
    assert taken(text) == parse_dsn(text)


@pytest.mark.parametrize("letter", [*string.punctuation, " ", "é", "東"])
def test_every_character_of_a_password_comes_through_and_is_masked(letter: str) -> None:
    """Percent-encoded; the redactor knows it as it is written and as it is meant."""
    password = f"{PASSWORD}{letter}{PASSWORD}"
    text = f"postgresql://u:{quote(password, safe='')}@h/costs"
    assert taken(text)["password"] == password
    secrets = {each.reveal() for each in Settings.from_environment({"DATABASE_URL": text}).secrets}
    assert secrets >= {password, quote(password, safe="")}


@pytest.mark.parametrize(
    "userinfo",
    ["u:{}@x", "u:{}/x", "u:x/{}", "u:1/{}", "u:{}#x", "u:{}%zz", "u:{}%", "u:{}%00", "u:{} x", "u:x@{}@y"],
)
def test_a_raw_character_that_breaks_a_password_is_explained_without_it(userinfo: str) -> None:
    """The sentence shows how to write it, and nothing of what was written."""
    sentence = refused(f"postgresql://{userinfo.format(PASSWORD)}@db.example.com/costs")
    assert "%40 for @" in sentence
    assert PASSWORD not in sentence
    assert PASSWORD[:8] not in sentence


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("schema=costs", "the option schema, which"),
        ("schema=costs", "write options=-csearch_path%3DNAME"),
        ("currentSchema=costs", "write options=-csearch_path%3DNAME"),
        ("pgbouncer=true", "pgbouncer"),
        ("connection_limit=1", "belongs to another driver or pool; leave it out"),
        ("pool_size=5", "leave it out"),
        ("sslmod=require", "did you mean sslmode?"),
        ("ssl=yes", "did you mean sslmode=require?"),
        ("SSLMODE=require", "did you mean sslmode?"),
        ("statement_timeout=5", "write options=-cstatement_timeout%3D… instead"),
        ("connectTimeout=5", "did you mean connect_timeout?"),
        ("sslmode=bogus", "sslmode='bogus'; it must be one of disable, allow"),
        ("sslmode=verify_full", "did you mean verify-full?"),
        ("target_session_attrs=rw", "must be one of any, read-write"),
        ("channel_binding=yes", "must be one of disable, prefer, require"),
        ("connect_timeout=abc", "connect_timeout='abc'; it must be a whole number"),
        ("connect_timeout=", "connect_timeout=''; it must be a whole number"),
        ("connect_timeout=1.5", "must be a whole number"),
        ("keepalives_idle=99999999999", "must be a whole number"),
        ("sslrootcert=/no/such/ca.pem", "as sslrootcert that cannot be read: /no/such/ca.pem: No such file"),
        ("sslcert=/no/such/c.pem", "as sslcert that cannot be read"),
        ("sslkey=/no/such/k.pem", "as sslkey that cannot be read"),
        ("passfile=/no/such/pgpass", "as passfile that cannot be read"),
        ("port=5432,5433,5434", "3 ports for 1 hosts"),
        ("port=0", "a port that is not a number from 1 to 65535"),
        ("sslmode", "not written as NAME=VALUE"),
        ("a=b=c", "not written as NAME=VALUE"),
    ],
)
def test_an_option_that_libpq_would_refuse_is_named_when_it_is_read(options: str, words: str) -> None:
    """Also what libpq itself notices only when it connects; the likely right one is named."""
    sentence = refused(f"postgresql://u:{PASSWORD}@h/costs?{options}")
    assert words in sentence
    assert PASSWORD not in sentence


@pytest.mark.parametrize(
    "text",
    [
        "mysql://u:{}@h/costs",
        "postgresql+asyncpg://u:{}@h/costs",
        "jdbc:postgresql://u:{}@h/costs",
        "postgresql://u:{}@h",
        "postgresql://u:{}@h:99999/costs",
        "postgresql://u:{}@[::1/costs",
        "host=h password='{}",
        "host=h dbname=costs password={} schema=x",
        "{}",
        "postgresql://u:{}@h/costs\udcff",
    ],
)
def test_anything_else_is_one_sentence_without_the_password(text: str) -> None:
    """Wrong usage, exit status 2 at the command line."""
    assert PASSWORD not in refused(text.format(PASSWORD))


def test_the_options_that_are_suggested_exist() -> None:
    """Libpq knows each of them."""
    for name in OPTIONS:
        assert name in parse_dsn(f"postgresql://h/costs?{name}=1")


def test_help_does_not_wait_for_the_driver() -> None:
    """It takes a while to load, which `costbatch --help` does not pay."""
    script = "import sys, costbatch.cli; costbatch.cli.cli(['--help'], standalone_mode=False);"
    script += "sys.exit('psycopg2' in sys.modules)"
    done = run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, "Usage:" in done.stdout) == (0, True)


def test_what_the_url_says_wins_over_our_defaults(database_url: str) -> None:
    """The rest keeps its default; names are UTF-8 whatever it says."""
    url = (
        f"{database_url}&connect_timeout=7&application_name=finops&keepalives_idle=33&tcp_user_timeout=5000"
        "&options=-cstatement_timeout%3D12345&client_encoding=latin1"
    )
    database = PostgresDatabase(Secret(url))
    with closing(database), database.connection() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        given = driver.get_dsn_parameters()
        assert connection.exec_driver_sql("SHOW statement_timeout").scalar() == "12345ms"
        assert connection.exec_driver_sql("SHOW client_encoding").scalar() == "UTF8"
    expected = {
        "connect_timeout": "7",
        "application_name": "finops",
        "keepalives_idle": "33",
        "tcp_user_timeout": "5000",
        "keepalives_count": "2",
    }
    assert {name: given[name] for name in expected} == expected


def socket_of(postgres: EmbeddedPostgres) -> str:
    """Return the path of the server's socket."""
    return f"{parse_dsn(postgres.url())['host']}/.s.PGSQL.5432"


def test_several_hosts_each_with_its_port_are_tried_in_turn(postgres: EmbeddedPostgres) -> None:
    """The first is not there, the second is the one."""
    with relay(socket_of(postgres), wakes_after_seconds=0) as port:
        hosts = f"127.0.0.1:{free_port()},127.0.0.1:{port}"
        database = PostgresDatabase(Secret(f"postgresql://postgres@{hosts}/postgres"))
        with closing(database), database.connection() as connection:
            assert connection.exec_driver_sql("SELECT 1").scalar() == 1


def test_why_each_of_several_hosts_does_not_answer_is_said() -> None:
    """One sentence that names them all."""
    ports = (free_port(), free_port())
    url = f"postgresql://u:{PASSWORD}@127.0.0.1:{ports[0]},127.0.0.1:{ports[1]}/costs"
    database = PostgresDatabase(Secret(url))
    with pytest.raises(Exception, match=f"port {ports[0]} failed: .*port {ports[1]} failed: ") as caught:
        database.check_schema()
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize("first", ["", "127.0.0.1:{closed},"])
def test_a_database_that_takes_15_seconds_to_wake_up_works(postgres: EmbeddedPostgres, first: str) -> None:
    """A serverless one takes the connection and answers later, also as the second of two hosts."""
    with relay(socket_of(postgres), wakes_after_seconds=15) as port:
        hosts = first.format(closed=free_port()) + f"127.0.0.1:{port}"
        database = PostgresDatabase(Secret(f"postgresql://postgres@{hosts}/postgres"))
        begun = monotonic()
        with closing(database), database.connection() as connection:
            assert connection.exec_driver_sql("SELECT 1").scalar() == 1
    assert monotonic() - begun > 14


def test_a_run_waits_for_a_database_that_refuses_until_it_is_awake(harness: Harness, tmp_path: Path) -> None:
    """The way to it opens seconds after the run has begun."""
    harness.open(make_account(1))
    folder = parse_dsn(harness.database_url)["host"]
    name = parse_dsn(harness.database_url)["dbname"]
    waking = tmp_path / ".s.PGSQL.5432"
    Timer(3, waking.symlink_to, [f"{folder}/.s.PGSQL.5432"]).start()
    finished = harness.collect(DATABASE_URL=f"postgresql://postgres@/{name}?host={tmp_path}")
    assert finished.status == 0
    assert finished.logs("database_unavailable")


@pytest.mark.parametrize(
    ("name", "value"),
    [("PGSSLMODE", "bogus"), ("PGPORT", "abc"), ("PGSERVICE", "no-such-service")],
)
def test_a_wrong_variable_of_libpq_is_wrong_configuration(
    postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """What libpq refuses before it reaches a server no retry can help; its own values are not quoted."""
    monkeypatch.setenv(name, value)
    with pytest.raises(psycopg2.OperationalError):
        psycopg2.connect(postgres.url())
    database = PostgresDatabase(Secret(postgres.url()))
    with closing(database), pytest.raises(ConfigError, match="PG… variable") as caught:
        database.check_schema()
    assert value not in str(caught.value)
