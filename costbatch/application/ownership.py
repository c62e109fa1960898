"""Asks STS, free of charge, which account owns credentials, and remembers what AWS has proven."""

from collections.abc import Callable, Sequence
from datetime import datetime

from costbatch.application.ports import Transaction
from costbatch.domain.accounts import AccessMethod
from costbatch.domain.credentials import Access
from costbatch.errors import AccountError, ConfigError, CostbatchError, ErrorKind

OwnerOf = Callable[[Access], str]

_NOT_STORED = "Nothing was stored."
_WHAT_TO_DO = {
    ErrorKind.CREDENTIALS_REJECTED: (
        "The key is mistyped, inactive or deleted; a new key works only after some seconds. "
    ),
    ErrorKind.ACCESS_DENIED: "The role's trust policy must allow the base account, with this external id. ",
}


def check_owner(access: Access, owner_of: OwnerOf) -> None:
    """Refuse credentials that AWS rejects, or that belong to another account.

    If the pod's own identity signs, AWS is not asked, because this command may run outside of the pod.

    Raises:
        ConfigError: the credentials are wrong.
        CostbatchError: AWS could not be reached.

    """
    account = access.account
    *_, signer = (link.account for link in access.chain)
    if signer.access is not AccessMethod.ACCESS_KEYS:
        return
    try:
        owner = owner_of(access)
    except AccountError as error:
        if error.kind.is_transient:
            raise CostbatchError(
                f"{error.detail} The owner of the credentials could not be verified. {_NOT_STORED} "
                "Try again, or skip this check with --no-verify."
            ) from None
        raise ConfigError(f"{error.detail} {_WHAT_TO_DO.get(error.kind, '')}{_NOT_STORED}") from None
    if owner != account.aws_account_id:
        raise ConfigError(
            f"These credentials belong to account {owner}, not to {account.aws_account_id}. "
            f"{_NOT_STORED} Use the credentials of {account.aws_account_id}, or register account {owner}."
        )


def save_proven(tx: Transaction, accesses: Sequence[Access], *, now: datetime) -> None:
    """Remember that AWS has said whose these access keys are, so that it is not asked again."""
    proven = [
        access
        for access in accesses
        if access.account.access is AccessMethod.ACCESS_KEYS and not access.is_proven
    ]
    if proven:
        tx.accounts.save_proven(proven, now=now)
