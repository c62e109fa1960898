"""Answers an HTTP request: finds its service, its caller, its fault and its operation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from costbatch.simulator import organizations, region_lists, sts
from costbatch.simulator.answers import Answer
from costbatch.simulator.errors import (
    EC2,
    EXPLORER,
    INVALID_TOKEN_MESSAGE,
    REST_SERVICES,
    STS,
    TAGGING,
    AuthProblem,
    AwsError,
    error_answer,
)
from costbatch.simulator.faults import GET_COST, NO_EFFECT, Call, Effect, Ending, effect_of
from costbatch.simulator.signatures import SignatureError, parse_authorization
from costbatch.simulator.world import Fault

if TYPE_CHECKING:
    from costbatch.simulator.identities import Principal
    from costbatch.simulator.signatures import HttpRequest
    from costbatch.simulator.simulation import Simulation

ORGANIZATIONS = "organizations"
TARGETS = {
    "AWSInsightsIndexService": "ce",
    "AWSOrganizationsV20161128": ORGANIZATIONS,
    "ResourceGroupsTaggingAPI_20170126": TAGGING,
}
# What only answers in regions that the account has enabled; the others have one endpoint in a partition.
REGIONAL_SERVICES = frozenset({EC2, TAGGING, EXPLORER})
UNKNOWN_ACCOUNT = "unknown"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The response, the wait before it, how the connection ends, and its name in the ledger."""

    answer: Answer
    account_id: str
    operation: str
    wait_seconds: float = 0.0
    ending: Ending = Ending.NORMAL


@dataclass(frozen=True, slots=True)
class _Operation:
    """The operation that a request names; `form` is the decoded body of a query-protocol one."""

    service: str
    name: str
    region: str = ""
    form: dict[str, str] = field(default_factory=dict)


def respond(simulation: Simulation, request: HttpRequest) -> Outcome:
    """Decide everything about a request."""
    operation = _operation_of(request)
    account_id = _claimed_account_id(simulation, request)
    try:
        principal = _authenticate(simulation, request, operation)
    except AwsError as error:
        simulation.ledger.asked(account_id, operation.name)
        return Outcome(error_answer(operation.service, error), account_id, operation.name)
    subject = _subject(simulation, principal, operation)
    simulation.ledger.asked(subject, operation.name)
    effect = _effect(simulation, principal, operation, subject)
    answer = effect.answer or _perform(simulation, request, principal, operation, effect)
    return Outcome(answer, subject, operation.name, wait_seconds=effect.wait_seconds, ending=effect.ending)


def _operation_of(request: HttpRequest) -> _Operation:
    # One address serves every service and region, so the signature says which are meant.
    service, region = _scope(request)
    target = request.headers.get("X-Amz-Target")
    if target is not None:
        prefix, _, name = target.partition(".")
        return _Operation(TARGETS.get(prefix, prefix), name, region)
    if service in REST_SERVICES:
        name = request.path.lstrip("/")
        return _Operation(service, name[:1].upper() + name[1:], region)
    form = sts.parse_form(request.body)
    return _Operation(EC2 if service == EC2 else STS, form.get("Action", ""), region, form)


def _scope(request: HttpRequest) -> tuple[str, str]:
    try:
        authorization = parse_authorization(request.headers)
    except SignatureError:
        return "", ""
    return authorization.service, authorization.region


def _claimed_account_id(simulation: Simulation, request: HttpRequest) -> str:
    try:
        owner = simulation.identities.owner_of(parse_authorization(request.headers).access_key_id)
    except SignatureError:
        return UNKNOWN_ACCOUNT
    return owner.account_id if owner else UNKNOWN_ACCOUNT


