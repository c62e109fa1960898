"""A simulator in a thread of the test process, and real boto3 clients that talk to it."""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

from costbatch.simulator.client import SimulatorClient
from costbatch.simulator.demo_world import make_account
from costbatch.simulator.server import serving
from costbatch.simulator.simulation import Simulation, utc_now
from costbatch.simulator.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from costbatch.simulator.world import Account

TODAY = date(2026, 3, 15)
ALL_METRICS = ("UnblendedCost", "AmortizedCost", "NetUnblendedCost", "NetAmortizedCost", "UsageQuantity")
BOTH_GROUPS = [{"Type": "DIMENSION", "Key": "SERVICE"}, {"Type": "DIMENSION", "Key": "RECORD_TYPE"}]
TARGET = "AWSInsightsIndexService.GetCostAndUsage"
ONE_ATTEMPT = Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=1)
OPENER = build_opener(ProxyHandler({}))


@dataclass
class Clock:
    """The real time, shifted."""

    offset: timedelta = timedelta(0)

    def now(self) -> datetime:
        """Tell the shifted time."""
        return utc_now() + self.offset


@dataclass(frozen=True)
class Raw:
    """An HTTP answer as it came."""

    status: int
    body: bytes

    def json(self) -> Any:
        """Decode the body."""
        return json.loads(self.body)


@dataclass
class Lab:
    """A running simulator and everything that a test does with it."""

    url: str
    simulation: Simulation
    clock: Clock
    control: SimulatorClient
    session: boto3.Session
    _opened: list[Any] = field(default_factory=list)

    def load(self, *accounts: Account, **settings: Any) -> None:
        """Start a world of these accounts."""
        self.simulation.load(World(accounts=accounts, **{"today": TODAY, **settings}))

    def aws(self, service: str, account: Account, **options: Any) -> Any:
        """Open a boto3 client with an account's access key."""
        arguments = {
            "endpoint_url": self.url,
            "region_name": "us-east-1",
            "aws_access_key_id": account.access_key_id,
            "aws_secret_access_key": account.secret_access_key,
            "config": ONE_ATTEMPT,
            **options,
        }
        client = self.session.client(service, **arguments)
        self._opened.append(client)
        return client

    def ask(self, account: Account, **changes: Any) -> Any:
        """Ask boto3's Cost Explorer client a usual question."""
        return self.aws("ce", account).get_cost_and_usage(**question(**changes))

    def close(self) -> None:
        """Close every client."""
        while self._opened:
            self._opened.pop().close()

    def sign(
        self, account: Account, payload: Any, *, target: str = TARGET, service: str = "ce"
    ) -> AWSRequest:
        """Sign a JSON request without sending it."""
        headers = {"X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.1"}
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        request = AWSRequest("POST", f"{self.url}/", headers=headers, data=data)
        credentials = Credentials(account.access_key_id, account.secret_access_key)
        SigV4Auth(credentials, service, "us-east-1").add_auth(request)
        return request

    def send(self, request: AWSRequest, *, timeout_seconds: float = 5) -> Raw:
        """Send a request as it is."""
        prepared = request.prepare()
        body: Any = prepared.body
        raw = Request(prepared.url, data=body, headers=dict(request.headers.items()), method="POST")
        try:
            with OPENER.open(raw, timeout=timeout_seconds) as response:
                return Raw(response.status, response.read())
        except HTTPError as error:
            with error:
                return Raw(error.code, error.read())


def question(**changes: Any) -> dict[str, Any]:
    """Ask for four days by service and record type; null removes a parameter."""
    usual: dict[str, Any] = {
        "TimePeriod": {"Start": "2026-03-10", "End": "2026-03-14"},
        "Granularity": "DAILY",
        "Metrics": list(ALL_METRICS),
        "GroupBy": BOTH_GROUPS,
    }
    return {name: value for name, value in {**usual, **changes}.items() if value is not None}


@pytest.fixture(name="ask_for")
def ask_for_fixture() -> Any:
    """Build request parameters."""
    return question


@pytest.fixture(scope="session", name="running")
def running_fixture() -> Iterator[Lab]:
    """Serve one simulation from a thread for the whole session."""
    clock = Clock()
    simulation = Simulation(World(accounts=(), today=TODAY), clock=clock.now)
    ready, loop = threading.Event(), asyncio.new_event_loop()
    urls: list[str] = []

    async def serve() -> None:
        async with serving(simulation) as url:
            urls.append(url)
            ready.set()
            await asyncio.Event().wait()

    task = loop.create_task(serve())

    def run() -> None:
        with suppress(asyncio.CancelledError):
            loop.run_until_complete(task)
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(5)
    yield Lab(urls[0], simulation, clock, SimulatorClient(urls[0]), boto3.Session())
    loop.call_soon_threadsafe(task.cancel)
    thread.join(5)


@pytest.fixture(name="account")
def account_fixture() -> Account:
    """Make a steady account with a role."""
    return replace(make_account(111111111111, "first", daily_cost=100.0), services=12, start=date(2024, 1, 1))


@pytest.fixture(name="other")
def other_fixture() -> Account:
    """Make a second account."""
    return replace(make_account(222222222222, "second"), services=5, start=date(2024, 1, 1))


@pytest.fixture(name="lab")
def lab_fixture(running: Lab, account: Account, other: Account) -> Iterator[Lab]:
    """Start the usual two accounts anew for one test."""
    running.clock.offset = timedelta(0)
    running.load(account, other)
    yield running
    running.close()
