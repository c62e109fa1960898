"""Secrets do not show themselves."""

import copy
import json
import pickle
import traceback
from dataclasses import asdict

import pytest

from costbatch.domain.credentials import Access, AccessKeys, SealedCredentials, Secret, StoredSecrets
from tests.support.factories import make_account

TEXT = "wJalrXUtnFEMI/planted"
SECRET = Secret(TEXT)
KEYS = AccessKeys(
    access_key_id=Secret("AKIAPLANTED"), secret_access_key=SECRET, session_token=Secret("t0ken")
)


@pytest.mark.parametrize(
    "shown",
    [
        str(SECRET),
        repr(SECRET),
        f"{SECRET}",
        f"{SECRET!r}",
        f"{SECRET!s:>40}",
        "{}".format(SECRET),  # noqa: UP032 - one more way to print
        "%s %r" % (SECRET, SECRET),  # noqa: UP031 - one more way to print
        str([SECRET]),
        str({"key": SECRET}),
        json.dumps({"key": SECRET}, default=str),
        json.dumps({"key": SECRET}, default=repr),
        repr(KEYS),
        repr(StoredSecrets(access_keys=KEYS, external_id=SECRET)),
    ],
)
def test_no_way_of_printing_shows_a_secret(shown: str) -> None:
    """Text, representation, formats, containers and records all show stars."""
    assert TEXT not in shown
    assert "AKIAPLANTED" not in shown
    assert "***" in shown


def test_a_format_that_could_cut_a_secret_is_refused() -> None:
    """A width or a slice would be a way to its letters."""
    with pytest.raises(TypeError, match="unsupported format string"):
        f"{SECRET:.3}"


def test_json_refuses_a_secret() -> None:
    """A secret in a document is an error, not a leak."""
    with pytest.raises(TypeError, match="not JSON serializable"):
        json.dumps({"key": SECRET})


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_secret_cannot_be_pickled(protocol: int) -> None:
    """Not alone and not in what holds it."""
    for holder in (SECRET, KEYS):
        with pytest.raises(TypeError, match="a secret cannot be pickled"):
            pickle.dumps(holder, protocol)


def test_a_secret_cannot_be_copied_out() -> None:
    """``asdict`` copies deeply, and would pass a secret to code that prints dictionaries."""
    with pytest.raises(TypeError, match="a secret cannot be pickled"):
        copy.deepcopy(SECRET)
    with pytest.raises(TypeError, match="a secret cannot be pickled"):
        asdict(KEYS)


def test_a_secret_has_no_dictionary_to_look_into() -> None:
    """``vars`` is what debuggers and error reporters print."""
    with pytest.raises(TypeError):
        vars(SECRET)


def test_a_traceback_that_shows_locals_shows_no_secret() -> None:
    """Error reporters print the local variables of every frame."""

    def fail(secret: Secret) -> None:
        raise RuntimeError(f"cannot use {secret}")

    with pytest.raises(RuntimeError) as caught:
        fail(SECRET)
    report = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    text = "".join(report.format())
    assert "secret = Secret(***)" in text
    assert TEXT not in text


def test_revealing_is_the_one_way_out() -> None:
    """What went in comes out, if it is asked for by name."""
    assert SECRET.reveal() == TEXT


def test_secrets_are_equal_where_their_texts_are() -> None:
    """A secret is a value; an empty one is no secret."""
    assert Secret(TEXT) == SECRET
    assert hash(SECRET) == hash(Secret(TEXT))
    assert Secret("other") != SECRET
    assert SECRET != TEXT
    assert SECRET
    assert not Secret("")


def test_sealed_credentials_show_their_key_id_only() -> None:
    """The sealed bytes are not shown, also if an access holds them."""
    sealed = SealedCredentials("1a2b3c4d", b"ciphertext")
    assert repr(sealed) == "SealedCredentials(key_id='1a2b3c4d')"
    assert "ciphertext" not in repr(Access(account=make_account(), sealed=sealed))


@pytest.mark.parametrize(
    "secrets",
    [
        StoredSecrets(),
        StoredSecrets(access_keys=KEYS),
        StoredSecrets(access_keys=AccessKeys(access_key_id=Secret("AKIA"), secret_access_key=SECRET)),
        StoredSecrets(external_id=Secret("partner-7")),
        StoredSecrets(access_keys=KEYS, external_id=Secret("partner-7")),
    ],
)
def test_what_is_sealed_comes_back_whole(secrets: StoredSecrets) -> None:
    """The document that the vault seals holds everything and nothing else."""
    assert StoredSecrets.from_document(json.loads(json.dumps(secrets.to_document()))) == secrets


def test_an_access_key_without_its_secret_is_refused() -> None:
    """Half a key is no key."""
    with pytest.raises(KeyError, match="secret_access_key"):
        StoredSecrets.from_document({"access_key_id": "AKIA"})
