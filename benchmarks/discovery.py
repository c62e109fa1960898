"""What nights of discovery cost: the first, an unchanged one, one with some changes; and a large account.

Everything is the program's own but the source, which makes resources up instead of asking AWS: what is
measured is the comparison, the writer and PostgreSQL. Each night runs in a process of its own.
"""

import argparse
import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path

import psycopg2
from typing_extensions import override

from benchmarks.storage_server import running_server
from costbatch import logs
from costbatch.adapters.postgres import PostgresDatabase
from costbatch.adapters.postgres.migrations import Schema
from costbatch.application.discover.job import DiscoverJob
from costbatch.application.discover.ports import ResourceSource
from costbatch.application.jobs.policy import RunPolicy
from costbatch.application.jobs.runner import Runner
from costbatch.domain.accounts import AccessMethod, Account, NewAccount
from costbatch.domain.credentials import Access, Secret
from costbatch.domain.discovery import DiscoverOptions
from costbatch.domain.resources import Inventory, RegionList, Resource, SourceChoice
from costbatch.domain.routing import Route
from costbatch.domain.runs import RunStatus

_START = datetime(2026, 3, 10, 7, 30, tzinfo=UTC)
_REGIONS = tuple(f"region-{number}" for number in range(1, 18))
_CONCURRENCY = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """What one night is asked to do. changed: of so many resources one has another tag."""

    url: str
    number: int
    accounts: int
    regions: int
    resources: int
    changed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a night took."""

    resources: int
    wall_seconds: float
    client_seconds: float
    wal_mb: float
    peak_mb: float


@dataclass(frozen=True, slots=True)
class _MadeUp(ResourceSource):
    """Resources with four tags each, as many in every region."""

    night: Night

    @override
    def find(self, access: Access, choice: SourceChoice) -> Inventory:
        night, regions = self.night, _REGIONS[: self.night.regions]
        found = (
            Resource.parse(
                f"arn:aws:ec2:{region}:{access.account.aws_account_id}:instance/i-{number:017x}",
                {
                    "Name": f"web-{number}",
                    "Owner": "platform",
                    "Stage": "production",
                    "CostCenter": "new" if night.changed and number % night.changed == 0 else "4711",
                },
                asked_region=region,
            )
            for region in regions
            for number in range(night.resources)
        )
        return Inventory.of(SourceChoice.TAGGING, found, read=regions, failed={})

    @override
    def check(self, access: Access, choice: SourceChoice) -> RegionList:
        return RegionList(_REGIONS[: self.night.regions])


class _Silent:
    """Shows nothing."""

    def begin(self, total: int) -> None:
        """Do nothing."""

    def advance(self, outcome: str, account: Account) -> None:
        """Do nothing."""

    def end(self) -> None:
        """Do nothing."""


def discover(night: Night) -> Figures:
    """Discover every account in this process."""
    logs.configure("error", "json", sys.stderr)
    job = DiscoverJob(source=_MadeUp(night), choice=SourceChoice.AUTO, expected_regions=frozenset())
    policy = RunPolicy(
        concurrency=_CONCURRENCY,
        lease=timedelta(minutes=5),
        retry_pause=timedelta(0),
        grace=timedelta(seconds=25),
        routes=(Route("log"),),
        version="1",
    )
    runner = Runner(
        job=job,
        database=PostgresDatabase(Secret(night.url)),
        clock=lambda: _START + timedelta(days=night.number),
        policy=policy,
        display=_Silent(),
        worker="benchmark",
        is_gone=lambda _: False,
    )
    before, began, cpu = _wal(night.url), time.monotonic(), time.process_time()
    run = runner.run(f"night-{night.number}", DiscoverOptions().to_request())
    assert run.status is RunStatus.COMPLETED
    return Figures(
        resources=night.accounts * night.regions * night.resources,
        wall_seconds=round(time.monotonic() - began, 2),
        client_seconds=round(time.process_time() - cpu, 2),
        wal_mb=round((_wal(night.url) - before) / 1e6, 3),
        peak_mb=_peak_mb(),
    )


def _peak_mb() -> float:
    """Return this process's peak memory; getrusage would tell that of the process that started it."""
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return round(int(line.split()[1]) / 1024, 1)


def _wal(url: str) -> int:
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")
            row = cursor.fetchone()
            assert row is not None
            return int(row[0])
    finally:
        connection.close()


def _apart(night: Night) -> Figures:
    """Discover in a process of its own, so that its memory is that of this night."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(discover, night).result()


def _database(url: str, name: str, accounts: int) -> str:
    """Return a new database with accounts that the pod's identity reaches."""
    connection = psycopg2.connect(url)
    connection.autocommit = True
    connection.cursor().execute(f"CREATE DATABASE {name}")
    connection.close()
    own = url.replace("/postgres?", f"/{name}?")
    database = PostgresDatabase(Secret(own))
    Schema(database.connection).upgrade()
    with database.transaction() as tx:
        for number in range(accounts):
            new = NewAccount(
                aws_account_id=f"{number:012}", name=f"account-{number}", access=AccessMethod.POD_IDENTITY
            )
            tx.accounts.add(new, now=_START)
    database.close()
    return own


def measure(accounts: int, regions: int, resources: int, large: int, *, changed: bool) -> dict[str, Figures]:
    """Measure the nights of these accounts, an unchanged night of a quarter of them, and a large account.

    changed: also a night on which one resource in a hundred has changed.
    """
    size = {"regions": regions, "resources": resources}
    with running_server() as url:
        many = _database(url, "many", accounts)
        few = _database(url, "few", max(accounts // 4, 1))
        one = _database(url, "one", 1)
        figures = {
            "first": _apart(Night(url=many, number=1, accounts=accounts, **size)),
            "unchanged": _apart(Night(url=many, number=2, accounts=accounts, **size)),
        }
        if changed:
            night = Night(url=many, number=3, accounts=accounts, changed=100, **size)
            figures["one_in_100_changed"] = _apart(night)
        quarter = max(accounts // 4, 1)
        _apart(Night(url=few, number=1, accounts=quarter, **size))
        figures["unchanged_of_a_quarter"] = _apart(Night(url=few, number=2, accounts=quarter, **size))
        figures["large_account"] = _apart(Night(url=one, number=1, accounts=1, regions=1, resources=large))
    return figures


def main() -> None:
    """Measure and print, and write the figures to a file if one is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=60)
    parser.add_argument("--regions", type=int, default=17)
    parser.add_argument("--resources", type=int, default=300, help="in each region")
    parser.add_argument("--large", type=int, default=100_000, help="resources of the large account")
    parser.add_argument("--output", type=Path)
    asked = parser.parse_args()
    figures = measure(asked.accounts, asked.regions, asked.resources, asked.large, changed=True)
    document = {name: asdict(each) for name, each in figures.items()}
    document["ratios"] = {
        "wal_unchanged": round(figures["unchanged"].wal_mb / figures["first"].wal_mb, 5),
        "memory": round(figures["unchanged"].peak_mb / figures["unchanged_of_a_quarter"].peak_mb, 3),
    }
    text = json.dumps(document, indent=2)
    print(text)
    if asked.output:
        asked.output.parent.mkdir(parents=True, exist_ok=True)
        asked.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
