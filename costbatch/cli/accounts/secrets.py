"""How secrets come in: from a hidden prompt or a file, never from the command line."""

import sys
from collections.abc import Mapping

import click

from costbatch.cli.accounts.formats import from_aws_json, from_aws_text
from costbatch.cli.aws_profiles import read_profile
from costbatch.cli.context import Context
from costbatch.config.files import LARGEST_BYTES, check_size, decode_text, read_small_file
from costbatch.domain import strict_json
from costbatch.domain.accounts import AccessMethod
from costbatch.domain.credentials import AccessKeys, Secret, StoredSecrets
from costbatch.domain.excerpt import path_excerpt
from costbatch.errors import ConfigError
from costbatch.logs import register_secret

_MEMBERS = ("access_key_id", "secret_access_key", "session_token", "external_id")
_EXPECTED = (
    'It must hold JSON such as {"access_key_id": "…", "secret_access_key": "…"} or {"external_id": "…"}, '
    "or the lines of one profile of an AWS credentials file, or a key as AWS hands it out: the JSON of "
    "`aws iam create-access-key`, the console's CSV, or `aws configure export-credentials`."
)

secrets_file_option = click.option(
    "--secrets-file",
    metavar="FILE",
    help="Read the secrets from this file, or from standard input (-): JSON, the lines of an AWS "
    "credentials file, or an access key as AWS's console and command line hand it out.",
)

no_verify_option = click.option(
    "--no-verify", is_flag=True, help="Do not ask AWS whose the credentials are before they are stored."
)


def read_secrets(path: str) -> StoredSecrets:
    """Return the secrets that a file holds; "-" is standard input."""
    where = "Standard input" if path == "-" else f"The file {path_excerpt(path)}"
    members = _parse_document(read_text(path), where)
    if not members or not set(members) <= set(_MEMBERS):
        raise ConfigError(f"{where} has none or too many of {', '.join(_MEMBERS)}. {_EXPECTED}")
    if ("access_key_id" in members) != ("secret_access_key" in members):
        raise ConfigError(f"{where} has one of access_key_id and secret_access_key without the other.")
    return _registered(StoredSecrets.from_document(dict(members)))


def read_text(path: str) -> str:
    """Return the text of a file, or of standard input."""
    try:
        if path != "-":
            return decode_text(read_small_file(path))
        content = sys.stdin.buffer.read(LARGEST_BYTES + 1)
        check_size(content)
        return decode_text(content)
    except ValueError as error:
        raise ConfigError(f"{'Standard input' if path == '-' else path_excerpt(path)} {error}") from None


def read_external_id(path: str) -> StoredSecrets:
    """Return the external id that a file, or standard input, holds as plain text."""
    return _registered(StoredSecrets(external_id=Secret(read_text(path).strip())))


def ask_for_secrets(context: Context, access: AccessMethod) -> StoredSecrets:
    """Ask a person for the secrets of an access method, without showing them."""
    if not context.can_ask():
        raise ConfigError(
            "The secrets are missing, and nobody is there to type them: use --secrets-file FILE, "
            "or --secrets-file - for standard input."
        )
    if access is AccessMethod.ASSUMED_ROLE:
        return _registered(StoredSecrets(external_id=_ask("External id")))
    keys = AccessKeys(access_key_id=_ask("Access key id"), secret_access_key=_ask("Secret access key"))
    return _registered(StoredSecrets(access_keys=keys))


def _ask(what: str) -> Secret:
    return Secret(click.prompt(what, hide_input=True, err=True).strip())


def _parse_document(text: str, where: str) -> Mapping[str, str]:
    """Return the members of a JSON object, or the lines of a profile by the same names."""
    # The console's CSV begins with a byte order mark.
    text = text.removeprefix("\ufeff").strip()
    if not text:
        raise ConfigError(f"{where} is empty. {_EXPECTED}")
    if not text.startswith("{"):
        members = from_aws_text(text, where)
        return read_profile(text, where) if members is None else members
    try:
        document = strict_json.loads(text)
    except strict_json.RepeatedMemberError as error:
        raise ConfigError(f"{where} holds {error}; keep one of them.") from None
    except (ValueError, RecursionError):
        document = None
    document = from_aws_json(document, where)
    if not isinstance(document, dict) or not all(isinstance(one, str) for one in document.values()):
        raise ConfigError(f"{where} is not a JSON object of texts. {_EXPECTED}")
    return document


def _registered(secrets: StoredSecrets) -> StoredSecrets:
    for name, text in secrets.to_document().items():
        register_secret(Secret(text))
        if not (text.isascii() and text.isprintable()):
            raise ConfigError(f"The {name} holds characters that AWS never uses in one; copy it again.")
    return secrets
