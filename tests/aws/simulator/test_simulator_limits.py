"""Rate limits: what comes faster is throttled, and nothing else is."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from costbatch.simulator import simulation as simulations
from costbatch.simulator.client import ControlError
from costbatch.simulator.limits import RateLimits
from costbatch.simulator.world import Account, World, WorldError, to_plain

if TYPE_CHECKING:
    from tests.aws.simulator.conftest import Clock, Lab


def taken(lab: Lab, account: Account, times: int) -> int:
    """Ask so many times; return how many were answered, and expect the others to be throttled."""
    refusals = [refusal for refusal in (refusal_of(lab, account) for _ in range(times)) if refusal]
    assert refusals == [("LimitExceededException", 400)] * len(refusals)
    return times - len(refusals)


def refusal_of(lab: Lab, account: Account) -> tuple[str, int] | None:
    """Ask; return the code and the status of a refusal."""
    try:
        lab.ask(account)
    except ClientError as error:
        return error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
    return None


@pytest.fixture(autouse=True)
def _stopped(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop the clock of the limits, so that a bucket fills only when a test turns it."""
    stopped = simulations.utc_now()
    monkeypatch.setattr(lab.simulation.limits, "_clock", lambda: stopped + lab.clock.offset)


def turn(clock: Clock, seconds: float) -> None:
    """Turn the clock."""
    clock.offset += timedelta(seconds=seconds)


def test_all_accounts_together_have_a_limit(lab: Lab, account: Account, other: Account) -> None:
    """One second's worth at once, then at the rate; a refusal is counted and not paid."""
    lab.control.set_rate_limit(3)
    assert taken(lab, account, 2) + taken(lab, other, 4) == 3
    assert lab.control.requests()["total"] == {"requests": 6, "paid": 3}
    turn(lab.clock, 0.7)
    assert taken(lab, account, 4) == 2
    turn(lab.clock, 60)
    assert taken(lab, account, 5) == 3


def test_an_account_has_a_limit_of_its_own(lab: Lab, account: Account, other: Account) -> None:
    """The others are not touched by it."""
    lab.control.update_account(account.account_id, requests_per_second=0.5)
    assert (taken(lab, account, 3), taken(lab, other, 3)) == (1, 3)
    turn(lab.clock, 1)
    assert taken(lab, account, 1) == 0
    turn(lab.clock, 1)
    assert taken(lab, account, 2) == 1


def test_what_one_limit_refuses_takes_nothing_from_the_other(
    lab: Lab, account: Account, other: Account
) -> None:
    """An account that is throttled by its own limit uses up nobody else's requests."""
    lab.control.set_rate_limit(2)
    lab.control.update_account(account.account_id, requests_per_second=1)
    assert taken(lab, account, 5) == 1
    assert taken(lab, other, 5) == 1


def test_a_refusal_uses_up_no_fault(lab: Lab, account: Account) -> None:
    """What is scripted happens to the requests that get through."""
    lab.control.set_rate_limit(1)
    assert taken(lab, account, 2) == 1
    lab.control.add_fault(account.account_id, "not_enabled", times=1)
    assert taken(lab, account, 1) == 0
    lab.control.set_rate_limit(None)
    with pytest.raises(ClientError, match="not enabled"):
        lab.ask(account)


def test_only_costs_have_a_limit(lab: Lab, account: Account) -> None:
    """STS says who is who as often as it is asked."""
    lab.control.set_rate_limit(1)
    sts = lab.aws("sts", account)
    assert {sts.get_caller_identity()["Account"] for _ in range(5)} == {account.account_id}


def test_a_limit_can_be_lifted(lab: Lab, account: Account) -> None:
    """Null takes any number again."""
    lab.control.set_rate_limit(1)
    assert taken(lab, account, 3) == 1
    lab.control.set_rate_limit(None)
    assert taken(lab, account, 3) == 3


def test_a_world_brings_its_limits(account: Account) -> None:
    """They are read from a world file, and are part of the world as it is."""
    world = World(accounts=(replace(account, requests_per_second=2.0),), requests_per_second=1.0)
    simulation = simulations.Simulation(World.from_plain(to_plain(world)))
    assert simulation.current_world() == world
    limits, (limited,) = RateLimits(clock=simulations.utc_now), world.accounts
    assert [limits.admit(limited, world.requests_per_second) for _ in range(2)] == [True, False]


@pytest.mark.parametrize("rate", [0, -1, "ten", True, [], float("nan"), float("inf")])
def test_a_rate_that_makes_no_sense_is_refused(lab: Lab, account: Account, rate: Any) -> None:
    """By the control plane, for an account, and in a world file."""
    sentence = "Requests per second are a number above 0 or null"
    with pytest.raises(ControlError, match=sentence):
        lab.control.set_rate_limit(rate)
    with pytest.raises(ControlError, match=sentence):
        lab.control.update_account(account.account_id, requests_per_second=rate)
    with pytest.raises(WorldError, match=sentence):
        World.from_plain({"accounts": [], "requests_per_second": rate})
