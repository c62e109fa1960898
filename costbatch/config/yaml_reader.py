"""Reads a YAML document by its keys; each problem is a sentence with the file, the line and the key.

Values are read as they are written: `no` is a text, and a number keeps every digit.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TypeVar

import yaml

from costbatch.config.files import decode_text, read_small_file
from costbatch.domain.credentials import Secret
from costbatch.domain.excerpt import excerpt, path_excerpt

T = TypeVar("T")

_SECRET_KEYS = ("secret_file", "secret_env")
_REFER = "give secret_file, the path of a file, or secret_env, the name of a variable"


@dataclass(slots=True)
class Problems:
    """The problems of one file, in the order in which they are found. secrets: what must not be printed."""

    path: str
    found: list[str] = field(default_factory=list)
    secrets: list[Secret] = field(default_factory=list)

    def add(self, node: yaml.Node, name: str, problem: str) -> None:
        """Note what is wrong with a key: the end of a sentence that begins with it."""
        self.found.append(
            f"{path_excerpt(self.path)}, line {node.start_mark.line + 1}: {name or 'it'} {problem}"
        )


def read_document(
    text: str, path: str, environ: Mapping[str, str], *, empty: str
) -> "tuple[Section | None, Problems]":
    """Return the mapping at the top of a document, or None if it is not readable, and its problems.

    empty: what an empty document must have, as the end of a sentence.
    """
    problems = Problems(path)
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        # Its own text quotes the line, which may hold a secret.
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problems.found.append(
            f"{path_excerpt(path)}{where}: it is not YAML; check the indentation and quotes."
        )
        return None, problems
    if node is None:
        problems.found.append(f"{path_excerpt(path)} is empty; {empty}.")
        return None, problems
    return _section(node, "", problems, environ), problems


def _section(node: yaml.Node, name: str, problems: Problems, environ: Mapping[str, str]) -> "Section | None":
    if not isinstance(node, yaml.MappingNode):
        problems.add(node, name, "must be a mapping, such as NAME: followed by indented keys.")
        return None
    members: dict[str, tuple[yaml.Node, yaml.Node]] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            problems.add(key, name, "has a key that is not a word.")
        elif key.value in members:
            first = members[key.value][0].start_mark.line + 1
            problems.add(key, _dotted(name, key.value), f"is given twice, first in line {first}.")
        else:
            members[key.value] = (key, value)
    return Section(node=node, name=name, members=members, problems=problems, environ=environ)


def _dotted(name: str, key: str) -> str:
    shown = key if len(key) <= 60 and key.isprintable() else excerpt(key)  # noqa: PLR2004 - fits a line
    return f"{name}.{shown}" if name else shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A mapping of the document. Every method notes a problem instead of raising it, and returns None."""

    node: yaml.Node
    name: str
    members: Mapping[str, tuple[yaml.Node, yaml.Node]]
    problems: Problems
    environ: Mapping[str, str]

    def __contains__(self, key: str) -> bool:
        return key in self.members

    def refuse(self, problem: str, key: str = "") -> None:
        """Note what is wrong with a key, or with the whole mapping."""
        node = self.members[key][0] if key in self.members else self.node
        self.problems.add(node, _dotted(self.name, key) if key else self.name, problem)

    def allow(self, *known: str) -> None:
        """Note every key that is not known, with the most similar one."""
        for key in self.members:
            if key not in known:
                close = get_close_matches(key, known, n=1)
                advice = f"did you mean {close[0]}?" if close else f"there are {', '.join(sorted(known))}."
                self.refuse(f"is not a key here; {advice}", key)

    def sections(self) -> "Iterator[tuple[str, Section]]":
        """Yield every member, each a mapping itself."""
        for key, (_, value) in self.members.items():
            section = _section(value, _dotted(self.name, key), self.problems, self.environ)
            if section is not None:
                yield key, section

    def section(self, key: str) -> "Section | None":
        """Return a member that is a mapping; None if it is not there."""
        if key not in self.members:
            return None
        return _section(self.members[key][1], _dotted(self.name, key), self.problems, self.environ)

    def value(self, key: str, parse: Callable[[str], T], default: T) -> T:
        """Return a parsed text; the parser raises ValueError with the end of a sentence."""
        text = self.text(key)
        if text is None:
            return default
        try:
            return parse(text)
        except ValueError as error:
            self.refuse(str(error), key)
            return default

    def required(self, key: str) -> bool:
        """Whether a member is there; if not, that is noted."""
        if key not in self.members:
            self.refuse(f"needs the key {key}.")
        return key in self.members

    def text(self, key: str) -> str | None:
        """Return a text; None if it is not there."""
        if key not in self.members:
            return None
        node = self.members[key][1]
        if not isinstance(node, yaml.ScalarNode) or not node.value:
            self.refuse("must be one value.", key)
            return None
        return str(node.value)

    def is_text(self, key: str) -> bool:
        """Whether a member is one value, and not a mapping or a list."""
        return key in self.members and isinstance(self.members[key][1], yaml.ScalarNode)

    def texts(self, key: str, parse: Callable[[str], T]) -> list[T]:
        """Return the values of a list, or of one value."""
        if key not in self.members:
            return []
        node = self.members[key][1]
        items = node.value if isinstance(node, yaml.SequenceNode) else [node]
        found: list[T] = []
        for item in items:
            if not isinstance(item, yaml.ScalarNode) or not item.value:
                self.problems.add(item, _dotted(self.name, key), "must be a list of values.")
                continue
            try:
                found.append(parse(str(item.value)))
            except ValueError as error:
                self.problems.add(item, _dotted(self.name, key), str(error))
        return found

    def pairs(self, key: str) -> dict[str, str]:
        """Return a member that is a mapping of texts."""
        section = self.section(key)
        if section is None:
            return {}
        texts = {name: section.text(name) for name in section.members}
        return {name: text for name, text in texts.items() if text is not None}

    def secrets(self, key: str, *, most: int) -> list[Secret]:
        """Return the secrets that a member refers to: one, or a list of them."""
        if key not in self.members:
            return []
        node = self.members[key][1]
        items = node.value if isinstance(node, yaml.SequenceNode) else [node]
        if not items or len(items) > most:
            self.refuse("must be one secret." if most == 1 else f"must have 1 to {most} secrets.", key)
        found = [self._secret(item, key) for item in items[:most]]
        return [secret for secret in found if secret is not None]

    def secret(self, key: str) -> Secret | None:
        """Return the secret that a member refers to; None if it is not there."""
        found = self.secrets(key, most=1)
        return found[0] if found else None

    def _secret(self, node: yaml.Node, key: str) -> Secret | None:
        name = _dotted(self.name, key)
        if isinstance(node, yaml.ScalarNode):
            self.problems.add(node, name, f"is a secret and must not be written into this file; {_REFER}.")
            return None
        reference = _section(node, name, self.problems, self.environ)
        if reference is None:
            return None
        reference.allow(*_SECRET_KEYS)
        given = [key for key in _SECRET_KEYS if key in reference]
        if len(given) != 1:
            if given or not reference.members:
                reference.refuse(f"needs one of {' and '.join(_SECRET_KEYS)}.")
            return None
        text = self._file(reference) if "secret_file" in reference else self._variable(reference)
        if not text:
            return None
        secret = Secret(text)
        self.problems.secrets.append(secret)
        return secret

    def _file(self, reference: "Section") -> str | None:
        path = reference.text("secret_file")
        if path is None:
            return None
        try:
            text = decode_text(read_small_file(path)).strip("\r\n")
        except ValueError as error:
            reference.refuse(f"names {path_excerpt(path)}, which {error}", "secret_file")
            return None
        if not text:
            reference.refuse(f"names {path_excerpt(path)}, which is empty.", "secret_file")
        return text

    def _variable(self, reference: "Section") -> str | None:
        name = reference.text("secret_env")
        if name is None:
            return None
        text = self.environ.get(name, "").strip("\r\n")
        if not text:
            reference.refuse(f"names the variable {excerpt(name)}, which is not set.", "secret_env")
        return text
