"""Answers an HTTP request: finds its service, its caller, its fault and its operation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from costbatch.simulator import organizations, region_lists, sts
from costbatch.simulator.answers import Answer
from costbatch.simulator.aws_anomalies import get_anomalies
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
from costbatch.simulator.regions import REGIONS, home_of, partition_of
from costbatch.simulator.signatures import SignatureError, parse_authorization
from costbatch.simulator.world import Fault

if TYPE_CHECKING:
    from costbatch.simulator.identities import Principal
    from costbatch.simulator.signatures import HttpRequest
    from costbatch.simulator.simulation import Simulation
    from costbatch.simulator.world import Account

COST_EXPLORER, ORGANIZATIONS = "ce", "organizations"
TARGETS = {
    "AWSInsightsIndexService": COST_EXPLORER,
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
    # An assumed role's requests and faults are its own account's: the caller may serve many accounts.
    role_account_id = sts.role_account_id(operation.form)
    subject = role_account_id if role_account_id in simulation.accounts else principal.account_id
    simulation.ledger.asked(subject, operation.name)
    account, rate = simulation.accounts[subject], simulation.requests_per_second
    if operation.name == GET_COST and not simulation.limits.admit(account, rate):
        fault: Fault | None = Fault("limit_exceeded")
    else:
        fault = simulation.scripts[subject].take(operation.name, operation.region)
    effect = NO_EFFECT
    if fault is not None:
        call = Call(operation.service, operation.region, operation.name, subject, principal.arn)
        effect = effect_of(fault, call)
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
    if not _has_endpoint(operation.service, operation.region):
        message = f"Credential should be scoped to a valid region, not '{operation.region}'. "
        raise AuthProblem.SIGNATURE.error(operation.service, message)
    account = simulation.accounts[principal.account_id]
    if operation.service in REGIONAL_SERVICES and operation.region not in account.regions:
        # AWS does not know an account's keys in a region that it has not enabled.
        raise AuthProblem.UNKNOWN_KEY.error(operation.service, INVALID_TOKEN_MESSAGE)
    return principal


def _has_endpoint(service: str, region: str) -> bool:
    """Whether a service answers in a region; costs and organizations have one endpoint in a partition."""
    if service in (COST_EXPLORER, ORGANIZATIONS):
        return region == home_of(partition_of(region))
    return service != STS or region in REGIONS


def _perform(
    simulation: Simulation, request: HttpRequest, principal: Principal, operation: _Operation, effect: Effect
) -> Answer:
    try:
        answer = _answer(simulation, request, principal, operation, effect)
    except AwsError as error:
        return error_answer(operation.service, error)
    # Only JSON can be altered.
    return effect.alter(answer) if effect.alter and operation.service not in (STS, EC2) else answer


def _answer(
    simulation: Simulation, request: HttpRequest, principal: Principal, operation: _Operation, effect: Effect
) -> Answer:
    """Return the answer of the operation itself; raise AwsError as AWS refuses it."""
    account = simulation.accounts[principal.account_id]
    match operation.service, operation.name:
        case "sts", "GetCallerIdentity":
            return sts.get_caller_identity(principal, account_id=effect.reported_account_id)
        case "sts", "AssumeRole":
            return sts.assume_role(
                principal, operation.form, accounts=simulation.accounts, identities=simulation.identities
            )
        case "sts", _:
            raise sts.unknown_action(operation.form)
        case "ce", _:
            return _cost_answer(simulation, request, account, operation, effect)
        case "organizations", name:
            organizations.check_management(account, simulation.world.management_account_id)
            if name == "ListAccounts":
                members = simulation.accounts.values()
                return organizations.list_accounts(members, request.body, management=account)
            if name == "DescribeOrganization":
                return organizations.describe_organization(account)
    return _inventory_answer(simulation, request, account, operation, effect)


def _cost_answer(
    simulation: Simulation, request: HttpRequest, account: Account, operation: _Operation, effect: Effect
) -> Answer:
    """Answer about costs and what AWS finds unusual in them."""
    today, ignores_token = simulation.today, effect.ignores_token
    match operation.name:
        case "GetCostAndUsage":
            return simulation.cost_explorer.answer(
                account,
                request.body,
                today,
                billed=simulation.billed_to(account),
                ignores_token=ignores_token,
            )
        case "GetAnomalies":
            world = simulation.world
            return get_anomalies(
                account,
                request.body,
                today,
                seed=world.seed,
                page_size=world.page_size,
                ignores_token=ignores_token,
            )
    raise AwsError("UnknownOperationException", f"Unknown operation {operation.name}.")


def _inventory_answer(
    simulation: Simulation, request: HttpRequest, account: Account, operation: _Operation, effect: Effect
) -> Answer:
    """Answer about regions and resources."""
    today, region, ignores_token = simulation.today, operation.region, effect.ignores_token
    match operation.service, operation.name:
        case "tagging", "GetResources":
            return simulation.tagging.answer(
                account, request.body, today, region=region, ignores_token=ignores_token
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
                name, account, request.body, today, region=region, ignores_token=ignores_token
            )
    raise AwsError("UnknownOperationException", f"Unknown operation {operation.name}.")
