"""Reads secrets: from a prompt without echo or from a file, in our JSON or as AWS hands them out.

Never from the command line; no message quotes a value. AWS hands out an access key as the JSON of
``aws iam create-access-key``, as the console's CSV, as the lines that ``aws configure export-credentials``
prints for a shell, and as a profile of a credentials file.
"""

import csv
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

import click

from costbatch.cli.context import Context, asking
from costbatch.config.files import LARGEST_BYTES, check_size, decode_text, read_small_file, why_not_opened
from costbatch.domain import strict_json
from costbatch.domain.accounts import AccessMethod
from costbatch.domain.credentials import AccessKeys, Secret, StoredSecrets
from costbatch.domain.excerpt import excerpt, path_excerpt
from costbatch.errors import ConfigError
from costbatch.logs import register_secret

_KEY_ID, _SECRET_KEY, _TOKEN, _EXTERNAL_ID = (
    "access_key_id",
    "secret_access_key",
    "session_token",
    "external_id",
)
_MEMBERS = (_KEY_ID, _SECRET_KEY, _TOKEN, _EXTERNAL_ID)
_EXPECTED = (
    'Expected JSON such as {"access_key_id": "…", "secret_access_key": "…"} or {"external_id": "…"}, '
    "one profile of an AWS credentials file, or an access key as AWS exports it: the JSON of "
    "`aws iam create-access-key`, the console's CSV, or `aws configure export-credentials`."
)

# The names of our members in each of AWS's formats.
_JSON_NAMES = {"AccessKeyId": _KEY_ID, "SecretAccessKey": _SECRET_KEY, "SessionToken": _TOKEN}
_CSV_TITLES = {"access key id": _KEY_ID, "secret access key": _SECRET_KEY}
_SHELL_NAMES = {
    "AWS_ACCESS_KEY_ID": _KEY_ID,
    "AWS_SECRET_ACCESS_KEY": _SECRET_KEY,
    "AWS_SESSION_TOKEN": _TOKEN,
}
# Of sh, fish, cmd.exe and PowerShell; --format env-no-export has no word before the name.
_ASSIGNMENT = re.compile(r"(?:export\s+|set\s+(?:-gx\s+)?|\$Env:)?(AWS_[A-Z_]+)(?:\s*=\s*|\s+)(.*)")

_LINE_END = re.compile(r"\r\n|\r|\n")
_PROFILE = re.compile(r"\[([^\]]+)\]\s*([#;].*)?")
_SETTING = re.compile(r"([\w.-]+)\s*[=:]\s*(.*)", re.ASCII)
_COMMENT_AFTER_VALUE = re.compile(r"\s+[#;].*")
_PREFIX = "aws_"
# The second is what older tools write beside or instead of the first.
_PROFILE_TOKENS = (_TOKEN, "security_token")
_PROFILE_SECRETS = (_KEY_ID, _SECRET_KEY, *_PROFILE_TOKENS, _EXTERNAL_ID)
# How a profile without a key says where its credentials come from.
_OTHER_SOURCES = ("role_arn", "source_profile", "credential_process", "sso_session", "sso_start_url")


def prompt_for_secrets(context: Context, access: AccessMethod) -> StoredSecrets:
    """Prompt for the secrets of an access method, without echo.

    Raises:
        ConfigError: there is no terminal to prompt on.

    """
    if not context.can_ask():
        raise ConfigError(
            "The secrets are missing and there is no terminal to prompt on; use --secrets-file FILE, "
            "or --secrets-file - for standard input."
        )
    if access is AccessMethod.ASSUMED_ROLE:
        return _registered(StoredSecrets(external_id=_prompt("External id")))
    keys = AccessKeys(access_key_id=_prompt("Access key id"), secret_access_key=_prompt("Secret access key"))
    return _registered(StoredSecrets(access_keys=keys))


def _prompt(what: str) -> Secret:
    with asking():
        return Secret(click.prompt(what, hide_input=True, err=True).strip())


def read_external_id(path: str) -> StoredSecrets:
    """Return the external id that a file holds as plain text; "-" is standard input."""
    return _registered(StoredSecrets(external_id=Secret(_read_text(path).strip())))


