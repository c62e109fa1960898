"""Scripted faults: which one is next for an account's operation, and what each kind does to the answer.

What is refused because it comes too fast is limits.py's.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from costbatch.simulator.answers import HTML_TYPE, JSON_TYPE, Answer
from costbatch.simulator.errors import (
    EXPIRED_TOKEN_MESSAGE,
    IAM_PREFIX,
    INVALID_TOKEN_MESSAGE,
    STS,
    AuthProblem,
    AwsError,
    error_answer,
)
from costbatch.simulator.world import ANY_OPERATION, Fault, WorldError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

GET_COST, GET_IDENTITY = "GetCostAndUsage", "GetCallerIdentity"
# The operations, and the member of their answers that is the token of the next page.
PAGE_TOKENS = {
    GET_COST: "NextPageToken",
    "GetAnomalies": "NextPageToken",
    "GetResources": "PaginationToken",
    "ListRegions": "NextToken",
    "ListIndexes": "NextToken",
    "ListViews": "NextToken",
    "ListResources": "NextToken",
}
OPERATIONS = frozenset(
    {
        *PAGE_TOKENS,
        *(GET_IDENTITY, "AssumeRole", "ListAccounts", "DescribeOrganization"),
        *("DescribeRegions", "GetIndex", "GetView", ANY_OPERATION),
    }
)
ENDED_HTML = b"<html><head><title>Gateway</title></head><body>Not what you asked for.</body></html>"


class Ending(Enum):
    """How the connection ends."""

    NORMAL = "normal"
    RESET = "reset"
    TRUNCATED = "truncated"


@dataclass(frozen=True, slots=True)
class Effect:
    """What a fault does: wait, then replace or alter the answer, then end the connection."""

    wait_seconds: float = 0.0
    answer: Answer | None = None
    alter: Callable[[Answer], Answer] | None = None
    reported_account_id: str | None = None
    ignores_token: bool = False
    ending: Ending = Ending.NORMAL


@dataclass(frozen=True, slots=True)
class Call:
    """A call that a fault is applied to: a service's operation in a region, its principal and its account."""

    service: str
    region: str
    operation: str
    account_id: str
    caller_arn: str


NO_EFFECT = Effect()

# Kind -> code and AWS's sentence. `{caller}` and `{resource}` are filled in from the call.
_JSON_ERRORS = {
    "limit_exceeded": ("LimitExceededException", "Rate limit exceeded. Please slow down and try again."),
    "not_enabled": ("AccessDeniedException", "User not enabled for cost explorer access"),
    "data_unavailable": (
        "DataUnavailableException",
        "Data is not available. Please try to adjust the time period.",
    ),
    "bill_expiration": ("BillExpirationException", "The requested report expired. Update the date interval."),
}
_SHARED_ERRORS = {
    "throttling": (AuthProblem.THROTTLED, "Rate exceeded"),
    "access_denied": (
        AuthProblem.DENIED,
        (
            "User: {caller} is not authorized to perform: {action} on resource: {resource} because no "
            "identity-based policy allows the {action} action"
        ),
    ),
    "expired_token": (AuthProblem.EXPIRED, EXPIRED_TOKEN_MESSAGE),
    "invalid_token": (AuthProblem.UNKNOWN_KEY, INVALID_TOKEN_MESSAGE),
    "validation": (AuthProblem.INVALID, "The request is not valid."),
}
_SERVER_ERRORS = {
    "http_500": ("InternalFailure", 500, "The request processing has failed because of an unknown error."),
    "http_503": (
        "ServiceUnavailable",
        503,
        "The request has failed due to a temporary failure of the server.",
    ),
}


