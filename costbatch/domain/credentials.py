"""Secrets, typed so that they cannot be printed by accident, and how an account is reached with them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from costbatch.domain.accounts import AccessMethod, Account


class Secret:
    """A text that is never shown: not by ``str``, ``repr``, formatting, JSON or pickle.

    ``reveal`` is the only way to read it, so that a search finds every use.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __bool__(self) -> bool:
        return bool(self._text)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret cannot be pickled")


@dataclass(frozen=True, slots=True, repr=False)
class SealedCredentials:
    """Credentials as they are stored: encrypted, bound to one account, with the id of their key."""

    key_id: str
    sealed: bytes

    def __repr__(self) -> str:
        return f"SealedCredentials(key_id={self.key_id!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessKeys:
    """An AWS access key. To AWS its id is not a secret; here it is treated as one."""

    access_key_id: Secret
    secret_access_key: Secret
    session_token: Secret | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSecrets:
    """The secrets of one account: an access key, the external id of a role, or none."""

    access_keys: AccessKeys | None = None
    external_id: Secret | None = None

    def to_document(self) -> dict[str, Any]:
        """Return the plain document that the vault encrypts."""
        document: dict[str, str] = {}
        if self.access_keys:
            document["access_key_id"] = self.access_keys.access_key_id.reveal()
            document["secret_access_key"] = self.access_keys.secret_access_key.reveal()
            if self.access_keys.session_token:
                document["session_token"] = self.access_keys.session_token.reveal()
        if self.external_id is not None:
            document["external_id"] = self.external_id.reveal()
        return document

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> "StoredSecrets":
        """Return the secrets in a document that the vault decrypted.

        Raises:
            KeyError: an access key without its secret.

        """
        keys = None
        if "access_key_id" in document:
            token = document.get("session_token")
            keys = AccessKeys(
                access_key_id=Secret(document["access_key_id"]),
                secret_access_key=Secret(document["secret_access_key"]),
                session_token=Secret(token) if token else None,
            )
        external_id = document.get("external_id")
        return cls(access_keys=keys, external_id=Secret(external_id) if external_id is not None else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How to reach an account: its encrypted secrets, and the account whose credentials assume its role.

    ``is_proven``: AWS has confirmed that these credentials belong to the account, which cannot change.
    """

    account: Account
    sealed: SealedCredentials | None = None
    base: "Access | None" = None
    is_proven: bool = False

    @property
    def chain(self) -> Iterator["Access"]:
        """This access, the one whose credentials assume its role, and so on to the one that signs first.

        A base that is still stored for an account with access keys of its own is not used.
        """
        link: Access | None = self
        while link is not None:
            yield link
            link = link.base if link.account.access is AccessMethod.ASSUMED_ROLE else None
