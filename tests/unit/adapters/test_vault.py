"""The vault: what is sealed opens for its account and its key, and for nothing else."""

import json
import pickle
import traceback

import pytest

from costbatch.adapters.vault import AesGcmVault
from costbatch.domain.credentials import AccessKeys, SealedCredentials, Secret, StoredSecrets
from costbatch.errors import AccountError, ConfigError, ErrorKind

ACCOUNT, OTHER_ACCOUNT = "000000000123", "000000000124"
KEY, OTHER_KEY = bytes(range(32)), bytes(range(1, 33))
SECRETS = StoredSecrets(
    access_keys=AccessKeys(
        access_key_id=Secret("AKIAPLANTED"),
        secret_access_key=Secret("planted-secret"),
        session_token=Secret("planted-token"),
    ),
    external_id=Secret("planted-external-id"),
)
PLANTED = ("AKIAPLANTED", "planted-", KEY.hex())


@pytest.fixture
def vault() -> AesGcmVault:
    """Return a vault."""
    return AesGcmVault(KEY)


def refusal(vault: AesGcmVault, sealed: SealedCredentials, aws_account_id: str = ACCOUNT) -> str:
    """Return the detail with which opening fails; nothing in the whole traceback is secret."""
    with pytest.raises(AccountError) as caught:
        vault.open(aws_account_id, sealed)
    assert caught.value.kind is ErrorKind.CREDENTIALS_UNREADABLE
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert not any(text in told for text in PLANTED)
    return caught.value.detail


def seal_text(vault: AesGcmVault, text: bytes) -> SealedCredentials:
    """Seal what is not a document of ours, with the right key and account."""
    nonce = bytes(12)
    ciphertext = vault._cipher().encrypt(nonce, text, vault._bound_to(ACCOUNT))
    return SealedCredentials(vault.key_id, b"\x01" + nonce + ciphertext)


@pytest.mark.parametrize(
    "secrets", [SECRETS, StoredSecrets(), StoredSecrets(external_id=Secret("é ☃ \x00"))], ids=range(3)
)
def test_what_was_sealed_opens(vault: AesGcmVault, secrets: StoredSecrets) -> None:
    """Sealing and opening gives the same secrets back, by another vault with the same key too."""
    sealed = vault.seal(ACCOUNT, secrets)
    assert AesGcmVault(KEY).open(ACCOUNT, sealed) == secrets


def test_a_memoryview_from_the_database_opens(vault: AesGcmVault) -> None:
    """Drivers hand bytea over as a memoryview."""
    sealed = vault.seal(ACCOUNT, SECRETS)
    view = SealedCredentials(sealed.key_id, memoryview(sealed.sealed))  # type: ignore[arg-type] # as psycopg2 does
    assert vault.open(ACCOUNT, view) == SECRETS


def test_sealing_twice_gives_different_bytes(vault: AesGcmVault) -> None:
    """A nonce is never used twice, so equal secrets cannot be recognised."""
    assert vault.seal(ACCOUNT, SECRETS).sealed != vault.seal(ACCOUNT, SECRETS).sealed


def test_the_form_is_version_nonce_ciphertext(vault: AesGcmVault) -> None:
    """The stored form is fixed: one version byte, 12 of nonce, the document and 16 of tag."""
    sealed = vault.seal(ACCOUNT, SECRETS)
    document = json.dumps(SECRETS.to_document(), separators=(",", ":")).encode()
    assert sealed.sealed[0] == 1
    assert len(sealed.sealed) == 1 + 12 + len(document) + 16
    assert b"planted" not in sealed.sealed


def test_the_key_id_tells_keys_apart_and_stays_the_same(vault: AesGcmVault) -> None:
    """The id is stored with every seal, so it may never change for a key."""
    assert vault.key_id == AesGcmVault(KEY).key_id == vault.seal(ACCOUNT, SECRETS).key_id == "2e6fc0ce"
    assert AesGcmVault(OTHER_KEY).key_id != vault.key_id


def test_every_changed_byte_is_noticed(vault: AesGcmVault) -> None:
    """Version, nonce, ciphertext and tag: none of them can be changed unnoticed."""
    sealed = vault.seal(ACCOUNT, SECRETS)
    for position in range(len(sealed.sealed)):
        changed = bytearray(sealed.sealed)
        changed[position] ^= 0x40
        detail = refusal(vault, SealedCredentials(sealed.key_id, bytes(changed)))
        assert ("format version 65" if position == 0 else "tampered") in detail


def test_every_cut_is_noticed(vault: AesGcmVault) -> None:
    """A blob that lost its end, or gained one, does not open."""
    sealed = vault.seal(ACCOUNT, SECRETS)
    for length in range(len(sealed.sealed)):
        assert "tampered" in refusal(vault, SealedCredentials(sealed.key_id, sealed.sealed[:length]))
    assert "tampered" in refusal(vault, SealedCredentials(sealed.key_id, sealed.sealed + b"\x00"))


def test_a_blob_in_another_accounts_row_does_not_open(vault: AesGcmVault) -> None:
    """What is sealed for one account opens for no other."""
    detail = refusal(vault, vault.seal(ACCOUNT, SECRETS), OTHER_ACCOUNT)
    assert OTHER_ACCOUNT in detail
    assert "another account" in detail


def test_another_key_is_told_by_both_ids(vault: AesGcmVault) -> None:
    """After a forgotten rotation, the sentence says which key is needed and which is here."""
    other = AesGcmVault(OTHER_KEY)
    detail = refusal(other, vault.seal(ACCOUNT, SECRETS))
    assert vault.key_id in detail
    assert other.key_id in detail


def test_a_changed_key_id_does_not_help(vault: AesGcmVault) -> None:
    """The key id is authenticated: relabelling a blob does not make another key open it."""
    other = AesGcmVault(OTHER_KEY)
    relabelled = SealedCredentials(other.key_id, vault.seal(ACCOUNT, SECRETS).sealed)
    assert "tampered" in refusal(other, relabelled)


@pytest.mark.parametrize(
    "text",
    [
        b'["planted-secret"]',
        b"planted-secret",
        b'{"access_key_id": "AKIAPLANTED"}',
        b'{"external_id": {"planted-secret": 1}}',
        b"\xff\xfe planted-secret",
        b"[" * 100_000,
    ],
    ids=range(6),
)
def test_an_unexpected_document_is_refused_without_showing_it(vault: AesGcmVault, text: bytes) -> None:
    """What opens but is not ours is told apart from tampering, and stays unseen."""
    assert "expected document" in refusal(vault, seal_text(vault, text))


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_key_of_another_length_is_wrong_configuration(length: int) -> None:
    """Only 32 bytes are a key."""
    with pytest.raises(ConfigError, match=f"32 bytes, not {length}"):
        AesGcmVault(bytes(length))


def test_neither_vault_nor_seal_shows_a_secret(vault: AesGcmVault) -> None:
    """Printing, formatting and pickling give nothing away."""
    shown = f"{vault} {vault!r} {vault.seal(ACCOUNT, SECRETS)} {SECRETS!r}"
    assert "key_id='2e6fc0ce'" in shown
    assert not any(text in shown for text in PLANTED)
    with pytest.raises(TypeError):
        pickle.dumps(vault)
