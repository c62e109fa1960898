"""Whole answers of Cost Explorer through the parser."""

from collections.abc import Sequence

from costbatch.adapters.aws.parse import CostAnswer
from costbatch.domain.costs import CostRow
from costbatch.domain.periods import DateRange


def parse_costs(pages: Sequence[bytes], window: DateRange) -> tuple[CostRow, ...]:
    """Return the rows of an answer's pages, or raise as the parser does."""
    answer = CostAnswer(window)
    for body in pages:
        answer.add_page(body)
    return tuple(row for day in answer.days() for row in day.rows())
