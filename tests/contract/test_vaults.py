"""What the port promises of a vault, by the real one and by the one that other tests use."""

from collections.abc import Callable

import pytest

from costbatch.adapters.vault import AesGcmVault
from costbatch.application.ports import Vault
from costbatch.domain.credentials import AccessKeys, SealedCredentials, Secret, StoredSecrets
from costbatch.errors import AccountError, ErrorKind
from tests.support.fakes import FakeVault

ACCOUNT, OTHER_ACCOUNT = "000000000123", "000000000124"
SECRETS = StoredSecrets(
    access_keys=AccessKeys(access_key_id=Secret("AKIAPLANTED"), secret_access_key=Secret("planted-secret")),
    external_id=Secret("planted-external-id"),
)

MakeVault = Callable[[int], Vault]


@pytest.fixture(params=["real", "fake"])
def make_vault(request: pytest.FixtureRequest) -> MakeVault:
    """Return what makes a vault with the key of a number."""
    if request.param == "real":
        return lambda number: AesGcmVault(bytes([number]) * 32)
    return lambda number: FakeVault(key_id=f"{number:08d}")


def refused(vault: Vault, aws_account_id: str, sealed: SealedCredentials) -> bool:
    """Whether a vault refuses to open, with the error that the port names and none of the secrets."""
    with pytest.raises(AccountError) as caught:
        vault.open(aws_account_id, sealed)
    return caught.value.kind is ErrorKind.CREDENTIALS_UNREADABLE and "planted" not in str(caught.value)


@pytest.mark.parametrize("secrets", [SECRETS, StoredSecrets(), StoredSecrets(external_id=Secret("é ☃"))])
def test_what_was_sealed_opens_for_its_account(make_vault: MakeVault, secrets: StoredSecrets) -> None:
    """By every vault with the same key."""
    sealed = make_vault(1).seal(ACCOUNT, secrets)
    assert make_vault(1).open(ACCOUNT, sealed) == secrets


def test_it_opens_for_no_other_account(make_vault: MakeVault) -> None:
    """Credentials that were copied to another row are useless."""
    vault = make_vault(1)
    assert refused(vault, OTHER_ACCOUNT, vault.seal(ACCOUNT, SECRETS))


def test_it_opens_by_no_other_key(make_vault: MakeVault) -> None:
    """Also if the row says so."""
    sealed = make_vault(1).seal(ACCOUNT, SECRETS)
    assert refused(make_vault(2), ACCOUNT, sealed)


def test_damaged_bytes_do_not_open(make_vault: MakeVault) -> None:
    """Too short, or no format at all."""
    vault = make_vault(1)
    assert refused(vault, ACCOUNT, SealedCredentials(vault.key_id, b"\x00"))


def test_sealed_credentials_name_their_key(make_vault: MakeVault) -> None:
    """The id is the same for the same key only."""
    one, two = make_vault(1), make_vault(2)
    assert one.key_id == make_vault(1).key_id == one.seal(ACCOUNT, SECRETS).key_id != two.key_id
