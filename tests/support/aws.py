"""HTTP servers that stand for AWS, and our own client in front of them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.request import ProxyHandler, Request, build_opener

import botocore.endpoint
import pytest

from costbatch.adapters.aws.clients import AwsClients, AwsSettings
from costbatch.adapters.aws.cost_explorer.source import CostExplorerSource
from costbatch.adapters.aws.credentials import Identities
from costbatch.adapters.aws.inventory.source import AwsResourceSource
from costbatch.adapters.aws.rate_limiter import RateLimiter
from costbatch.adapters.vault import AesGcmVault
from costbatch.application.jobs.budget import ApiBudget, Meter
from costbatch.domain.accounts import AccessMethod, Account, AccountStatus
from costbatch.domain.credentials import Access, AccessKeys, Secret, StoredSecrets
from costbatch.domain.periods import DateRange
from costbatch.simulator.client import SimulatorProcess
from costbatch.simulator.world import Account as SimulatedAccount
from costbatch.simulator.world import CostRow, Role, World
from tests.support.machine import free_port, unmeasured_children

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ACCOUNTS = 200
WINDOW = DateRange(date(2024, 3, 1), date(2024, 3, 4))
ROLE = "costs"
EXTERNAL_ID = "the-agreed-external-id"
OPENER = build_opener(ProxyHandler({}))


def account_id(number: int) -> str:
    """Return the id of a simulated account."""
    return f"{100_000_000_000 + number}"


def service_rows(number: int) -> tuple[CostRow, ...]:
    """Return cost that tells which account it is: its number is the amount of each of four services."""
    amount = Decimal(number) + Decimal("0.0000000001")
    return tuple(
        CostRow(day, f"Service {n}", "Usage", amount, amount, amount, amount, usage=Decimal(n))
        for day in (WINDOW.start, WINDOW.last)
        for n in range(4)
    )


def simulated_account(number: int) -> SimulatedAccount:
    """Return an account with a key, cost of its own and a role."""
    return SimulatedAccount(
        account_id=account_id(number),
        name=f"account {number}",
        access_key_id=f"AKIASIMULATED{number:07d}",
        secret_access_key=f"secret+of/account{number:024d}",
        rows=service_rows(number),
        roles=(Role(name=ROLE, external_id=EXTERNAL_ID),),
    )


@dataclass
class Harness:
    """Our client in front of one server, with a vault and a count of what was spent."""

    vault: AesGcmVault = field(default_factory=lambda: AesGcmVault(bytes(range(32))))
    spend: Meter = field(default_factory=lambda: Meter(ApiBudget()))

    @property
    def requests(self) -> int:
        """How many requests AWS charges, or may have charged."""
        self.spend.close()
        return self.spend.requests

    def clients(self, **settings: Any) -> AwsClients:
        """Return clients with short timeouts."""
        usual: dict[str, Any] = {
            "version": "0.0.0",
            "connect_timeout_seconds": 1.0,
            "read_timeout_seconds": 5.0,
            "max_attempts": 3,
        }
        return AwsClients(AwsSettings(**{**usual, **settings}))

    def source(self, **settings: Any) -> CostExplorerSource:
        """Return a source of costs."""
        clients = self.clients(**settings)
        return CostExplorerSource(
            clients=clients, identities=Identities(clients=clients, open_sealed=self.vault.open)
        )

    def resources(
        self, *, regions: Sequence[str] = (), page_limit: int = 500, **settings: Any
    ) -> AwsResourceSource:
        """Return a source of resources."""
        clients = self.clients(**settings)
        identities = Identities(clients=clients, open_sealed=self.vault.open)
        return AwsResourceSource(
            clients=clients, identities=identities, regions=regions, page_limit=page_limit
        )

    def account(self, aws_account_id: str, access: AccessMethod, **fields: Any) -> Account:
        """Return an account row."""
        return Account(
            id=fields.pop("id", int(aws_account_id)),
            aws_account_id=aws_account_id,
            name="an account",
            status=AccountStatus.ACTIVE,
            access=access,
            **fields,
        )

    def keys(self, aws_account_id: str, access_key_id: str, secret_access_key: str) -> Access:
        """Return access by an access key."""
        keys = AccessKeys(access_key_id=Secret(access_key_id), secret_access_key=Secret(secret_access_key))
        account = self.account(aws_account_id, AccessMethod.ACCESS_KEYS)
        return Access(
            account=account, sealed=self.vault.seal(aws_account_id, StoredSecrets(access_keys=keys))
        )

    def simulated_keys(self, number: int) -> Access:
        """Return access to a simulated account by its key."""
        account = simulated_account(number)
        return self.keys(account.account_id, account.access_key_id, account.secret_access_key)

    def role(
        self, aws_account_id: str, *, base: Access | None, external_id: str | None = EXTERNAL_ID
    ) -> Access:
        """Return access by an assumed role."""
        account = self.account(
            aws_account_id,
            AccessMethod.ASSUMED_ROLE,
            role_arn=f"arn:aws:iam::{aws_account_id}:role/{ROLE}",
            base_account_id=base.account.id if base else None,
        )
        secrets = StoredSecrets(external_id=Secret(external_id) if external_id else None)
        return Access(account=account, sealed=self.vault.seal(aws_account_id, secrets), base=base)


@pytest.fixture(scope="session", autouse=True)
def _clean_environment() -> Iterator[None]:
    """Take the machine's own AWS configuration away; loopback needs no proxy."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            patch.setenv(name, os.devnull)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("NO_PROXY", "127.0.0.1")
        patch.setenv("no_proxy", "127.0.0.1")
        yield


