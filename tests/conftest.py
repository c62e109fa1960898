"""Fixtures for all tests: a clean environment, and on request a PostgreSQL with the real schema."""

import gc
import importlib
import os
import pkgutil
import signal
from collections.abc import Generator, Iterator
from datetime import date
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import sqlalchemy as sa
from botocore import hooks
from botocore.hooks import EventAliaser
from botocore.loaders import JSONFileLoader
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2
from sqlalchemy.util import LRUCache

import costbatch
from costbatch import logs
from costbatch.adapters.postgres import PostgresDatabase
from costbatch.adapters.postgres.migrations import Schema
from costbatch.demo.postgres import EmbeddedPostgres, embedded_postgres
from costbatch.domain.credentials import Secret
from costbatch.domain.periods import DateRange
from tests.support.databases import copied_database, database_folder, execute
from tests.support.harness import aws
from tests.support.logs import reset_logs

__all__ = ["aws"]

_OURS = ("AWS_", "COSTBATCH_", "DATABASE_URL", "ENCRYPTION_KEY", "PUSHGATEWAY_URL", "REQUESTS_CA_BUNDLE")
# The history that most tests collect: to create its partitions anew is a third of a small run.
_USUAL_DAYS = DateRange(date(2024, 2, 1), date(2025, 4, 1))
# Measuring coverage costs a third more CPU, up to twice as much in a loop, and these reach few lines that the
# others do not,
_UNMEASURED = (
    "chaos",
    "chart",
    "image",
    "regressions",
    "aws/simulator/test_simulator_process.py",
    "aws/test_aws_anomalies.py",
    "aws/test_aws_causes.py",
    "aws/test_aws_cost_explorer.py",
    "contract/test_item_store.py",
    "contract/test_sinks.py",
    "e2e/test_account_kinds.py",
    "e2e/test_bad_input.py",
    "e2e/test_detectors.py",
    "e2e/test_doctor.py",
    "e2e/test_events.py",
    "e2e/test_exit_statuses.py",
    "e2e/test_faults.py",
    "e2e/test_judging.py",
    "e2e/test_known_days.py",
    "e2e/test_late_data.py",
    "e2e/test_metrics.py",
    "e2e/test_options.py",
    "e2e/test_promises.py",
    "e2e/test_retention.py",
    "e2e/test_root_causes.py",
    "postgres/test_constraints.py",
    "postgres/test_cost_dashboard.py",
    "postgres/test_delivery.py",
    "postgres/test_discovery.py",
    "postgres/test_migrations.py",
    "postgres/test_query_plans.py",
    "postgres/test_retention_interrupted.py",
    "postgres/test_run_items_races.py",
    "test_architecture.py",
    "test_docs.py",
    "test_map.py",
    "unit/adapters/test_aws_parse_damaged.py",
    "unit/adapters/test_sinks.py",
    "unit/application/test_detect_adaptive.py",
    "unit/application/test_detect_replay.py",
    "unit/application/test_writer.py",
    "unit/domain/test_adaptive_memory.py",
    "unit/domain/test_answers.py",
)
# except by these files.
_MEASURED = ("test_database_url.py", "test_pod_environment.py", "test_weak_keys.py")


def pytest_configure() -> None:
    """Collect garbage seldom, log plainly, and let what tests start end on Ctrl-C.

    What is imported and collected is so large that looking for garbage takes a fifth of the CPU. A background
    job of a shell ignores Ctrl-C, and so do its children.
    """
    gc.set_threshold(50_000, 20, 100)
    reset_logs()
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Never look at what was collected again."""
    gc.freeze()


def pytest_xdist_auto_num_workers() -> int:
    """Run one more than there are processors: some tests mostly wait, and each process collects all tests."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Measure the coverage of imports, but not of collecting the tests, which takes ten seconds of CPU."""
    coverage = _coverage(session.config)
    if coverage:
        for module in pkgutil.walk_packages(costbatch.__path__, "costbatch."):
            importlib.import_module(module.name)
        coverage.pause()
    return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> None:
    """Measure coverage only where it brings lines."""
    coverage = _coverage(item.config)
    if not coverage or coverage.started == _is_measured(item.path):
        return
    if coverage.started:
        coverage.pause()
        # By this coverage finds its configuration in a child.
        del os.environ["COVERAGE_PROCESS_CONFIG"]
    else:
        coverage.resume()


