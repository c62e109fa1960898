"""Seals an account's secrets with AES-256-GCM and opens them again.

Owns the form of the sealed bytes; must never let a secret into a message, a ``repr`` or a traceback.
"""

import json
import os
from hashlib import sha256
from typing import TYPE_CHECKING

from costbatch.domain import strict_json
from costbatch.domain.credentials import SealedCredentials, Secret, StoredSecrets
from costbatch.errors import AccountError, ConfigError, ErrorKind

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32

_FORMAT_VERSION = 1
_NONCE_BYTES = 12
_TAG_BYTES = 16
_SHORTEST = 1 + _NONCE_BYTES + _TAG_BYTES
_KEY_ID_DIGITS = 8
# Hashed before the key, so that the public id is of no use wherever else the key might be hashed.
_KEY_ID_DOMAIN = b"costbatch/vault/key-id/v1\x00"


class AesGcmVault:
    """Seals and opens with one key of 32 bytes; what is sealed for one account opens for no other."""

    __slots__ = ("_key", "_key_id")

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ConfigError(f"The encryption key must have {KEY_BYTES} bytes, not {len(key)}.")
        self._key = Secret(key.hex())
        self._key_id = sha256(_KEY_ID_DOMAIN + key).hexdigest()[:_KEY_ID_DIGITS]

    def __repr__(self) -> str:
        return f"AesGcmVault(key_id={self._key_id!r})"

    @property
    def key_id(self) -> str:
        """The id of the key; it tells keys apart and nothing about them."""
        return self._key_id

    def seal(self, aws_account_id: str, secrets: StoredSecrets) -> SealedCredentials:
        """Return the secrets sealed for one account: version byte, nonce, ciphertext with its tag."""
        document = json.dumps(secrets.to_document(), separators=(",", ":")).encode()
        nonce = os.urandom(_NONCE_BYTES)
        ciphertext = self._cipher().encrypt(nonce, document, self._bound_to(aws_account_id))
        return SealedCredentials(self._key_id, bytes([_FORMAT_VERSION]) + nonce + ciphertext)

    def open(self, aws_account_id: str, sealed: SealedCredentials) -> StoredSecrets:
        """Return what was sealed.

        Raises:
            AccountError: credentials_unreadable, with a detail that says why.

        """
        self._check_form(aws_account_id, sealed)
        document = self._decrypt(aws_account_id, bytes(sealed.sealed))
        if document is None:
            raise _unreadable(aws_account_id, "were tampered with, or sealed for another account")
        secrets = _read_document(document)
        if secrets is None:
            raise _unreadable(aws_account_id, "open, but do not hold the expected document")
        return secrets

    def _check_form(self, aws_account_id: str, sealed: SealedCredentials) -> None:
        if sealed.key_id != self._key_id:
            raise _unreadable(
                aws_account_id, f"are sealed with the key {sealed.key_id}, and the key here is {self._key_id}"
            )
        if len(sealed.sealed) < _SHORTEST:
            raise _unreadable(aws_account_id, "were tampered with: they are too short")
        if sealed.sealed[0] != _FORMAT_VERSION:
            raise _unreadable(aws_account_id, f"have the unknown format version {sealed.sealed[0]}")

    def _decrypt(self, aws_account_id: str, blob: bytes) -> bytes | None:
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - as in _cipher

        nonce, ciphertext = blob[1 : 1 + _NONCE_BYTES], blob[1 + _NONCE_BYTES :]
        try:
            return self._cipher().decrypt(nonce, ciphertext, self._bound_to(aws_account_id))
        except InvalidTag:
            return None

    def _cipher(self) -> "AESGCM":
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - a key's id needs none of it

        return AESGCM(bytes.fromhex(self._key.reveal()))

    def _bound_to(self, aws_account_id: str) -> bytes:
        """Return what is authenticated but not stored: a blob in another account's row does not open."""
        return bytes([_FORMAT_VERSION]) + f"{self._key_id}{aws_account_id}".encode()


# Problems become None, not exceptions: a chained JSONDecodeError would carry the whole plain document.
def _read_document(document: bytes) -> StoredSecrets | None:
    try:
        members = strict_json.loads(document)
        if not isinstance(members, dict) or not all(isinstance(text, str) for text in members.values()):
            return None
        return StoredSecrets.from_document(members)
    except (ValueError, KeyError, RecursionError):
        return None


def _unreadable(aws_account_id: str, problem: str) -> AccountError:
    return AccountError(
        ErrorKind.CREDENTIALS_UNREADABLE, f"The stored credentials of account {aws_account_id} {problem}."
    )
