"""Generated worlds: for the demonstration and for load tests."""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from datetime import date, timedelta
from hashlib import blake2b
from typing import TYPE_CHECKING

from costbatch.simulator.regions import DEFAULT_REGIONS
from costbatch.simulator.world import Account, Anomaly, Burst, Explorer, Fault, Role, World

if TYPE_CHECKING:
    from collections.abc import Iterator

EVERY_OPERATION = "*"
HUB_ID = "100000000001"
EXTERNAL_ID = "costbatch-demo"
ROLE_NAME = "CostbatchReader"
LOAD_VARIANTS = 32
FIRST_LOAD_ID = 200_000_000_000
LONG_AGO = 500


@dataclass(frozen=True, slots=True)
class Keys:
    """An access key."""

    access_key_id: str
    secret_access_key: str


def keys_of(account_id: str, seed: int) -> Keys:
    """Derive the access key of an account; the same seed always gives the same one."""
    digest = blake2b(f"{seed}|keys|{account_id}".encode(), digest_size=40).digest()
    return Keys(
        access_key_id="AKIA" + base64.b32encode(digest[:10]).decode(),
        secret_access_key=base64.b64encode(digest[10:]).decode(),
    )


def make_account(number: int, name: str, *, seed: int = 1, daily_cost: float = 100.0) -> Account:
    """Make a plain account; vary it with `dataclasses.replace`."""
    account_id = f"{number:012d}"
    keys = keys_of(account_id, seed)
    return Account(
        account_id=account_id,
        name=name,
        access_key_id=keys.access_key_id,
        secret_access_key=keys.secret_access_key,
        daily_cost=daily_cost,
    )


def load_world(
    n: int,
    services: int = 25,
    days: int = 30,
    *,
    seed: int = 1,
    today: date | None = None,
    resources: int = 300,
) -> World:
    """Make n uniform accounts for load; `days` before today have cost, each with `services` groups.

    Each has up to `resources` resources of its own, over 17 regions. The accounts share a few cost histories
    so that the generator of load spends its time on answering.
    """
    start = date(2020, 1, 1) if today is None else today - timedelta(days=days)
    return World(
        accounts=tuple(
            replace(_load_account(number, services, start=start, seed=seed), resources=resources)
            for number in range(n)
        ),
        seed=seed,
        today=today,
    )


def _load_account(number: int, services: int, *, start: date, seed: int) -> Account:
    account = make_account(FIRST_LOAD_ID + number, f"load-{number:05d}", seed=seed)
    variant = number % LOAD_VARIANTS
    return replace(
        account,
        services=services,
        profile="uniform",
        start=start,
        daily_cost=50.0 + 25.0 * variant,
        costs_like=f"load-variant-{variant}",
    )


def demo_world(today: date, seed: int = 1) -> World:
    """Make the demonstration's accounts: every shape of cost and every kind of failure at least once."""
    accounts = [*_healthy(), *_anomalous(today), *_unusual(today), *_troubled()]
    numbered = (
        _numbered(account, place + 1, seed=seed, today=today) for place, account in enumerate(accounts)
    )
    return World(accounts=tuple(numbered), seed=seed, today=today, management_account_id=HUB_ID)


def _numbered(account: Account, place: int, *, seed: int, today: date) -> Account:
    account_id = f"{100_000_000_000 + place:012d}"
    keys = keys_of(account_id, seed)
    return replace(
        account,
        account_id=account_id,
        access_key_id=keys.access_key_id,
        secret_access_key=keys.secret_access_key,
        start=account.start if account.start > date.min else today - timedelta(days=LONG_AGO),
    )


def _account(
    name: str,
    daily_cost: float,
    services: int = 12,
    profile: str = "steady",
    *,
    anomalies: tuple[Anomaly, ...] = (),
    faults: tuple[Fault, ...] = (),
) -> Account:
    return Account(
        account_id="",
        name=name,
        access_key_id="",
        secret_access_key="",
        daily_cost=daily_cost,
        services=services,
        profile=profile,
        start=date.min,
        anomalies=anomalies,
        faults=faults,
    )


def _healthy() -> Iterator[Account]:
    yield _account("platform-hub", 420.0, 18)
    eu, us = Explorer("eu-central-1"), Explorer("us-east-1")
    yield replace(_account("production-eu", 2150.0, 24, "committed"), resources=180, explorer=eu)
    yield replace(_account("production-us", 3840.0, 26, "weekday"), resources=260, explorer=us)
    yield _account("staging", 310.0, 16, "weekday")
    yield _account("development", 185.0, 14, "weekday")
    yield replace(
        _account("data-lake", 1260.0, 15, "growing"), regions=("eu-south-1", *DEFAULT_REGIONS), resources=90
    )
    yield _account("machine-learning", 890.0, 11, "noisy")
    yield _account("retail-seasonal", 640.0, 17, "seasonal")
    yield _account("legacy-monolith", 275.0, 9, "shrinking")
    fenced = Fault(
        "access_denied",
        operation="GetResources",
        region="ap-northeast-3",
        message="Access denied with an explicit deny in a service control policy",
    )
    yield _account("security-audit", 96.0, 10, faults=(fenced,))
    yield _account("shared-network", 148.0, 7)


def _anomalous(today: date) -> Iterator[Account]:
    def days_ago(days: int) -> date:
        return today - timedelta(days=days)

    spike = Anomaly("spike", days_ago(1), 4.5)
    # What the spike looks like in the inventory: a region that was never used before today.
    burst = Burst("sa-east-1", today, days=LONG_AGO)
    yield replace(_account("checkout", 520.0, 14, anomalies=(spike,)), bursts=(burst,))
    shift = Anomaly("level_shift", days_ago(4), 2.2)
    yield _account("search", 365.0, 12, anomalies=(shift,))
    runaway = Anomaly("runaway", days_ago(7), 1.35, service="AWS Lambda")
    yield _account("image-pipeline", 240.0, 10, anomalies=(runaway,))
    old = Anomaly("spike", days_ago(18), 3.0, days=2)
    yield _account("batch-reports", 205.0, 8, anomalies=(old,))
    drop = Anomaly("drop", days_ago(5), 0.0)
    yield _account("mobile-backend", 330.0, 12, anomalies=(drop,))


def _unusual(today: date) -> Iterator[Account]:
    yield replace(_account("berlin-subsidiary", 410.0, 13), currency="EUR")
    yield replace(_account("tokyo-subsidiary", 52000.0, 11), currency="JPY")
    yield _account("startup-credits", 175.0, 10, "credits")
    yield replace(_account("new-product", 130.0, 9, "new"), start=today - timedelta(days=9))
    yield _account("archive", 0.02, 3, "dormant")
    yield _account("events-only", 60.0, 8, "sparse")
    yield _account("late-reporter", 155.0, 9, "late")


def _troubled() -> Iterator[Account]:
    revoked = Fault("invalid_token", operation=EVERY_OPERATION)
    yield _account("revoked-keys", 88.0, 8, faults=(revoked,))
    yield _account("throttled", 230.0, 12, faults=(Fault("limit_exceeded", times=2),))
    yield _account("no-cost-explorer", 45.0, 6, faults=(Fault("not_enabled"),))
    role = Role(ROLE_NAME, external_id=EXTERNAL_ID, trusted_account_ids=(HUB_ID,))
    yield replace(_account("partner-by-role", 290.0, 12), roles=(role,))
