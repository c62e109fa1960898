"""Links from a message to a page about its event: a template with placeholders, filled from the event."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlsplit

from costbatch.domain.excerpt import excerpt
from costbatch.domain.periods import ONE_DAY

CloudEvent = Mapping[str, Any]

# How far before its first day the link's time range begins, so that the ordinary days are in the picture.
_BEFORE_START = timedelta(days=30)
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class LinkTemplate:
    """The address of a page about an event, with placeholders in braces."""

    text: str

    def __str__(self) -> str:
        return self.text

    @classmethod
    def parse(cls, text: str) -> "LinkTemplate":
        """Return the template.

        Raises:
            ValueError: with the end of a sentence that says what is wrong.

        """
        unknown = [name for name in _PLACEHOLDER.findall(text) if name not in LINK_PLACEHOLDERS]
        if unknown:
            names = ", ".join(LINK_PLACEHOLDERS)
            raise ValueError(f"has the unknown placeholder {excerpt(unknown[0])}; there are {names}.")
        try:
            address = urlsplit(text)
            is_web = address.scheme in {"http", "https"} and bool(address.hostname)
        except ValueError:
            is_web = False
        if not is_web or "{" in address.netloc or re.search(r'[\s<>"{}]', _PLACEHOLDER.sub("", text)):
            raise ValueError(
                "must be a URL such as https://grafana.example.com/d/cost?var-account={aws_account_id}."
            )
        return cls(text)

    def fill(self, event: CloudEvent) -> str | None:
        """Return the address for an event; None if the event lacks a value that the template names."""
        try:
            return _PLACEHOLDER.sub(
                lambda found: quote(LINK_PLACEHOLDERS[found[1]](event), safe=""), self.text
            )
        except KeyError:
            return None


def _epoch_ms(day: date) -> str:
    return str(int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000)


def _newest_day(event: CloudEvent) -> date:
    anomaly = event["data"]["anomaly"]
    # An answer does not say how far the costs go.
    return date.fromisoformat(anomaly.get("newest_date", anomaly["last_date"]))


# What a link template can name, and where in the event's document it is.
LINK_PLACEHOLDERS: dict[str, Callable[[CloudEvent], str]] = {
    "anomaly_id": lambda event: event["data"]["anomaly"]["id"],
    "aws_account_id": lambda event: event["data"]["account"]["aws_account_id"],
    "account_name": lambda event: event["data"]["account"]["name"],
    "service": lambda event: event["data"]["anomaly"]["service"] or "",
    "currency": lambda event: event["data"]["anomaly"]["currency"],
    "start_date": lambda event: event["data"]["anomaly"]["start_date"],
    "last_date": lambda event: event["data"]["anomaly"]["last_date"],
    "from_ms": lambda event: _epoch_ms(
        date.fromisoformat(event["data"]["anomaly"]["start_date"]) - _BEFORE_START
    ),
    "to_ms": lambda event: _epoch_ms(_newest_day(event) + ONE_DAY),
    "event_id": lambda event: event["id"],
}
