"""Page tokens: opaque, valid for one query of one account, checked without any state."""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import TYPE_CHECKING, TypeVar

from costbatch.simulator.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")
DIGEST_BYTES = 16
_SECRET = b"page tokens of the simulator"


def make_token(page: int, *, question: str, owner: str) -> str:
    """Issue the token of a page."""
    content = f"{page}|{question}|{owner}"
    return base64.urlsafe_b64encode(f"{content}|{_check(content)}".encode()).decode()


def page_of_token(token: str, *, question: str, owner: str) -> int:
    """Parse a token; refuse one of another query or account, or one that was never issued, as AWS does."""
    try:
        content, _, check = base64.urlsafe_b64decode(token.encode()).decode().rpartition("|")
    except (binascii.Error, UnicodeError) as error:
        raise _invalid() from error
    if not hmac.compare_digest(check.encode(), _check(content).encode()):
        raise _invalid()
    page, token_question, token_owner = content.split("|", 2)
    if token_owner != owner:
        raise _invalid()
    if token_question != question:
        raise AwsError(
            "RequestChangedException",
            "Your request parameters changed between pages. Try again with the old parameters or without a "
            "pagination token.",
        )
    return int(page)


def page_of(
    items: Sequence[T],
    token: str | None,
    *,
    size: int,
    question: str,
    owner: str,
    refuse: Callable[[str], AwsError],
) -> tuple[Sequence[T], str | None]:
    """Return the page that a token asks for, and the token of the next one; ``refuse`` makes the error."""
    try:
        number = page_of_token(token, question=question, owner=owner) if token else 0
    except AwsError as error:
        raise refuse(error.message) from error
    end = (number + 1) * size
    following = make_token(number + 1, question=question, owner=owner) if end < len(items) else None
    return items[number * size : end], following


def _check(content: str) -> str:
    return hmac.digest(_SECRET, content.encode(), "sha256").hex()[: 2 * DIGEST_BYTES]


def _invalid() -> AwsError:
    return AwsError("InvalidNextTokenException", "The pagination token is invalid. Try again without one.")
