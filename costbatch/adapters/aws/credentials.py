"""Resolves an account's access to credentials that are proven to belong to it.

Opens stored secrets, assumes roles, and checks owners. Sends no paid requests, and comes before every one.
"""

from collections.abc import Callable
from typing import Any

from costbatch.adapters.aws.clients import AwsClients, signing_as
from costbatch.adapters.aws.errors import call_aws
from costbatch.adapters.aws.operations import GET_CALLER_IDENTITY, STS
from costbatch.adapters.aws.pod_identity import PodIdentity
from costbatch.domain.accounts import AccessMethod, Account, parse_account_id
from costbatch.domain.credentials import Access, AccessKeys, SealedCredentials, Secret, StoredSecrets
from costbatch.errors import AccountError, ErrorKind
from costbatch.logs import register_secret

# Accounts in a chain of roles: the account's own role, the role that assumes it, …
MAX_CHAIN = 4

OpenSealed = Callable[[str, SealedCredentials], StoredSecrets]


class Identities:
    """Resolves accesses to credentials; safe to share between threads."""

    def __init__(
        self, *, clients: AwsClients, open_sealed: OpenSealed, pod: PodIdentity | None = None
    ) -> None:
        self._clients = clients
        self._open_sealed = open_sealed
        self._pod = pod or PodIdentity()

    def resolve(self, access: Access) -> AccessKeys:
        """Return credentials of the account, after STS has confirmed that they are the account's.

        STS is asked once who owns a stored key, before the first paid request that it signs: a key never
        moves to another account. A role is assumed every time, and the response names its account.

        Raises:
            AccountError: there are none, AWS refuses them, or they are another account's (wrong_account).

        """
        _check_chain(access)
        keys = self._keys(access)
        method = access.account.access
        is_unproven_key = method is AccessMethod.ACCESS_KEYS and not access.is_proven
        # A pod's credentials can change at any time.
        if is_unproven_key or method is AccessMethod.POD_IDENTITY:
            _check_owner(access.account, self._ask_owner(access.account, keys))
        return keys

    def owner(self, access: Access) -> str:
        """Return the 12-digit id of the account that the credentials belong to.

        Raises:
            AccountError: there are none, or AWS refuses them.

        """
        _check_chain(access)
        return self._ask_owner(access.account, self._keys(access))

    def _ask_owner(self, account: Account, keys: AccessKeys) -> str:
        requests = self._clients.requests(GET_CALLER_IDENTITY, account.partition)
        return owner_of(call_aws(GET_CALLER_IDENTITY.name, lambda: requests.answer({}, keys)))

    def _keys(self, access: Access) -> AccessKeys:
        match access.account.access:
            case AccessMethod.ACCESS_KEYS:
                return self._stored_keys(access)
            case AccessMethod.ASSUMED_ROLE:
                return self._assume_role(access)
            case AccessMethod.POD_IDENTITY:
                return self._pod.access_keys()

    def _stored_keys(self, access: Access) -> AccessKeys:
        keys = self._secrets(access).access_keys
        if keys is None:
            raise _unreadable(access.account, "No access key is stored for account")
        texts = (keys.access_key_id, keys.secret_access_key, keys.session_token)
        # The HTTP library would quote in its error what a header cannot contain.
        if not all(_is_token(text.reveal()) for text in texts if text is not None):
            raise AccountError(
                ErrorKind.CREDENTIALS_REJECTED,
                f"The access key stored for account {access.account.aws_account_id} is not of the form that "
                "AWS issues.",
            )
        return keys

    def _secrets(self, access: Access) -> StoredSecrets:
        if access.sealed is None:
            return StoredSecrets()
        secrets = self._open_sealed(access.account.aws_account_id, access.sealed)
        for text in secrets.to_document().values():
            # An external id that is the account's own id is not secret.
            if text != access.account.aws_account_id:
                register_secret(Secret(text))
        return secrets

    def _assume_role(self, access: Access) -> AccessKeys:
        account = access.account
        if account.role_arn is None:
            raise _unreadable(account, "No role is stored for account")
        request = {
            "RoleArn": account.role_arn,
            "RoleSessionName": f"costbatch-{account.aws_account_id}",
        }
        external_id = self._secrets(access).external_id
        if external_id:
            request["ExternalId"] = external_id.reveal()
        base = self._keys(access.base) if access.base else self._pod.access_keys()
        client = self._clients.get(STS, account.partition)
        with signing_as(base):
            response: dict[str, Any] = call_aws("AssumeRole", lambda: client.assume_role(**request))
        keys = _assumed_keys(response)
        _check_owner(account, _owner_of_role(response))
        return keys


def _check_chain(access: Access) -> None:
    """Refuse circular and too long chains of roles before any request."""
    seen: set[int] = set()
    for link in access.chain:
        if link.account.id in seen:
            raise _unreadable(access.account, "Roles are assumed in a circle to reach account")
        seen.add(link.account.id)
        if len(seen) > MAX_CHAIN:
            raise _unreadable(
                access.account, f"More than {MAX_CHAIN} accounts in a row are used to reach account"
            )


def _is_token(text: str) -> bool:
    return bool(text) and text.isascii() and text.isprintable() and " " not in text


def _assumed_keys(response: dict[str, Any]) -> AccessKeys:
    credentials = response.get("Credentials") or {}
    texts = [credentials.get(name) for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")]
    secrets = [Secret(text) for text in texts if isinstance(text, str) and _is_token(text)]
    if len(secrets) != len(texts):
        raise AccountError(
            ErrorKind.MALFORMED_RESPONSE, "The response to AssumeRole contains no credentials."
        )
    for each in secrets:
        register_secret(each)
    key_id, secret, token = secrets
    return AccessKeys(access_key_id=key_id, secret_access_key=secret, session_token=token)


def owner_of(response: dict[str, Any]) -> str:
    """Return the 12-digit account id of a response to GetCallerIdentity.

    Raises:
        AccountError: malformed_response.

    """
    try:
        return parse_account_id(str(response.get("Account")))
    except ValueError:
        problem = "The response to GetCallerIdentity names no account."
    raise AccountError(ErrorKind.MALFORMED_RESPONSE, problem)


def _owner_of_role(response: dict[str, Any]) -> str:
    """Return the account of an assumed role: arn:PARTITION:sts::ACCOUNT:assumed-role/ROLE/SESSION."""
    arn = str((response.get("AssumedRoleUser") or {}).get("Arn"))
    try:
        return parse_account_id(arn.split(":")[4])
    except (IndexError, ValueError):
        problem = "The response to AssumeRole names no account."
    raise AccountError(ErrorKind.MALFORMED_RESPONSE, problem)


def _check_owner(account: Account, owner: str) -> None:
    if owner != account.aws_account_id:
        raise AccountError(
            ErrorKind.WRONG_ACCOUNT,
            f"The credentials stored for account {account.aws_account_id} are those of account {owner}.",
        )


def _unreadable(account: Account, problem: str) -> AccountError:
    return AccountError(ErrorKind.CREDENTIALS_UNREADABLE, f"{problem} {account.aws_account_id}.")
