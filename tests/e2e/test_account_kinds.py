"""Account kinds: access keys, assumed roles from the pod and from another account, the pod's own identity."""

import json
from dataclasses import replace
from typing import Any

import pytest

from costbatch.domain.periods import ONE_DAY
from costbatch.simulator.world import Fault, Role
from tests.support.harness import TODAY, Harness, make_account

HUB, MEMBER = make_account(1), make_account(2)
ROLE = Role("CostReader", external_id="ext-4711", trusted_account_ids=(HUB.account_id,))
ARN = f"arn:aws:iam::{MEMBER.account_id}:role/CostReader"
POD = {"AWS_ACCESS_KEY_ID": HUB.access_key_id, "AWS_SECRET_ACCESS_KEY": HUB.secret_access_key}
BY_ROLE = replace(MEMBER, roles=(ROLE,))


def operations(harness: Harness, aws_account_id: str) -> dict[str, int]:
    """Return which requests AWS has seen about an account."""
    accounts: dict[str, Any] = harness.aws.requests()["accounts"]
    found: dict[str, int] = accounts.get(aws_account_id, {"requests": {}})["requests"]
    return found


def test_access_keys_ask_who_they_are_before_they_pay(harness: Harness) -> None:
    """One free identity check, one paid request."""
    harness.open(HUB)
    assert harness.collect().status == 0
    assert operations(harness, HUB.account_id) == {"GetCallerIdentity": 1, "GetCostAndUsage": 1}


def test_keys_are_asked_about_once_and_again_when_they_are_replaced(harness: Harness) -> None:
    """Whose a key is never changes, so that a night costs one request; new keys are strangers again."""
    harness.open(HUB, MEMBER)
    harness.collect()
    harness.sleep_until(TODAY + ONE_DAY)
    harness.collect()
    assert operations(harness, HUB.account_id) == {"GetCallerIdentity": 1, "GetCostAndUsage": 2}
    keys = {"access_key_id": MEMBER.access_key_id, "secret_access_key": MEMBER.secret_access_key}
    command = ("accounts", "set-credentials", HUB.account_id, "--no-verify", "--secrets-file", "-")
    replaced = harness.run(*command, stdin=json.dumps(keys))
    assert replaced.status == 0
    run = harness.collect()
    assert run.outcomes == {HUB.account_id: "wrong_account", MEMBER.account_id: "collected"}
    assert operations(harness, HUB.account_id)["GetCostAndUsage"] == 2


def test_a_role_is_assumed_with_the_keys_of_another_account(harness: Harness) -> None:
    """The base account's keys assume the role with its external id; the costs are the role's account's."""
    harness.open(HUB)
    harness.aws.replace_world(replace(harness.aws.current_world(), accounts=(HUB, BY_ROLE)))
    harness.register(BY_ROLE, base=HUB.account_id)
    assert harness.collect().outcomes == {HUB.account_id: "collected", MEMBER.account_id: "collected"}
    # The answer to AssumeRole says already whose credentials it gives.
    assert operations(harness, MEMBER.account_id) == {"AssumeRole": 1, "GetCostAndUsage": 1}
    assert harness.value("SELECT count(DISTINCT account_id) FROM daily_costs") == 2


def test_a_role_is_assumed_by_the_pods_identity(harness: Harness) -> None:
    """Without a base account the pod's own credentials assume the role; nothing of them is stored."""
    harness.open(BY_ROLE)
    harness.aws.replace_world(replace(harness.aws.current_world(), accounts=(HUB, BY_ROLE)))
    assert harness.collect(**POD).outcomes == {MEMBER.account_id: "collected"}
    assert operations(harness, HUB.account_id) == {}


def test_the_pods_own_identity_collects_its_account(harness: Harness) -> None:
    """An account without any stored secret is collected as the pod."""
    harness.aws.replace_world(replace(harness.aws.current_world(), accounts=(HUB,), today=TODAY))
    harness.register(HUB, pod=True)
    assert harness.collect(**POD).outcomes == {HUB.account_id: "collected"}
    assert harness.value("SELECT count(*) FROM account_credentials") == 0


@pytest.mark.parametrize(
    ("secret", "kind"), [("", "pod_identity_missing"), ("wrong", "credentials_rejected")]
)
def test_a_pod_without_valid_credentials_fails_its_accounts_only(
    harness: Harness, secret: str, kind: str
) -> None:
    """An account by pod identity fails if there is none, or if AWS refuses it; the others are collected."""
    harness.open(MEMBER)
    harness.aws.replace_world(replace(harness.aws.current_world(), accounts=(HUB, MEMBER)))
    harness.register(HUB, pod=True)
    pod = {**POD, "AWS_SECRET_ACCESS_KEY": secret} if secret else {}
    run = harness.collect(**pod)
    assert run.outcomes == {HUB.account_id: kind, MEMBER.account_id: "collected"}


def test_the_pods_identity_of_another_account_is_refused(harness: Harness) -> None:
    """A pod that belongs to another account never stores that one's cost here."""
    harness.aws.replace_world(replace(harness.aws.current_world(), accounts=(HUB, MEMBER)))
    harness.register(MEMBER, pod=True)
    assert harness.collect(**POD).outcomes == {MEMBER.account_id: "wrong_account"}
    assert harness.aws.paid() == 0


@pytest.mark.parametrize(
    "role",
    [replace(ROLE, external_id="another"), replace(ROLE, trusted_account_ids=("999999999999",))],
    ids=["external id", "trust"],
)
def test_a_role_that_does_not_trust_us_is_denied(harness: Harness, role: Role) -> None:
    """A wrong external id or a missing trust is access_denied, without a word of AWS's text."""
    harness.open(BY_ROLE)
    harness.aws.replace_world(
        replace(harness.aws.current_world(), accounts=(HUB, replace(MEMBER, roles=(role,))))
    )
    run = harness.collect(**POD)
    assert run.outcomes == {MEMBER.account_id: "access_denied"}
    assert run.account(MEMBER.account_id)["error"]["message"].startswith(
        "AWS answered AssumeRole with AccessDenied."
    )
    assert ARN not in run.stderr + run.stdout


def test_a_broken_base_account_fails_with_those_that_need_it(harness: Harness) -> None:
    """The hub's revoked keys fail the hub and the account behind it, and not a third."""
    third = make_account(3)
    harness.open(HUB, third)
    harness.register(BY_ROLE, base=HUB.account_id)
    broken = replace(HUB, faults=(Fault("invalid_token", operation="*"),))
    # What STS counts about a role is the role's account: that one is broken as the hub is.
    member = replace(BY_ROLE, faults=(Fault("invalid_token", operation="AssumeRole"),))
    harness.aws.replace_world(replace(harness.aws.current_world(), accounts=(broken, member, third)))
    assert harness.collect().outcomes == {
        HUB.account_id: "credentials_rejected",
        MEMBER.account_id: "credentials_rejected",
        third.account_id: "collected",
    }


def test_temporary_credentials_that_end_in_a_run_are_renewed_by_the_next(harness: Harness) -> None:
    """Every run assumes the role anew."""
    harness.open(BY_ROLE)
    harness.aws.replace_world(replace(harness.aws.current_world(), accounts=(HUB, BY_ROLE)))
    assert harness.collect(**POD).status == 0
    assert harness.aws.expire_sessions() == 1
    assert harness.collect(**POD).status == 0
