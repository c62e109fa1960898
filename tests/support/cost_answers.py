"""Parses whole responses of Cost Explorer."""

from collections.abc import Sequence

from costbatch.adapters.aws.cost_explorer.parse import CostResponse
from costbatch.domain.periods import DateRange
from tests.support.factories import CostRow, rows_of


def parse_costs(pages: Sequence[bytes], window: DateRange) -> tuple[CostRow, ...]:
    """Return the rows of an answer's pages, or raise as the parser does."""
    answer = CostResponse(window)
    for body in pages:
        answer.add_page(body)
    return tuple(rows_of(answer.fetched(len(pages)).costs))