def _authenticate(simulation: Simulation, request: HttpRequest, operation: _Operation) -> Principal:
    try:
        principal = simulation.identities.authenticate(request)
        scoped = parse_authorization(request.headers).service
    except SignatureError as error:
        raise error.problem.error(operation.service, error.message) from error
    if scoped != operation.service and operation.service in (STS, *TARGETS.values()):
        message = f"Credential should be scoped to correct service: '{operation.service}'."
        raise AuthProblem.SIGNATURE.error(operation.service, message)
    account = simulation.accounts[principal.account_id]
    if operation.service in REGIONAL_SERVICES and operation.region not in account.regions:
        # AWS does not know an account's keys in a region that it has not enabled.
        raise AuthProblem.UNKNOWN_KEY.error(operation.service, INVALID_TOKEN_MESSAGE)
    return principal


def _subject(simulation: Simulation, principal: Principal, operation: _Operation) -> str:
    # An assumed role's requests and faults are its own account's: the caller may serve many accounts.
    role_account_id = sts.role_account_id(operation.form)
    return role_account_id if role_account_id in simulation.accounts else principal.account_id


def _effect(simulation: Simulation, principal: Principal, operation: _Operation, subject: str) -> Effect:
    fault = _refusal(simulation, operation, subject) or simulation.scripts[subject].take(
        operation.name, operation.region
    )
    if fault is None:
        return NO_EFFECT
    return effect_of(fault, Call(operation.service, operation.region, operation.name, subject, principal.arn))


def _refusal(simulation: Simulation, operation: _Operation, subject: str) -> Fault | None:
    if operation.name != GET_COST:
        return None
    account = simulation.accounts[subject]
    is_taken = simulation.limits.admit(account, simulation.requests_per_second)
    return None if is_taken else Fault("limit_exceeded")


def _perform(
    simulation: Simulation, request: HttpRequest, principal: Principal, operation: _Operation, effect: Effect
) -> Answer:
    try:
        if operation.service == STS:
            return _perform_sts(simulation, principal, operation, effect)
        answer = _perform_other(simulation, request, principal, operation, effect)
    except AwsError as error:
        return error_answer(operation.service, error)
    return effect.alter(answer) if effect.alter else answer


def _perform_sts(
    simulation: Simulation, principal: Principal, operation: _Operation, effect: Effect
) -> Answer:
    if operation.name == "GetCallerIdentity":
        return sts.get_caller_identity(principal, account_id=effect.reported_account_id)
    if operation.name == "AssumeRole":
        return sts.assume_role(
            principal, operation.form, accounts=simulation.accounts, identities=simulation.identities
        )
    raise sts.unknown_action(operation.form)


def _perform_other(
    simulation: Simulation, request: HttpRequest, principal: Principal, operation: _Operation, effect: Effect
) -> Answer:
    account = simulation.accounts[principal.account_id]
    region, ignores_token = operation.region, effect.ignores_token
    match operation.service, operation.name:
        case "ce", "GetCostAndUsage":
            return simulation.cost_explorer.answer(
                account, request.body, simulation.today, ignores_token=ignores_token
            )
        case "tagging", "GetResources":
            return simulation.tagging.answer(
                account, request.body, simulation.today, region=region, ignores_token=ignores_token
            )
        case "account", "ListRegions":
            return region_lists.list_regions(
                account,
                request.body,
                region=region,
                page_size=simulation.world.page_size,
                ignores_token=ignores_token,
            )
        case "ec2", "DescribeRegions":
            return region_lists.describe_regions(account, operation.form, region=region)
        case "resource-explorer-2", name:
            return simulation.resource_explorer.answer(
                name, account, request.body, simulation.today, region=region, ignores_token=ignores_token
            )
        case "organizations", _:
            return _perform_organizations(simulation, request, principal, operation)
    raise AwsError("UnknownOperationException", f"Unknown operation {operation.name}.")


def _perform_organizations(
    simulation: Simulation, request: HttpRequest, principal: Principal, operation: _Operation
) -> Answer:
    management = simulation.accounts[principal.account_id]
    organizations.check_management(management, simulation.world.management_account_id)
    if operation.name == "ListAccounts":
        return organizations.list_accounts(simulation.accounts.values(), request.body, management=management)
    if operation.name == "DescribeOrganization":
        return organizations.describe_organization(management)
    raise AwsError("UnknownOperationException", f"Unknown operation {operation.name}.")
