"""What AWS's own sentence adds to its error code: which policy denies, whose clock is wrong.

Reads AWS's text and returns sentences of our own; only plain words of the text are passed on, to the log.
"""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from costbatch.logs import MASK

_PAYER = (
    "The management (payer) account does not let its member accounts use Cost Explorer: in that account's "
    "Billing and Cost Management console, under Cost Management preferences, allow linked account access. "
    "The policies of this account need no change."
)
_is_kept_out_by_payer = re.compile(r"linked account|member account|management account|payer").search

_ROLE = (
    "The role cannot be assumed: check that it exists, that its trust policy names the identity that assumes "
    "it and the same external id, and that this identity is granted sts:AssumeRole on the role."
)
# By AWS's name of a policy that denies: what it belongs to, and who can change it.
_POLICIES: Final = {
    "service control policy": "of the organization; ask its administrator",
    "resource control policy": "of the organization; ask its administrator",
    "permissions boundary": "of the identity; ask the account's administrator",
    "session policy": "of the session; ask the administrator who passes it",
    "vpc endpoint policy": "of the VPC endpoint that AWS is called through; ask its owner",
    "resource-based policy": "of the resource (of a role: its trust policy); ask the account's administrator",
    "role trust policy": "of the role; ask the account's administrator",
    "identity-based policy": "of the identity; ask the account's administrator",
}
_denying_policy = re.compile(rf"(explicit deny in an?|because no) ({'|'.join(_POLICIES)})").search
_ACTIONS: Final = {"GetCostAndUsage": "ce:GetCostAndUsage", "AssumeRole": "sts:AssumeRole"}

HISTORY = (
    "AWS keeps daily cost for about 13 months: ask for later days with --from, "
    "or lower COSTBATCH_HISTORY_MONTHS."
)
_is_before_history = re.compile(
    r"historical data|beyond \d+ months|too early|too far (back|in the past)|older than \d+ (months|days)|"
    r"(before|prior to|earlier than) the (earliest|first)"
).search

# AWS says it with both times: "Signature expired: OURS is now earlier than … (THEIRS - 5 min.)".
_is_about_time = re.compile(r"signature expired|not yet current|request has expired|too skewed").search
_instants_in = re.compile(r"\d{8}T\d{6}Z").findall
# AWS accepts 5 minutes; what an answer takes to come is not a wrong clock.
_CLOCK_TOLERANCE_SECONDS = 240.0
_TWO_MINUTES = 120


# Words, actions such as ce:GetCostAndUsage, numbers and times; whatever else may be an ARN, a key or a token.
_is_plain_word = re.compile(
    r"[(\[\"']*([A-Za-z][A-Za-z'-]{0,29}|[a-z-]{2,20}:[A-Za-z]{2,40}|[0-9][0-9.,:-]{0,19}|[0-9]{8}T[0-9]{6}Z)"
    r"[)\].,:;!?\"']*"
).fullmatch


def plain_words(text: str) -> str:
    """Return AWS's text for the log, with everything masked but plain words and numbers."""
    return " ".join(word if _is_plain_word(word) else MASK for word in text.split())


def advice_of_denial(operation: str, text: str) -> str:
    """Return what to do about a denied access; empty if AWS does not say what denies it."""
    text = text.lower()
    if "cost explorer" in text and _is_kept_out_by_payer(text):
        return _PAYER
    found = _denying_policy(text)
    if found is None or found.groups() == ("because no", "identity-based policy"):
        return _ROLE if operation == "AssumeRole" else ""
    action = _ACTIONS.get(operation, operation)
    policy = found[2].replace("vpc", "VPC")
    if found[1] == "because no":
        return f"No {policy} allows {action}. It is a policy {_POLICIES[found[2]]} to allow it."
    return (
        f"An explicit deny in a {policy} forbids {action}, whatever other policies allow. "
        f"It is a policy {_POLICIES[found[2]]} to exempt this identity."
    )


def is_before_history(text: str) -> bool:
    """Whether AWS refuses the days because they begin before what it keeps."""
    return _is_before_history(text.lower()) is not None


def clock_problem(text: str, date: str) -> str | None:
    """Return what is known of a wrong clock, empty if only that it is wrong; None if it is not the reason.

    ``date`` is the header of the answer.
    """
    seconds = seconds_ahead(date, datetime.now(tz=UTC))
    if seconds is None or abs(seconds) < _CLOCK_TOLERANCE_SECONDS:
        if not _is_about_time(text.lower()):
            return None
        seconds = _seconds_ahead_by(text)
    if not seconds:
        return ""
    order = "ahead of" if seconds > 0 else "behind"
    return f"This machine's clock is {_span(abs(seconds))} {order} AWS's."


def seconds_ahead(date: str, now: datetime) -> float | None:
    """Return by how many seconds ``now`` is ahead of a Date header; None if it cannot be read."""
    try:
        theirs = parsedate_to_datetime(date)
    except (TypeError, ValueError):
        return None
    return (now - (theirs if theirs.tzinfo else theirs.replace(tzinfo=UTC))).total_seconds()


def _seconds_ahead_by(text: str) -> float | None:
    try:
        instants = [datetime.strptime(each, "%Y%m%dT%H%M%S%z") for each in _instants_in(text)]
    except ValueError:
        return None
    return (instants[0] - instants[-1]).total_seconds() if instants else None


def _span(seconds: float) -> str:
    if seconds < _TWO_MINUTES:
        return f"{seconds:.0f} seconds"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} minutes"
