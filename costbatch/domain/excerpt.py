"""What may be shown of a text from outside: only printable characters, and of a refused value only a few."""

import re

_MOST_SHOWN = 40
# Keys, tokens and their encodings are long runs of these.
_RUN = re.compile(r"[A-Za-z0-9+/=_-]{16,}")
_CERTAINLY_A_KEY = 32
_NAMED_SECRET = re.compile(r"://[^/]*@|password|secret|token", re.IGNORECASE)
_KINDS = (re.compile("[0-9]"), re.compile("[a-z]"), re.compile("[A-Z]"))
# A path can look like base64 as well, but not like a whole key.
_KEY = re.compile(r"[0-9a-fA-F]{64}|[A-Za-z0-9+/_-]{43}=?")
_LONGEST_PATH = 200
_BETWEEN_WORDS = re.compile(r"([\s()'\",;]+)")
_LONGEST_WORD = 60


def may_be_secret(text: str) -> bool:
    """Whether a text looks like a key, a token or a URL with a password."""
    return bool(_NAMED_SECRET.search(text)) or _looks_random(text)


def name_excerpt(text: str) -> str:
    """Return a name as it is, or only its length if it can hardly be one but a key in the wrong place."""
    is_key = any(len(run) >= _CERTAINLY_A_KEY and _is_mixed(run) for run in _RUN.findall(text))
    return hidden(text) if is_key or _NAMED_SECRET.search(text) else text


def _looks_random(text: str) -> bool:
    return any(len(run) >= _CERTAINLY_A_KEY or _is_mixed(run) for run in _RUN.findall(text))


def _is_mixed(run: str) -> bool:
    return sum(bool(kind.search(run)) for kind in _KINDS) > 1


def excerpt(text: str) -> str:
    """Return a value as a message shows it: quoted, shortened, or only its length if it may be a secret."""
    if may_be_secret(text):
        return hidden(text)
    return repr(text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 1]}…")


def excerpt_words(sentence: str) -> str:
    """Return a sentence of click without words that may be a secret or are too long."""
    words = _BETWEEN_WORDS.split(sentence)
    return "".join(
        hidden(word) if len(word) > _LONGEST_WORD or (_looks_random(word) and word[0] != "-") else word
        for word in words
    )


def hidden(text: str) -> str:
    """Return the description of a value that must not be shown."""
    return f"a value of {len(text):,} characters"


def path_excerpt(path: str) -> str:
    """Return a path as a message shows it; a secret may have been given in its place by mistake."""
    is_path = path.startswith(("/", ".")) and not _KEY.fullmatch(path)
    if len(path) > _LONGEST_PATH or "\n" in path or not (is_path or not may_be_secret(path)):
        return hidden(path)
    return path


def printable(text: str) -> str:
    """Return a text with every character replaced that could control a terminal."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
