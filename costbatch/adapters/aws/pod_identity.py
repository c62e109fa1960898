"""The pod's own AWS credentials, as boto3 finds them (EKS Pod Identity, IRSA, environment, profile).

Used only for accounts that are registered with it.
"""

from collections.abc import Callable
from threading import Lock
from typing import TypeVar

import boto3
from botocore.credentials import Credentials

from costbatch.adapters.aws.errors import call_aws
from costbatch.adapters.aws.sessions import forget_empty_variables
from costbatch.domain.credentials import AccessKeys, Secret
from costbatch.errors import AccountError, ErrorKind
from costbatch.logs import register_secret
from costbatch.timeout import within

T = TypeVar("T")

_OPERATION = "Reading the pod's AWS identity"
_LIMIT_SECONDS = 60.0
_REFUSED = (
    "AWS does not let the pod assume its role: check that the role in AWS_ROLE_ARN or in the profile exists, "
    "and that its trust policy names the cluster's OIDC provider and the pod's service account."
)
_UNUSABLE = "Check the AWS_… variables of the pod and the profile that they name."
_ADVICE = {
    ErrorKind.ACCESS_DENIED: _REFUSED,
    ErrorKind.CREDENTIALS_REJECTED: _REFUSED,
    ErrorKind.INTERNAL: _UNUSABLE,
    ErrorKind.MALFORMED_RESPONSE: _UNUSABLE,
}


class PodIdentity:
    """Finds the pod's credentials once and keeps them fresh; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._is_found = False
        self._credentials: Credentials | None = None

    def access_keys(self) -> AccessKeys:
        """Return credentials that are valid now.

        Raises:
            AccountError: there are none, or they could not be renewed.

        """
        with self._lock:
            # Looked for once: finding that there are none takes seconds, and every account would wait for it.
            if not self._is_found:
                self._credentials = _read(_look)
                self._is_found = True
            credentials = self._credentials
        # Renews what is about to expire, one thread at a time.
        frozen = credentials and _read(credentials.get_frozen_credentials)
        if frozen is None or not frozen.access_key or not frozen.secret_key:
            raise AccountError(
                ErrorKind.POD_IDENTITY_MISSING,
                "The pod has no AWS identity: boto3 finds no credentials in its environment.",
            )
        for text in filter(None, (frozen.access_key, frozen.secret_key, frozen.token)):
            register_secret(Secret(text))
        return AccessKeys(
            access_key_id=Secret(frozen.access_key),
            secret_access_key=Secret(frozen.secret_key),
            session_token=Secret(frozen.token) if frozen.token else None,
        )


def _read(call: Callable[[], T]) -> T:
    """Return what boto3 finds; report what AWS refuses as the pod's identity, not as stored credentials.

    The timeouts of the pod's metadata, its agent and STS apply to each read: here they share one limit.
    """
    try:
        return within(_LIMIT_SECONDS, lambda: call_aws(_OPERATION, call))
    except TimeoutError:
        problem = f"{_OPERATION} did not end within {_LIMIT_SECONDS:g} seconds."
        failure = AccountError(ErrorKind.TIMEOUT, problem)
    except AccountError as error:
        advice = _ADVICE.get(error.kind)
        if advice is None:
            raise
        failure = AccountError(ErrorKind.POD_IDENTITY_MISSING, error.detail, advice)
    raise failure


def _look() -> Credentials | None:
    forget_empty_variables()
    credentials: Credentials | None = boto3.Session().get_credentials()
    return credentials
