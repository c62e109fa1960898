"""What was expected of a judged day, as it is stored for pictures, dashboards and later nights."""

from typing import NamedTuple

from costbatch.domain.detection import JudgedDay


class Expectation(NamedTuple):
    """A judged day of an account's total (``service`` None) or of one of its services, in one currency."""

    service: str | None
    currency: str
    day: JudgedDay
