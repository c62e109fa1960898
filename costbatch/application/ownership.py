"""Asks AWS whose credentials are before they are stored; STS answers that for nothing."""

from collections.abc import Callable

from costbatch.domain.accounts import AccessMethod
from costbatch.domain.credentials import Access
from costbatch.errors import AccountError, ConfigError, CostbatchError, ErrorKind

OwnerOf = Callable[[Access], str]

_NOT_STORED = "Nothing was stored."
_WHAT_TO_DO = {
    ErrorKind.CREDENTIALS_REJECTED: (
        "The key is mistyped, inactive or deleted; a new one takes some seconds until AWS knows it. "
    ),
    ErrorKind.ACCESS_DENIED: "The role's trust policy must allow the base account, with this external id. ",
}


def check_owner(access: Access, owner_of: OwnerOf) -> None:
    """Refuse credentials that AWS does not accept, or that belong to another account.

    If it is the pod's own identity that signs, nothing is asked: this command may run elsewhere.

    Raises:
        ConfigError: they are wrong.
        CostbatchError: AWS could not be asked.

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
                f"{error.detail} So it is not known whose credentials these are. {_NOT_STORED} "
                "Try again, or skip this check with --no-verify."
            ) from None
        raise ConfigError(f"{error.detail} {_WHAT_TO_DO.get(error.kind, '')}{_NOT_STORED}") from None
    if owner != account.aws_account_id:
        raise ConfigError(
            f"These are credentials of account {owner}, not of account {account.aws_account_id}. "
            f"{_NOT_STORED} Give the credentials of {account.aws_account_id}, or name account {owner}."
        )