@cache
def _is_measured(path: Path) -> bool:
    is_in_them = any(path.is_relative_to(Path(__file__).parent / name) for name in _UNMEASURED)
    return not is_in_them or path.name in _MEASURED


def _coverage(config: pytest.Config) -> Any:
    """Return what measures coverage in a process that runs tests, or None."""
    plugin = config.pluginmanager.getplugin("_cov")
    runs_tests = hasattr(config, "workerinput") or not config.getoption("numprocesses", None)
    return plugin.cov_controller if plugin and runs_tests else None


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep this machine's AWS and costbatch settings out of every test, and the secrets of others."""
    # What one test registers as a secret would be masked in the texts of the next.
    monkeypatch.setattr(logs, "_secrets", {})
    for name in list(os.environ):
        if name.startswith(_OURS):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture(scope="session", autouse=True)
def _prepare_botocore_once() -> Iterator[None]:
    """Keep what botocore finds out anew for each session and client: a quarter of a small run's CPU."""
    load_file = JSONFileLoader.load_file
    alias = EventAliaser._alias_event_name  # type: ignore[attr-defined] # the stubs know public names only
    files: dict[str, Any] = {}
    names: dict[str, str] = {}
    takes_any = lru_cache(1000)(hooks.accepts_kwargs)

    def load_once(loader: JSONFileLoader, path: str) -> Any:
        if files.get(path) is None:
            files[path] = load_file(loader, path)
        return files[path]

    def alias_once(aliaser: EventAliaser, name: str) -> str:
        if name not in names:
            names[name] = alias(aliaser, name)
        return names[name]

    with (
        mock.patch.object(JSONFileLoader, "load_file", load_once),
        mock.patch.object(EventAliaser, "_alias_event_name", alias_once),
        # By function, so that no method keeps its client alive.
        mock.patch.object(hooks, "accepts_kwargs", lambda one: takes_any(getattr(one, "__func__", one))),
    ):
        yield


@pytest.fixture(scope="session", autouse=True)
def _compile_statements_once() -> Iterator[None]:
    """Share what SQLAlchemy compiles between the engines of all tests: a third of a small run's CPU."""
    options = {"compiled_cache": LRUCache[Any, Any](1000)}
    with (
        mock.patch.object(sa, "create_engine", partial(sa.create_engine, execution_options=options)),
        # The dialect is part of the cache's key, and each engine has its own.
        mock.patch.object(PGDialect_psycopg2, "__hash__", lambda dialect: hash(type(dialect))),
        mock.patch.object(PGDialect_psycopg2, "__eq__", lambda one, other: type(one) is type(other)),
    ):
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """Run one PostgreSQL server for all tests of this process."""
    with database_folder() as folder, embedded_postgres(folder) as server:
        _forgo_durability(server)
        yield server


def _forgo_durability(server: EmbeddedPostgres) -> None:
    """Let the server skip what makes data outlive a power cut and years: no test's do."""
    settings = ("fsync", "synchronous_commit", "full_page_writes", "autovacuum")
    execute(server, *(f"ALTER SYSTEM SET {setting} = off" for setting in settings))
    execute(server, "SELECT pg_reload_conf()")


@pytest.fixture(scope="session")
def migrated(postgres: EmbeddedPostgres) -> str:
    """Migrate a database once, for every test to copy."""
    name = "costbatch_migrated"
    database = PostgresDatabase(Secret(postgres.create_database(name)))
    Schema(database.connection).upgrade()
    database.close()
    return name


@pytest.fixture(scope="session")
def template(postgres: EmbeddedPostgres, migrated: str) -> str:
    """Return a migrated database with partitions for the days that most tests collect."""
    name = "costbatch_template"
    execute(postgres, f"CREATE DATABASE {name} TEMPLATE {migrated}")
    database = PostgresDatabase(Secret(postgres.url(name)))
    with database.transaction() as tx:
        tx.costs.prepare_months(_USUAL_DAYS)
    database.close()
    return name


@pytest.fixture
def empty_database_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """Return the URL of a database without tables."""
    with copied_database(postgres) as url:
        yield url


@pytest.fixture
def database_url(postgres: EmbeddedPostgres, template: str) -> Iterator[str]:
    """Return the URL of a migrated database of this test's own; what it commits is really committed."""
    with copied_database(postgres, template) as url:
        yield url


@pytest.fixture
def database(database_url: str) -> Iterator[PostgresDatabase]:
    """Open this test's database."""
    database = PostgresDatabase(Secret(database_url))
    yield database
    database.close()
