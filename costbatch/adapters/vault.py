"""Encrypts an account's secrets with AES-256-GCM, and decrypts them.

Owns the format of the encrypted bytes. No message, ``repr`` or traceback may contain a secret.
"""

import json
import os
from contextlib import suppress
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from typing_extensions import override

from costbatch.application.ports import Vault
from costbatch.domain import strict_json
from costbatch.domain.credentials import SealedCredentials, Secret, StoredSecrets
from costbatch.errors import AccountError, ConfigError, ErrorKind

KEY_BYTES = 32

_FORMAT_VERSION = 1
_NONCE_BYTES = 12
_TAG_BYTES = 16
_SHORTEST = 1 + _NONCE_BYTES + _TAG_BYTES
_KEY_ID_DIGITS = 8
# Hashed before the key, so that the public id is useless anywhere else where the key may be hashed.
_KEY_ID_DOMAIN = b"costbatch/vault/key-id/v1\x00"


class AesGcmVault(Vault):
    """Encrypts and decrypts with one key of 32 bytes."""

    __slots__ = ("_key", "_key_id")

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ConfigError(f"The encryption key must have {KEY_BYTES} bytes, not {len(key)}.")
        self._key = Secret(key.hex())
        self._key_id = sha256(_KEY_ID_DOMAIN + key).hexdigest()[:_KEY_ID_DIGITS]

    def __repr__(self) -> str:
        return f"AesGcmVault(key_id={self._key_id!r})"

    @property
    @override
    def key_id(self) -> str:
        return self._key_id

    @override
    def seal(self, aws_account_id: str, secrets: StoredSecrets) -> SealedCredentials:
        # The format: version byte, nonce, ciphertext with its tag.
        document = json.dumps(secrets.to_document(), separators=(",", ":")).encode()
        nonce = os.urandom(_NONCE_BYTES)
        ciphertext = self._cipher().encrypt(nonce, document, self._bound_to(aws_account_id))
        return SealedCredentials(self._key_id, bytes([_FORMAT_VERSION]) + nonce + ciphertext)

    @override
    def open(self, aws_account_id: str, sealed: SealedCredentials) -> StoredSecrets:
        blob = bytes(sealed.sealed)
        if sealed.key_id != self._key_id:
            raise _unreadable(
                aws_account_id,
                f"are encrypted with key id {sealed.key_id}, but ENCRYPTION_KEY has key id {self._key_id}",
            )
        if len(blob) < _SHORTEST:
            raise _unreadable(aws_account_id, "were tampered with: they are too short")
        if blob[0] != _FORMAT_VERSION:
            raise _unreadable(aws_account_id, f"have the unknown format version {blob[0]}")
        nonce, ciphertext = blob[1 : 1 + _NONCE_BYTES], blob[1 + _NONCE_BYTES :]
        document = None
        with suppress(InvalidTag):
            document = self._cipher().decrypt(nonce, ciphertext, self._bound_to(aws_account_id))
        if document is None:
            raise _unreadable(aws_account_id, "were tampered with, or encrypted for another account")
        secrets = _read_document(document)
        if secrets is None:
            raise _unreadable(aws_account_id, "were decrypted, but do not contain the expected document")
        return secrets

    def _cipher(self) -> AESGCM:
        return AESGCM(bytes.fromhex(self._key.reveal()))

    def _bound_to(self, aws_account_id: str) -> bytes:
        """Return what is authenticated but not stored: a blob is of no use in another account's row."""
        return bytes([_FORMAT_VERSION]) + f"{self._key_id}{aws_account_id}".encode()


# Problems become None, not exceptions: a chained JSONDecodeError would contain the whole document.
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
