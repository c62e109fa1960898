"""Answers an HTTP request: finds its service, its caller, its fault and its operation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from costbatch.simulator import organizations, sts
from costbatch.simulator.answers import Answer
from costbatch.simulator.errors import STS, AuthProblem, AwsError, error_answer
from costbatch.simulator.faults import GET_COST, NO_EFFECT, Call, Effect, Ending, effect_of
from costbatch.simulator.signatures import SignatureError, parse_authorization
from costbatch.simulator.world import Fault

if TYPE_CHECKING:
    from costbatch.simulator.identities import Principal
    from costbatch.simulator.signatures import HttpRequest
    from costbatch.simulator.simulation import Simulation

TARGETS = {"AWSInsightsIndexService": "ce", "AWSOrganizationsV20161128": "organizations"}
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
        fault = simulation.scripts[subject].take(operation.name)
    effect = NO_EFFECT
    if fault is not None:
        effect = effect_of(fault, Call(operation.service, operation.name, subject, principal.arn))
    answer = effect.answer or _perform(simulation, request, principal, operation, effect)
    return Outcome(answer, subject, operation.name, wait_seconds=effect.wait_seconds, ending=effect.ending)


def _operation_of(request: HttpRequest) -> _Operation:
    target = request.headers.get("X-Amz-Target")
    if target is not None:
        prefix, _, name = target.partition(".")
        return _Operation(TARGETS.get(prefix, prefix), name)
    form = sts.parse_form(request.body)
    return _Operation(STS, form.get("Action", ""), form)


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
    return principal


def _perform(
    simulation: Simulation, request: HttpRequest, principal: Principal, operation: _Operation, effect: Effect
) -> Answer:
    try:
        answer = _answer(simulation, request, principal, operation, effect)
    except AwsError as error:
        return error_answer(operation.service, error)
    # Only JSON can be altered.
    return effect.alter(answer) if effect.alter and operation.service != STS else answer


def _answer(
    simulation: Simulation, request: HttpRequest, principal: Principal, operation: _Operation, effect: Effect
) -> Answer:
    """Return the answer of the operation itself; raise AwsError as AWS refuses it."""
    account = simulation.accounts[principal.account_id]
    match operation.service:
        case "sts":
            if operation.name == "GetCallerIdentity":
                return sts.get_caller_identity(principal, account_id=effect.reported_account_id)
            if operation.name == "AssumeRole":
                return sts.assume_role(
                    principal, operation.form, accounts=simulation.accounts, identities=simulation.identities
                )
            raise sts.unknown_action(operation.form)
        case "ce" if operation.name == GET_COST:
            return simulation.cost_explorer.answer(
                account, request.body, simulation.today, ignores_token=effect.ignores_token
            )
        case "organizations":
            organizations.check_management(account, simulation.world.management_account_id)
            if operation.name == "ListAccounts":
                members = simulation.accounts.values()
                return organizations.list_accounts(members, request.body, management=account)
            if operation.name == "DescribeOrganization":
                return organizations.describe_organization(account)
    raise AwsError("UnknownOperationException", f"Unknown operation {operation.name}.")
