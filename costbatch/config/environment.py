"""Reads variables from the environment, or from the files that NAME_FILE names."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from costbatch.config.files import decode_text, read_small_file
from costbatch.domain.excerpt import hidden, path_excerpt

PREFIX = "COSTBATCH_"
KEY_BYTES = 32
_LONGEST_NAME = 60
FROM_ENVIRONMENT = "environment"
# Parsers quote what they show of a value.
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")

# Kubernetes adds these to a pod's environment for every Service whose name begins with "costbatch".
_SERVICE_LINK = re.compile(
    r"COSTBATCH(_[A-Z0-9_]+)?_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?"
    r"|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One variable of the environment; the settings have its parsed value in ``field``.

    default: the text that is parsed if it is not set; None: no value.
    """

    name: str
    field: str
    parse: Callable[[str], object]
    default: str | None
    description: str
    is_secret: bool


def read(name: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """Return a variable's text (empty if not set), and its source.

    Raises:
        ValueError: the text cannot be read; the message is a whole sentence.

    """
    text, path = environ.get(name, "").strip("\r\n"), environ.get(f"{name}_FILE", "")
    if not path:
        # Python reads a byte that is not UTF-8 as a surrogate.
        if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
            raise ValueError(f"{name} is not text in UTF-8.")
        return text, FROM_ENVIRONMENT
    if text:
        raise ValueError(f"Both {name} and {name}_FILE are set; remove one of them.")
    shown = path_excerpt(path)
    try:
        content = read_small_file(path)
        # Only the encryption key may be raw bytes instead of text.
        text = content.hex() if _is_raw_key(content) else decode_text(content).strip("\r\n")
    except ValueError as error:
        raise ValueError(f"{name}_FILE names {shown}, which {error}") from None
    if not text:
        raise ValueError(f"{name}_FILE names {shown}, which is empty; write the value into it.")
    return text, f"file {path}"


def _is_raw_key(content: bytes) -> bool:
    if len(content) != KEY_BYTES:
        return False
    try:
        decode_text(content)
    except ValueError:
        return True
    return False


def parse(variable: Variable, text: str, source: str) -> object:
    """Return the value of a variable's text.

    Raises:
        ValueError: the text is invalid; the message is a whole sentence.

    """
    try:
        return variable.parse(text if variable.is_secret else text.strip())
    except ValueError as error:
        if source == FROM_ENVIRONMENT:
            raise ValueError(f"{variable.name} {error}") from None
        # A file may contain a secret that was meant for another variable: nothing of it is quoted.
        problem = _QUOTED.sub(lambda quoted: hidden(quoted[0][1:-1]), str(error))
        raise ValueError(f"{variable.name} (from the {source}) {problem}") from None


def unknown_names(variables: Sequence[Variable], environ: Mapping[str, str]) -> Iterable[str]:
    """Yield a sentence for every COSTBATCH_ variable that does not exist, with the most similar one."""
    known = [name for variable in variables for name in (variable.name, f"{variable.name}_FILE")]
    for name in sorted(environ):
        if not name.startswith(PREFIX) or not environ[name] or name in known or _SERVICE_LINK.fullmatch(name):
            continue
        close = get_close_matches(name, known, n=1)
        advice = f"did you mean {close[0]}?" if close else "run `costbatch config` to list them all."
        yield f"{name[:_LONGEST_NAME]} is not a variable of costbatch; {advice}"
