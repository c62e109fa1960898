"""Whether an encryption key looks random: one that a person made up can be guessed."""

import re
from itertools import pairwise

# 32 random bytes have 30 different values on average; in a billion keys none has fewer than 22.
_FEWEST_DIFFERENT = 16
_LONGEST_STEP = 5
_WORD = re.compile(r"[A-Za-z][a-z]{4,}")
_LONG_WORD = 8
_FEWEST_VOWELS = 2


def key_weakness(key: bytes) -> str:
    """Return why a key is easy to guess, as the end of a sentence that begins with the key; else empty."""
    if len(set(key)) == 1:
        return "repeats one character"
    if len(set(key)) < _FEWEST_DIFFERENT:
        return f"has only {len(set(key))} different bytes"
    if _steps(key) > _LONGEST_STEP:
        return "counts up or down"
    if all(0x20 <= byte < 0x7F for byte in key) and _reads_as_words(key.decode()):  # noqa: PLR2004 - printable ASCII
        return "reads as words"
    return ""


def _steps(key: bytes) -> int:
    """Return the longest run of bytes that each differ from the last by one, in the same direction."""
    longest = run = before = 0
    for one, other in pairwise(key):
        step = other - one
        run = run + 1 if step == before and abs(step) == 1 else 1
        before, longest = step, max(longest, run)
    return longest


def _reads_as_words(text: str) -> bool:
    if " " in text or not re.search("[0-9]", text) or not re.search("[A-Z]", text):
        return True
    words = [
        word
        for word in _WORD.findall(text)
        if sum(letter in "aeiou" for letter in word.lower()) >= _FEWEST_VOWELS
    ]
    return len(words) > 1 or any(len(word) >= _LONG_WORD for word in words)
