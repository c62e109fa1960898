"""What was expected of judged days: as it is stored, and as it is shown beside what the days cost."""

from datetime import date
from decimal import Decimal
from typing import NamedTuple

from costbatch.domain.detection import JudgedDay


class Expectation(NamedTuple):
    """A judged day of an account's total (``service`` None) or of one of its services, in one currency."""

    service: str | None
    currency: str
    day: JudgedDay


class SeriesDay(NamedTuple):
    """What a day of a series costs as it is stored now, and how it was last judged; None: never."""

    usage_date: date
    actual: Decimal
    judged: JudgedDay | None = None