def read_secrets(path: str) -> StoredSecrets:
    """Return the secrets that a file holds; "-" is standard input.

    Raises:
        ConfigError: the file cannot be read or does not hold exactly one set of secrets.

    """
    source = "Standard input" if path == "-" else f"The file {path_excerpt(path)}"
    # The console's CSV begins with a byte order mark.
    text = _read_text(path).removeprefix("\ufeff").strip()
    if not text:
        raise ConfigError(f"{source} is empty. {_EXPECTED}")
    members = _json_members(text, source) if text.startswith("{") else _text_members(text, source)
    if not members:
        raise ConfigError(f"{source} holds no secrets. {_EXPECTED}")
    if not set(members) <= set(_MEMBERS):
        # They are not quoted: a key may be in the place of a name.
        raise ConfigError(f"{source} has unexpected members besides {', '.join(_MEMBERS)}. {_EXPECTED}")
    if (_KEY_ID in members) != (_SECRET_KEY in members):
        raise ConfigError(f"{source} has one of {_KEY_ID} and {_SECRET_KEY} without the other.")
    return _registered(StoredSecrets.from_document(dict(members)))


def _read_text(path: str) -> str:
    try:
        if path != "-":
            return decode_text(read_small_file(path))
        content = sys.stdin.buffer.read(LARGEST_BYTES + 1)
        check_size(content)
        return decode_text(content)
    except ValueError as error:
        raise ConfigError(f"{'Standard input' if path == '-' else path_excerpt(path)} {error}") from None
    except OSError as error:
        raise ConfigError(f"Standard input cannot be read: {why_not_opened(error)}.") from None


def _registered(secrets: StoredSecrets) -> StoredSecrets:
    """Return the secrets, registered to be masked in the log, after a check of their characters."""
    for name, text in secrets.to_document().items():
        register_secret(Secret(text))
        if not (text.isascii() and text.isprintable()):
            raise ConfigError(f"The {name} contains characters that AWS never uses in one; copy it again.")
    return secrets


def _json_members(text: str, source: str) -> Mapping[str, str]:
    """Return the members of our own JSON, or of an access key in AWS's."""
    try:
        document = strict_json.loads(text)
    except strict_json.RepeatedMemberError as error:
        raise ConfigError(f"{source} holds {error}; keep one of them.") from None
    except (ValueError, RecursionError):
        document = None
    if isinstance(document, dict):
        key = next((document[name] for name in ("AccessKey", "Credentials") if name in document), document)
        if isinstance(key, dict) and key.keys() & _JSON_NAMES.keys():
            document = _long_lived(
                {ours: key[name] for name, ours in _JSON_NAMES.items() if key.get(name)}, source
            )
    if not isinstance(document, dict) or not all(isinstance(one, str) for one in document.values()):
        raise ConfigError(f"{source} is not a JSON object of strings. {_EXPECTED}")
    return document


def _text_members(text: str, source: str) -> Mapping[str, str]:
    """Return the members of an access key in a CSV, in lines for a shell or in a credentials file."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if not lines:
        return _profile_members(text, source)
    delimiter = next((each for each in ",;\t" if each in lines[0]), ",")
    titles = [title.strip().lower() for title in next(csv.reader(lines[:1], delimiter=delimiter))]
    if _CSV_TITLES.keys() <= set(titles):
        rows = list(csv.reader(lines[1:], delimiter=delimiter))
        if len(rows) != 1:
            raise ConfigError(f"{source} holds {len(rows)} access keys; keep one.")
        # A row may be shorter than the titles: the console leaves the last columns out.
        values = dict(zip(titles, (value.strip() for value in rows[0]), strict=False))
        return {ours: values[title] for title, ours in _CSV_TITLES.items() if values.get(title)}
    assignments = [found for line in lines if (found := _ASSIGNMENT.fullmatch(line))]
    if len(assignments) < len(lines):
        return _profile_members(text, source)
    pairs = [(found[1], found[2].strip().strip("\"'")) for found in assignments]
    names = [name for name, _ in pairs]
    if twice := next((name for name in _SHELL_NAMES if names.count(name) > 1), None):
        raise ConfigError(f"{source} sets {twice} more than once; keep one.")
    return _long_lived({_SHELL_NAMES[name]: value for name, value in pairs if name in _SHELL_NAMES}, source)


def _profile_members(text: str, source: str) -> dict[str, str]:
    return _long_lived(dict(read_profile(text, source)), source)


def _long_lived(members: dict[str, str], source: str) -> dict[str, str]:
    """Return the members of a key that does not expire; raise ConfigError if there is a session token."""
    if members.get(_TOKEN):
        raise ConfigError(
            f"{source} holds temporary credentials, which expire within hours. For a nightly run, "
            "store a long-lived key (`aws iam create-access-key`) or register a role (--role-arn)."
        )
    members.pop(_TOKEN, None)
    return members


@dataclass(slots=True)
class _Profile:
    """The settings of a profile, each with its line; ``line`` 0: settings before the first profile's name."""

    name: str
    line: int
    values: dict[str, str] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"the profile {excerpt(self.name)} (line {self.line})" if self.line else "it"

    @property
    def has_secrets(self) -> bool:
        """Whether any setting is a secret."""
        return not self.values.keys().isdisjoint(_PROFILE_SECRETS)


