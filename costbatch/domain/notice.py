"""The parts of a notice: the words for a person, in no channel's format yet. ``wording`` says what they are.

Texts from outside are marked: each format shows them as text.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import IntEnum
from typing import Any, Self
from unicodedata import bidirectional

from costbatch.domain.excerpt import printable
from costbatch.domain.sparkline import sparkline

# A message names the most important accounts and events; the command lists them all.
MOST_PARTS = 20
ROWS_IN_A_DIGEST = 2
_LONGEST_OUTSIDE = 500
# What a channel may take for a mention or a link, and what is put in between so that it does not.
_ACTIVE = re.compile(r"(?<=[@<!])|(?<=:)(?=//)")
_ZERO_WIDTH_SPACE = "\N{ZERO WIDTH SPACE}"
# Letters and digits that are written from right to left. Behind them the sign of an amount would be shown on
# its other side, and the amount before the id of the account, if nothing ended their direction.
_FROM_RIGHT = frozenset({"R", "AL", "AN"})
_FROM_LEFT_AGAIN = "\N{LEFT-TO-RIGHT MARK}"


class Importance(IntEnum):
    """How a channel may colour or sort a message."""

    SUCCESS = 1
    INFO = 2
    WARNING = 3
    FAILURE = 4


class Outside(str):
    """A text from outside, such as a name or an error: whatever it contains, it is shown as text."""

    __slots__ = ()

    def __new__(cls, text: object) -> Self:
        """Return the text on one line, without control characters, mentions and links."""
        shown = printable(str(text))
        shown = shown if len(shown) <= _LONGEST_OUTSIDE else f"{shown[: _LONGEST_OUTSIDE - 1]}…"
        is_from_right = any(bidirectional(letter) in _FROM_RIGHT for letter in shown)
        end = _FROM_LEFT_AGAIN if is_from_right else ""
        return super().__new__(cls, _ACTIVE.sub(_ZERO_WIDTH_SPACE, shown) + end)


Words = tuple[str, ...]


def account_words(data: Mapping[str, Any]) -> Words:
    """Return whom an event is about: the name of its account, and the 12 digits."""
    account = data["account"]
    return (Outside(account["name"]), f" ({Outside(account['aws_account_id'])})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One fact: its label, and one or more rows of words.

    in_digest: how many of its rows a digest shows; 0: it is not in a digest. more: how many are left out.
    """

    label: str
    rows: tuple[Words, ...]
    in_digest: int = 0
    more: int = 0

    @property
    def shown(self) -> tuple[Words, ...]:
        """The rows, and how many more there are."""
        return (*self.rows, (f"… {self.more:,} more",)) if self.more else self.rows

    def cut(self, most: int) -> Self:
        """Return the line with its first rows alone."""
        return replace(self, rows=self.rows[:most], more=self.more + max(len(self.rows) - most, 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Daily amounts up to the newest day; ``is_anomalous`` marks those of the anomaly."""

    first: str
    last: str
    amounts: tuple[Decimal, ...]
    is_anomalous: tuple[bool, ...]
    highest: str

    @property
    def words(self) -> Words:
        """The chart as one row of characters."""
        return (f"{sparkline(self.amounts)} {self.first} to {self.last}, highest {self.highest}",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What someone can type to answer, and what that means."""

    meaning: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A notice. ``parts``: the notices that a digest is made of; ``rest``: how many more there are."""

    title: Words
    importance: Importance
    lines: tuple[Line, ...] = ()
    chart: Chart | None = None
    link: str | None = None
    commands: tuple[Command, ...] = ()
    parts: tuple["Notice", ...] = ()
    rest: int = 0
