"""Reads an access key out of a credentials file as AWS's own tools write it; no message shows a value."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from costbatch.domain.excerpt import excerpt
from costbatch.errors import ConfigError

_LINE_END = re.compile(r"\r\n|\r|\n")
_PROFILE = re.compile(r"\[([^\]]+)\]\s*([#;].*)?")
_SETTING = re.compile(r"([\w.-]+)\s*[=:]\s*(.*)", re.ASCII)
_COMMENT_AFTER_VALUE = re.compile(r"\s+[#;].*")
_PREFIX = "aws_"
_KEY_ID, _SECRET_KEY = "access_key_id", "secret_access_key"
# The second is what older tools write beside or instead of the first.
_TOKENS = ("session_token", "security_token")
_NEEDED = (_KEY_ID, _SECRET_KEY, *_TOKENS, "external_id")
# Where a profile without a key says that its credentials come from.
_ELSEWHERE = ("role_arn", "source_profile", "credential_process", "sso_session", "sso_start_url")


@dataclass(slots=True)
class _Profile:
    """The settings of a profile, each with its line; ``line`` 0: the file begins without a profile's name."""

    name: str
    line: int
    values: dict[str, str] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"the profile {excerpt(self.name)} (line {self.line})" if self.line else "it"

    @property
    def is_useful(self) -> bool:
        """Whether it holds anything that is asked for."""
        return not self.values.keys().isdisjoint(_NEEDED)


def read_profile(text: str, where: str) -> Mapping[str, str]:
    """Return the secrets of the one profile that has any, or of the default one among several.

    Raises:
        ConfigError: what is missing, doubtful or not understood, with its line.

    """
    profiles = _profiles(text, where)
    useful = [each for each in profiles if each.is_useful] or profiles[:1]
    chosen = next((each for each in useful if each.name == "default"), useful[0])
    if len(useful) > 1 and chosen.name != "default":
        names = ", ".join(f"{excerpt(each.name)} (line {each.line})" for each in useful)
        raise ConfigError(
            f"{where} holds {len(useful)} profiles; keep one, or call one of them default. They are: {names}."
        )
    values = {name: value for name, value in chosen.values.items() if name in _NEEDED and value}
    token = next((values[name] for name in _TOKENS if name in values), None)
    found = {name: values[name] for name in (_KEY_ID, _SECRET_KEY, "external_id") if name in values}
    if token:
        found["session_token"] = token
    if _KEY_ID in found and _SECRET_KEY in found:
        found.pop("external_id", None)  # of a role, which the key may assume
    elif "external_id" not in found or _KEY_ID in found or _SECRET_KEY in found:
        raise ConfigError(_what_is_missing(chosen, where))
    return found


def _profiles(text: str, where: str) -> list[_Profile]:
    profiles = [_Profile("default", 0)]
    is_nested = False
    for number, line in enumerate(_LINE_END.split(text), 1):
        content = line.strip()
        # Below a setting without a value, indented lines are settings of that one.
        is_nested = is_nested and (not content or line[0].isspace())
        if not content or content[0] in "#;" or is_nested:
            continue
        if heading := _PROFILE.fullmatch(content):
            name = heading[1].strip().removeprefix("profile ").strip()
            for earlier in profiles:
                if earlier.line and earlier.name == name:
                    raise ConfigError(f"{where}: line {number} begins {earlier} again; keep one of the two.")
            profiles.append(_Profile(name, number))
            continue
        setting = _SETTING.fullmatch(content)
        if setting is None:
            raise ConfigError(
                f"{where} cannot be understood: line {number} is neither [PROFILE] nor NAME = VALUE."
            )
        name, value = setting[1].lower().removeprefix(_PREFIX), _COMMENT_AFTER_VALUE.sub("", setting[2])
        profile = profiles[-1]
        if name in profile.lines and name in _NEEDED:
            raise ConfigError(
                f"{where}: line {number} gives {_PREFIX}{name} again, after line {profile.lines[name]}; "
                "keep one of the two."
            )
        profile.values[name], profile.lines[name] = value, number
        is_nested = not value
    return [each for each in profiles if each.line or each.values] or profiles


def _what_is_missing(profile: _Profile, where: str) -> str:
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
    sentence = f"{where}: {profile} has {' and '.join([*found, *problems])}"
    elsewhere = [f"{name} (line {profile.lines[name]})" for name in _ELSEWHERE if name in profile.lines]
    if elsewhere and not found:
        return f"{sentence}; its credentials come from {', '.join(elsewhere)}, which cannot be stored."
    return f"{sentence}; an access key is both of them."
