"""Reads rows that can have been made unreadable by hand: each hides no other, and is logged."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from sqlalchemy.engine import Row

from costbatch.logs import get_logger

log = get_logger(__name__)

T = TypeVar("T")


def readable(
    rows: Iterable[Row[Any]], parse: Callable[[Row[Any]], T], event: str, *, key: str = "id"
) -> list[T]:
    """Return what can be read of the rows; log the others as this event, with the key."""
    found = []
    for row in rows:
        try:
            found.append(parse(row))
        except (ArithmeticError, LookupError, TypeError, ValueError):
            log.exception(event, **{key: str(getattr(row, key))})
    return found