def read_profile(text: str, source: str) -> Mapping[str, str]:
    """Return the secrets of a credentials file: of its one profile with any, or of the default one.

    Raises:
        ConfigError: what is missing, ambiguous or not understood, with its line.

    """
    profiles = _profiles(text, source)
    candidates = [each for each in profiles if each.has_secrets] or profiles[:1]
    chosen = next((each for each in candidates if each.name == "default"), candidates[0])
    if len(candidates) > 1 and chosen.name != "default":
        names = ", ".join(f"{excerpt(each.name)} (line {each.line})" for each in candidates)
        raise ConfigError(
            f"{source} holds {len(candidates)} profiles; keep one, or name one of them default: {names}."
        )
    values = {name: value for name, value in chosen.values.items() if name in _PROFILE_SECRETS and value}
    token = next((values[name] for name in _PROFILE_TOKENS if name in values), None)
    found = {name: values[name] for name in (_KEY_ID, _SECRET_KEY, _EXTERNAL_ID) if name in values}
    if token:
        found[_TOKEN] = token
    if _KEY_ID in found and _SECRET_KEY in found:
        found.pop(_EXTERNAL_ID, None)  # of a role, which the key may assume
    elif _EXTERNAL_ID not in found or _KEY_ID in found or _SECRET_KEY in found:
        raise ConfigError(_what_is_missing(chosen, source))
    return found


def _profiles(text: str, source: str) -> list[_Profile]:
    profiles = [_Profile("default", 0)]
    is_nested = False
    for number, line in enumerate(_LINE_END.split(text), 1):
        content = line.strip()
        # Indented lines below a setting without a value belong to that setting.
        is_nested = is_nested and (not content or line[0].isspace())
        if not content or content[0] in "#;" or is_nested:
            continue
        if heading := _PROFILE.fullmatch(content):
            name = heading[1].strip().removeprefix("profile ").strip()
            for earlier in profiles:
                if earlier.line and earlier.name == name:
                    raise ConfigError(f"{source}: line {number} repeats {earlier}; keep one of the two.")
            profiles.append(_Profile(name, number))
            continue
        setting = _SETTING.fullmatch(content)
        if setting is None:
            raise ConfigError(
                f"{source} is not understood: line {number} is neither [PROFILE] nor NAME = VALUE."
            )
        name, value = setting[1].lower().removeprefix(_PREFIX), _COMMENT_AFTER_VALUE.sub("", setting[2])
        profile = profiles[-1]
        if name in profile.lines and name in _PROFILE_SECRETS:
            raise ConfigError(
                f"{source}: line {number} gives {_PREFIX}{name} again, after line {profile.lines[name]}; "
                "keep one of the two."
            )
        profile.values[name], profile.lines[name] = value, number
        is_nested = not value
    return [each for each in profiles if each.line or each.values] or profiles


def _what_is_missing(profile: _Profile, source: str) -> str:
    """Return the sentence for a profile without a whole access key."""
    missing = [name for name in (_KEY_ID, _SECRET_KEY) if not profile.values.get(name)]
    empty = [f"{_PREFIX}{name} (line {profile.lines[name]})" for name in missing if name in profile.lines]
    absent = [f"{_PREFIX}{name}" for name in missing if name not in profile.lines]
    found = [
        f"{_PREFIX}{name} (line {profile.lines[name]})"
        for name in (_KEY_ID, _SECRET_KEY)
        if profile.values.get(name)
    ]
    problems = [f"no {' and no '.join(absent)}"] if absent else []
    problems += [f"no value for {' and '.join(empty)}"] if empty else []
    sentence = f"{source}: {profile} has {' and '.join([*found, *problems])}"
    elsewhere = [f"{name} (line {profile.lines[name]})" for name in _OTHER_SOURCES if name in profile.lines]
    if elsewhere and not found:
        return f"{sentence}; its credentials come from {', '.join(elsewhere)}, which cannot be stored."
    return f"{sentence}; an access key is both of them."
