"""STS over the query protocol: GetCallerIdentity and AssumeRole."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl
from uuid import uuid4
from xml.sax.saxutils import escape

from costbatch.simulator.answers import XML_TYPE, Answer
from costbatch.simulator.errors import STS_NAMESPACE, AwsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from costbatch.simulator.identities import Identities, Principal
    from costbatch.simulator.world import Account

DEFAULT_SECONDS, LEAST_SECONDS, MOST_SECONDS = 3600, 900, 43200
_ROLE_ARN = re.compile(r"arn:aws:iam::(\d{12}):role/(?:[\w+=,.@-]+/)*([\w+=,.@-]+)")
_SESSION_NAME = re.compile(r"[\w+=,.@-]{2,64}")

Form = dict[str, str]


def parse_form(body: bytes) -> Form:
    """Parse a query-protocol request body."""
    return dict(parse_qsl(body.decode("utf-8", errors="replace"), keep_blank_values=True))


def role_account_id(form: Form) -> str | None:
    """Return the account of the role that AssumeRole names."""
    match = _ROLE_ARN.fullmatch(form.get("RoleArn", ""))
    return match.group(1) if match else None


def get_caller_identity(principal: Principal, *, account_id: str | None = None) -> Answer:
    """Return who is calling; a fault may return another account."""
    account = account_id or principal.account_id
    arn = principal.arn.replace(principal.account_id, account)
    fields = (
        f"<Arn>{escape(arn)}</Arn><UserId>{escape(principal.user_id)}</UserId><Account>{account}</Account>"
    )
    return _answer("GetCallerIdentity", fields)


def assume_role(
    principal: Principal, form: Form, *, accounts: Mapping[str, Account], identities: Identities
) -> Answer:
    """Issue temporary credentials of a role if its trust policy allows the caller."""
    arn, session = _required(form, "RoleArn"), _required(form, "RoleSessionName")
    match = _ROLE_ARN.fullmatch(arn)
    if match is None:
        raise AwsError("ValidationError", f"{arn} is invalid")
    if not _SESSION_NAME.fullmatch(session):
        raise _constraint("roleSessionName", session, r"regular expression pattern: [\w+=,.@-]*")
    seconds = _seconds(form.get("DurationSeconds", str(DEFAULT_SECONDS)))
    account_id, role_name = match.groups()
    account = accounts.get(account_id)
    role = next((role for role in account.roles if role.name == role_name), None) if account else None
    if (
        role is None
        or not {"*", principal.account_id} & set(role.trusted_account_ids)
        or role.external_id not in (None, form.get("ExternalId"))
    ):
        raise AwsError(
            "AccessDenied",
            f"User: {principal.arn} is not authorized to perform: sts:AssumeRole on resource: {arn}",
            status=403,
        )
    opened = identities.open_session(account_id=account_id, role=role_name, session=session, seconds=seconds)
    fields = (
        f"<AssumedRoleUser><AssumedRoleId>{escape(opened.user_id)}</AssumedRoleId>"
        f"<Arn>{escape(opened.arn)}</Arn></AssumedRoleUser><Credentials>"
        f"<AccessKeyId>{opened.access_key_id}</AccessKeyId>"
        f"<SecretAccessKey>{opened.secret_access_key}</SecretAccessKey>"
        f"<SessionToken>{opened.session_token}</SessionToken>"
        f"<Expiration>{opened.expires_at:%Y-%m-%dT%H:%M:%SZ}</Expiration></Credentials>"
    )
    return _answer("AssumeRole", fields)


def unknown_action(form: Form) -> AwsError:
    """Refuse an action that is not offered."""
    action = form.get("Action")
    if action is None:
        return AwsError("MissingAction", "The request must contain the parameter Action.")
    return AwsError("InvalidAction", f"Could not find operation {action} for version 2011-06-15")


def _required(form: Form, name: str) -> str:
    value = form.get(name)
    if not value:
        field = name[0].lower() + name[1:]
        raise AwsError(
            "ValidationError",
            f"1 validation error detected: Value null at '{field}' failed to satisfy constraint: "
            "Member must not be null",
        )
    return value


def _seconds(text: str) -> int:
    seconds = int(text) if text.isdecimal() else -1
    if seconds < LEAST_SECONDS:
        raise _constraint("durationSeconds", text, f"value greater than or equal to {LEAST_SECONDS}")
    if seconds > MOST_SECONDS:
        raise _constraint("durationSeconds", text, f"value less than or equal to {MOST_SECONDS}")
    return seconds


def _constraint(field: str, value: str, rule: str) -> AwsError:
    return AwsError(
        "ValidationError",
        f"1 validation error detected: Value '{value}' at '{field}' failed to satisfy constraint: "
        f"Member must have or satisfy {rule}",
    )


def _answer(operation: str, fields: str) -> Answer:
    body = (
        f'<{operation}Response xmlns="{STS_NAMESPACE}"><{operation}Result>{fields}</{operation}Result>'
        f"<ResponseMetadata><RequestId>{uuid4()}</RequestId></ResponseMetadata></{operation}Response>"
    )
    return Answer(body=body.encode(), content_type=XML_TYPE)
