"""Checks the input for an account and its secrets before anything is stored. Pure functions."""

import re
from dataclasses import dataclass

from costbatch.domain.accounts import AccessMethod, NewAccount, Partition, RoleArn, parse_account_id
from costbatch.domain.credentials import AccessKeys, StoredSecrets
from costbatch.errors import ConfigError

NO_SECRETS = StoredSecrets()

_LONGEST_NAME = 200
_ACCESS_KEY_ID = re.compile(r"[A-Z0-9]{16,128}")
_TEMPORARY_PREFIX = "ASIA"
_EXTERNAL_ID = re.compile(r"[\w+=,.@:/-]{2,1224}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """The input for registering an account.

    partition: None: that of the role's ARN, or "aws".
    base: the 12-digit id of the account whose credentials assume the role; None: the pod's own.
    """

    aws_account_id: str
    name: str
    access: AccessMethod
    partition: Partition | None = None
    role_arn: str | None = None
    base: str | None = None


def check_registration(registration: Registration) -> NewAccount:
    """Return the new account, without its base; raise ConfigError if the input is invalid."""
    try:
        aws_account_id = parse_account_id(registration.aws_account_id)
        role = RoleArn.parse(registration.role_arn) if registration.role_arn else None
    except ValueError as error:
        raise ConfigError(str(error)) from None
    name = registration.name.strip()
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        raise ConfigError(f"The name of an account must have 1 to {_LONGEST_NAME} printable characters.")
    if role and role.aws_account_id != aws_account_id:
        raise ConfigError(
            f"The role {role.arn} belongs to account {role.aws_account_id}, not to {aws_account_id}. "
            "Use a role of the account whose cost is to be collected."
        )
    if role and registration.partition not in {None, role.partition}:
        raise ConfigError(
            f"The role {role.arn} is in the partition {role.partition}, not in {registration.partition}."
        )
    if (role is not None) != (registration.access is AccessMethod.ASSUMED_ROLE):
        raise ConfigError("A role ARN is required to assume a role, and not allowed otherwise.")
    if registration.base and not role:
        raise ConfigError("A base account is for roles only: its credentials assume the role.")
    return NewAccount(
        aws_account_id=aws_account_id,
        name=name,
        access=registration.access,
        partition=role.partition if role else registration.partition or Partition.AWS,
        role_arn=role.arn if role else None,
    )


def check_secrets(access: AccessMethod, secrets: StoredSecrets, *, is_new: bool) -> None:
    """Raise ConfigError if the secrets do not match the access method."""
    keys, external_id = secrets.access_keys, secrets.external_id
    match access:
        case AccessMethod.POD_IDENTITY if secrets != NO_SECRETS or not is_new:
            raise ConfigError(
                "This account is reached with the pod's own identity; it has no credentials to store."
            )
        case AccessMethod.ASSUMED_ROLE if keys or (external_id is None and not is_new):
            raise ConfigError(
                'A role takes only an external id: {"external_id": "…"}. Access keys are not allowed.'
            )
        case AccessMethod.ACCESS_KEYS if external_id is not None or keys is None:
            raise ConfigError(
                "An access key is required: access_key_id and secret_access_key, without an external id."
            )
    if keys:
        _check_access_keys(keys)
    # An empty one is not none: the role would be assumed without what protects it.
    if external_id is not None and not _EXTERNAL_ID.fullmatch(external_id.reveal()):
        raise ConfigError("An external id must have 2 to 1224 letters, digits or any of + = , . @ : / - _.")


def _check_access_keys(keys: AccessKeys) -> None:
    """Refuse what cannot be an access key; the messages never show the input."""
    key_id, secret = keys.access_key_id.reveal(), keys.secret_access_key.reveal()
    if not secret.strip():
        raise ConfigError("The secret access key is empty.")
    if re.fullmatch(r"A[KS]IA[A-Z0-9]{12,}", secret) and not _ACCESS_KEY_ID.fullmatch(key_id):
        raise ConfigError("The access key id and the secret access key look swapped.")
    if not _ACCESS_KEY_ID.fullmatch(key_id):
        raise ConfigError(
            "The access key id is invalid: it must have 16 to 128 capital letters and digits, such as AKIA…."
        )
    if re.search(r"\s", secret):
        raise ConfigError("The secret access key contains a space or a line break; copy it again.")
    if key_id.startswith(_TEMPORARY_PREFIX) and not keys.session_token:
        raise ConfigError(
            "The access key is temporary (ASIA…): it works only with its session token, and only for hours. "
            "For nightly runs, use a long-lived key (AKIA…) or a role."
        )
