"""Secrets, typed so that they cannot be printed by accident."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from costbatch.domain.accounts import Account


class Secret:
    """A text that never shows itself: not in ``str``, ``repr``, formatting, JSON or pickles.

    ``reveal`` is the one way out, so that a search for it finds every use.
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
    """Credentials as they rest in the database: encrypted, bound to one account, with their key's id."""

    key_id: str
    sealed: bytes

    def __repr__(self) -> str:
        return f"SealedCredentials(key_id={self.key_id!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessKeys:
    """An AWS access key; the id alone is no secret to AWS, yet it is treated as one here."""

    access_key_id: Secret
    secret_access_key: Secret
    session_token: Secret | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSecrets:
    """What is sealed for one account: an access key, or the external id of a role, or nothing."""

    access_keys: AccessKeys | None = None
    external_id: Secret | None = None

    def to_document(self) -> dict[str, Any]:
        """Return the plain document that the vault seals."""
        document: dict[str, str] = {}
        if self.access_keys:
            document["access_key_id"] = self.access_keys.access_key_id.reveal()
            document["secret_access_key"] = self.access_keys.secret_access_key.reveal()
            if self.access_keys.session_token:
                document["session_token"] = self.access_keys.session_token.reveal()
        if self.external_id:
            document["external_id"] = self.external_id.reveal()
        return document

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> "StoredSecrets":
        """Return what the vault opened.

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
        return cls(access_keys=keys, external_id=Secret(external_id) if external_id else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How to reach an account: its sealed secrets, and the account whose credentials assume its role.

    ``is_proven``: AWS has said before that these very credentials are the account's. A key never moves.
    """

    account: Account
    sealed: SealedCredentials | None = None
    base: "Access | None" = None
    is_proven: bool = False

    @property
    def chain(self) -> Iterator["Access"]:
        """This access, the one whose credentials assume its role, and so on to the one that signs first."""
        link: Access | None = self
        while link is not None:
            yield link
            link = link.base
