"""Page tokens: opaque, valid for one query of one account, checked without any state."""

from __future__ import annotations

import base64
import binascii
import hmac

from costbatch.simulator.errors import AwsError

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


def _check(content: str) -> str:
    return hmac.digest(_SECRET, content.encode(), "sha256").hex()[: 2 * DIGEST_BYTES]


def _invalid() -> AwsError:
    return AwsError("InvalidNextTokenException", "The pagination token is invalid. Try again without one.")
