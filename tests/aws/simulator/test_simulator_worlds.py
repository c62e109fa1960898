"""Worlds are plain data, the made ones hold what they promise, and the package stands alone."""

from __future__ import annotations

import ast
import json
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import costbatch.simulator
from costbatch.simulator.demo_world import HUB_ID, demo_world, load_world, make_account
from costbatch.simulator.simulation import Simulation
from costbatch.simulator.world import CurrencyChange, Role, World, WorldError, to_plain

if TYPE_CHECKING:
    from tests.aws.simulator.conftest import Lab

TODAY = date(2026, 3, 15)


def test_a_world_survives_json() -> None:
    """Writing and reading a world changes nothing."""
    account = replace(
        make_account(5, "all"), roles=(Role("r", "x", ("*",)),), currency_change=CurrencyChange(TODAY, "EUR")
    )
    for world in (demo_world(TODAY), load_world(3), World(accounts=(account,))):
        assert World.from_plain(json.loads(json.dumps(to_plain(world)))) == world


@pytest.mark.parametrize("account_id", ["12345", "12345678901x", ""])
def test_an_account_id_has_twelve_digits(account_id: str) -> None:
    """Anything else is refused."""
    with pytest.raises(WorldError, match="12 digits"):
        World.from_plain({"accounts": [{"account_id": account_id}]})


def test_a_senseless_world_is_refused() -> None:
    """Ids and keys are unique, the management account exists, a page holds something."""
    account = make_account(1, "one")
    with pytest.raises(WorldError, match="same id"):
        Simulation(World(accounts=(account, account)))
    with pytest.raises(WorldError, match="same access key"):
        Simulation(World(accounts=(account, replace(account, account_id="000000000002"))))
    with pytest.raises(WorldError, match="not in the world"):
        Simulation(World(accounts=(account,), management_account_id="000000000002"))
    with pytest.raises(WorldError, match="page size"):
        Simulation(World(accounts=(account,), page_size=0))


def test_the_demonstration_has_every_shape_and_trouble() -> None:
    """The accounts, their faults and their anomalies are those of the description."""
    world = demo_world(TODAY)
    assert 25 <= len(world.accounts) <= 30
    profiles = {account.profile for account in world.accounts}
    assert profiles >= {
        "steady",
        "growing",
        "weekday",
        "seasonal",
        "credits",
        "new",
        "dormant",
        "late",
        "sparse",
    }
    assert {account.currency for account in world.accounts} == {"USD", "EUR", "JPY"}
    faults = {fault.kind for account in world.accounts for fault in account.faults}
    assert faults == {"invalid_token", "limit_exceeded", "not_enabled", "access_denied"}
    assert [account.name for account in world.accounts if account.explorer] == [
        "production-eu",
        "production-us",
    ]
    (attacked,) = (account for account in world.accounts if account.bursts)
    assert attacked.bursts[0].start == TODAY
    assert attacked.bursts[0].region in attacked.regions
    anomalies = {anomaly.kind for account in world.accounts for anomaly in account.anomalies}
    assert anomalies == {"spike", "level_shift", "drop", "runaway"}
    assert world.management_account_id == HUB_ID == world.accounts[0].account_id
    assert demo_world(TODAY) == world
    assert demo_world(TODAY, seed=2) != world


def test_the_demonstrations_partner_is_reached_by_role(lab: Lab) -> None:
    """One account's role admits the hub with the external id."""
    world = demo_world(TODAY)
    lab.simulation.load(world)
    partner = next(account for account in world.accounts if account.roles)
    (role,) = partner.roles
    answer = lab.aws("sts", world.accounts[0]).assume_role(
        RoleArn=f"arn:aws:iam::{partner.account_id}:role/{role.name}",
        RoleSessionName="costbatch",
        ExternalId=role.external_id,
    )
    assert answer["Credentials"]["SessionToken"]


def test_the_load_has_uniform_accounts(lab: Lab) -> None:
    """Thirty days by 25 services are 750 groups of a realistic size."""
    world = load_world(3, services=25, days=30, today=TODAY)
    lab.simulation.load(world)
    period = {"Start": "2026-02-13", "End": "2026-03-15"}
    metrics = ["UnblendedCost", "AmortizedCost"]
    asked = question_of(TimePeriod=period, Metrics=metrics)
    raw = lab.send(lab.sign(world.accounts[0], asked))
    assert sum(len(day["Groups"]) for day in raw.json()["ResultsByTime"]) == 750
    assert 100_000 < len(raw.body) < 180_000


def question_of(**changes: object) -> dict[str, object]:
    """Ask by service and record type."""
    groups = [{"Type": "DIMENSION", "Key": key} for key in ("SERVICE", "RECORD_TYPE")]
    return {"Granularity": "DAILY", "GroupBy": groups, **changes}


def test_the_package_stands_alone() -> None:
    """It imports nothing else of costbatch and nothing that production needs only."""
    allowed = {"aiohttp", "uvloop", "costbatch"}
    for path in Path(costbatch.simulator.__file__).parent.glob("*.py"):
        for name in imported(path):
            root = name.split(".")[0]
            assert not name.startswith("costbatch") or name.startswith("costbatch.simulator"), (path, name)
            assert root in allowed or root in sys.stdlib_module_names, (path, name)


def imported(path: Path) -> list[str]:
    """Name the modules that a file imports."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module)
    return names