class FaultScript:
    """The faults that wait for one account, in the order in which they were added."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        """Start with these faults."""
        self._waiting: list[tuple[Fault, int | None]] = []
        for fault in faults:
            self.add(fault)

    def add(self, fault: Fault) -> None:
        """Append a fault; refuse an unknown one."""
        if fault.kind not in KINDS:
            raise WorldError(f"Unknown kind of fault {fault.kind!r}; known: {', '.join(sorted(KINDS))}.")
        if operation_of(fault) not in OPERATIONS:
            raise WorldError(
                f"Unknown operation {fault.operation!r}; known: {', '.join(sorted(OPERATIONS))}."
            )
        if fault.times is not None and (not isinstance(fault.times, int) or fault.times < 0):
            raise WorldError(f"times is a count or null, not {fault.times!r}.")
        if fault.times != 0:
            self._waiting.append((fault, fault.times))

    def take(self, operation: str, region: str) -> Fault | None:
        """Use the first fault of an operation in a region once."""
        for place, (fault, times) in enumerate(self._waiting):
            if operation_of(fault) not in (operation, ANY_OPERATION) or fault.region not in (None, region):
                continue
            if times == 1:
                del self._waiting[place]
            elif times is not None:
                self._waiting[place] = (fault, times - 1)
            return fault
        return None

    def clear(self) -> None:
        """Remove every fault."""
        self._waiting.clear()


def operation_of(fault: Fault) -> str:
    """Return the operation of a fault."""
    return fault.operation or (GET_IDENTITY if fault.kind == "wrong_account" else GET_COST)


def effect_of(fault: Fault, call: Call) -> Effect:
    """Decide what a fault does to a call."""
    error = _error(fault, call)
    if error is not None:
        return Effect(answer=error_answer(call.service, error))
    token = _TOKENS.get(fault.kind)
    if token is not None:
        # Their tokens were never issued, so they are not checked when a client sends them.
        member = PAGE_TOKENS.get(call.operation, "NextToken")
        return Effect(alter=_altered(lambda data: data.update({member: token()})), ignores_token=True)
    return _EFFECTS[fault.kind](fault)


def _error(fault: Fault, call: Call) -> AwsError | None:
    if fault.kind in _JSON_ERRORS:
        code, message = _JSON_ERRORS[fault.kind]
        return AwsError(code, fault.message or message)
    if fault.kind in _SERVER_ERRORS:
        code, status, message = _SERVER_ERRORS[fault.kind]
        return AwsError(code, fault.message or message, status=status)
    if fault.kind in _SHARED_ERRORS:
        problem, message = _SHARED_ERRORS[fault.kind]
        return problem.error(call.service, fault.message or _filled(message, call))
    return None


def _filled(message: str, call: Call) -> str:
    region = "" if call.service == STS else call.region
    resource = f"arn:aws:{call.service}:{region}:{call.account_id}:/{call.operation}"
    action = f"{IAM_PREFIX.get(call.service, call.service)}:{call.operation}"
    return message.format(caller=call.caller_arn, action=action, resource=resource)


def _altered(change: Callable[[dict[str, Any]], None]) -> Callable[[Answer], Answer]:
    def alter(answer: Answer) -> Answer:
        data = json.loads(answer.body)
        change(data)
        return Answer(body=json.dumps(data).encode(), status=answer.status, content_type=answer.content_type)

    return alter


def _without(field: str) -> Callable[[dict[str, Any]], None]:
    def change(data: dict[str, Any]) -> None:
        _drop(data, field)

    return change


def _drop(data: object, field: str) -> None:
    if isinstance(data, dict):
        data.pop(field, None)
    for item in data.values() if isinstance(data, dict) else data if isinstance(data, list) else ():
        _drop(item, field)


def _in_currency(currency: str) -> Callable[[dict[str, Any]], None]:
    def change(data: dict[str, Any]) -> None:
        for result in data["ResultsByTime"]:
            for metrics in [result["Total"], *(group["Metrics"] for group in result["Groups"])]:
                for value in metrics.values():
                    if value["Unit"] != "N/A":
                        value["Unit"] = currency

    return change


_TOKENS: dict[str, Callable[[], str]] = {
    "repeat_token": lambda: "the-same-token",
    "endless_pages": lambda: str(uuid4()),
}
_EFFECTS: dict[str, Callable[[Fault], Effect]] = {
    "hang": lambda fault: Effect(wait_seconds=fault.seconds, ending=Ending.RESET),
    "latency": lambda fault: Effect(wait_seconds=fault.seconds),
    "reset": lambda _: Effect(ending=Ending.RESET),
    "truncated": lambda _: Effect(ending=Ending.TRUNCATED),
    "not_json": lambda _: Effect(answer=Answer(body=ENDED_HTML, content_type=HTML_TYPE)),
    "body": lambda fault: Effect(
        answer=Answer(body=fault.body.encode(), status=fault.status, content_type=JSON_TYPE)
    ),
    "missing_fields": lambda fault: Effect(alter=_altered(_without(fault.field))),
    "other_currency": lambda fault: Effect(alter=_altered(_in_currency(fault.currency))),
    "wrong_account": lambda fault: Effect(reported_account_id=fault.reported_account_id),
}
KINDS = frozenset({*_JSON_ERRORS, *_SHARED_ERRORS, *_SERVER_ERRORS, *_TOKENS, *_EFFECTS})
