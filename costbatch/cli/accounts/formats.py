"""The forms in which AWS itself hands out an access key; each is read to the members of our own JSON.

They are the JSON of ``aws iam create-access-key``, the console's CSV, and what
``aws configure export-credentials`` prints.
"""

import csv
import re
from collections.abc import Mapping

from costbatch.errors import ConfigError

_OF_JSON = {
    "AccessKeyId": "access_key_id",
    "SecretAccessKey": "secret_access_key",
    "SessionToken": "session_token",
}
_OF_CSV = {"access key id": "access_key_id", "secret access key": "secret_access_key"}
_OF_SHELLS = {
    "AWS_ACCESS_KEY_ID": "access_key_id",
    "AWS_SECRET_ACCESS_KEY": "secret_access_key",
    "AWS_SESSION_TOKEN": "session_token",
}
# Of sh, of fish, of cmd.exe and of PowerShell; --format env-no-export has none of the words before the name.
_ASSIGNMENT = re.compile(r"(?:export\s+|set\s+(?:-gx\s+)?|\$Env:)?(AWS_[A-Z_]+)(?:\s*=\s*|\s+)(.*)")


def from_aws_json(document: object, where: str) -> object:
    """Return the members of an access key in AWS's own JSON; any other document comes back as it is."""
    if not isinstance(document, dict):
        return document
    key = next((document[name] for name in ("AccessKey", "Credentials") if name in document), document)
    if not isinstance(key, dict) or not key.keys() & _OF_JSON.keys():
        return document
    return _long_lived({ours: key[name] for name, ours in _OF_JSON.items() if key.get(name)}, where)


def from_aws_text(text: str, where: str) -> Mapping[str, str] | None:
    """Return the members of an access key in a CSV or in lines for a shell; None if it is neither."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if not lines:
        return None
    delimiter = next((each for each in ",;\t" if each in lines[0]), ",")
    titles = [title.strip().lower() for title in next(csv.reader(lines[:1], delimiter=delimiter))]
    if _OF_CSV.keys() <= set(titles):
        return _from_csv(titles, list(csv.reader(lines[1:], delimiter=delimiter)), where)
    assignments = [_ASSIGNMENT.fullmatch(line) for line in lines]
    pairs = [(found[1], found[2].strip().strip("\"'")) for found in assignments if found]
    if len(pairs) < len(lines):
        return None
    names = [name for name, _ in pairs]
    if twice := next((name for name in _OF_SHELLS if names.count(name) > 1), None):
        raise ConfigError(f"{where} sets {twice} more than once; keep one.")
    return _long_lived({_OF_SHELLS[name]: value for name, value in pairs if name in _OF_SHELLS}, where)


def _from_csv(titles: list[str], rows: list[list[str]], where: str) -> Mapping[str, str]:
    if len(rows) != 1:
        raise ConfigError(f"{where} holds {len(rows)} access keys; keep one.")
    # A row may be shorter than the titles: the console leaves the last columns out.
    values = dict(zip(titles, (value.strip() for value in rows[0]), strict=False))
    return {ours: values[title] for title, ours in _OF_CSV.items() if values.get(title)}


def _long_lived(members: dict[str, str], where: str) -> Mapping[str, str]:
    """Return the members of a key that does not expire; raise ConfigError if there is a session token."""
    if members.get("session_token"):
        raise ConfigError(
            f"{where} holds temporary credentials, which expire within hours. For a batch that runs every "
            "night, store a long-lived key (`aws iam create-access-key`) or register a role (--role-arn)."
        )
    members.pop("session_token", None)
    return members