@pytest.fixture(autouse=True)
def _no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let attempts follow each other at once; how long they wait is the business of a few tests only."""
    monkeypatch.setattr(botocore.endpoint, "time", SimpleNamespace(sleep=lambda _seconds: None))
    monkeypatch.setattr(RateLimiter, "seconds_left", lambda _self, _request: 0.0)


@pytest.fixture(scope="session")
def simulator_process(_clean_environment: None) -> Iterator[SimulatorProcess]:
    """Start a simulator with accounts that can be told apart, three groups on a page."""
    with ExitStack() as exits:
        with unmeasured_children():
            simulator = exits.enter_context(SimulatorProcess(_world()))
        yield simulator


def _world() -> World:
    accounts = tuple(simulated_account(number) for number in range(1, ACCOUNTS + 1))
    return World(accounts=accounts, today=date(2024, 3, 20), page_size=3)


@pytest.fixture
def simulator(
    simulator_process: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SimulatorProcess]:
    """Point boto3 to the simulator, without faults and with its ledger at zero."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", simulator_process.url)
    simulator_process.reset_requests()
    yield simulator_process
    simulator_process.clear_faults()


@pytest.fixture
def changed_simulator(simulator: SimulatorProcess) -> Iterator[SimulatorProcess]:
    """Let a test change the accounts of the simulator, which other tests share."""
    yield simulator
    simulator.replace_world(_world())


@pytest.fixture
def aws() -> Harness:
    """Return our side."""
    return Harness()


@pytest.fixture(scope="session")
def moto_url(_clean_environment: None) -> Iterator[str]:
    """Start moto's server, an AWS stand-in that is not of our making."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with unmeasured_children():
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    try:
        _wait_until_it_serves(f"{url}/moto-api/data.json")
        yield url
    finally:
        process.terminate()
        process.wait(10)


def _wait_until_it_serves(url: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            OPENER.open(url, timeout=2).close()
        except URLError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


@pytest.fixture
def moto(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Point boto3 to moto, service by service, and forget what earlier tests left there."""
    for service in ("COST_EXPLORER", "STS", "EC2", "RESOURCE_GROUPS_TAGGING_API"):
        monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", moto_url)
    OPENER.open(Request(f"{moto_url}/moto-api/reset", method="POST"), timeout=5).close()
    return moto_url
