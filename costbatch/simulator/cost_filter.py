"""Dimensions of cost rows, and the Filter expression of GetCostAndUsage over them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from costbatch.simulator.errors import validation_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from costbatch.simulator.world import Account, CostRow

# These divide a row: usage_types.py says into what.
DIVIDING = frozenset({"REGION", "USAGE_TYPE"})
DIMENSIONS: dict[str, Callable[[Account, CostRow], str]] = {
    "LINKED_ACCOUNT": lambda account, row: row.linked_account or account.account_id,
    "RECORD_TYPE": lambda _, row: row.record_type,
    "REGION": lambda _, row: row.region,
    "SERVICE": lambda _, row: row.service,
    "USAGE_TYPE": lambda _, row: row.usage_type,
}


@dataclass(frozen=True, slots=True)
class Expression:
    """A filter: a leaf compares a dimension with values; And, Or and Not have parts."""

    operator: str
    dimension: str = ""
    values: frozenset[str] = frozenset()
    parts: tuple[Expression, ...] = ()

    @property
    def dimensions(self) -> frozenset[str]:
        """Every dimension that it looks at."""
        return frozenset({self.dimension}).union(*(part.dimensions for part in self.parts))

    def matches(self, account: Account, row: CostRow) -> bool:
        """Whether a row passes."""
        if self.operator == "Dimensions":
            return DIMENSIONS[self.dimension](account, row) in self.values
        results = (part.matches(account, row) for part in self.parts)
        if self.operator == "Not":
            return not all(results)
        return all(results) if self.operator == "And" else any(results)


def parse_filter(data: object) -> Expression:
    """Parse a filter expression."""
    if not isinstance(data, dict) or len(data) != 1:
        raise validation_error("Expression must have exactly one operator.")
    operator, operand = next(iter(data.items()))
    if operator == "Dimensions":
        return _leaf(operand)
    if operator == "Not":
        return Expression("Not", parts=(parse_filter(operand),))
    if operator in ("And", "Or"):
        if not isinstance(operand, list) or len(operand) < 2:  # noqa: PLR2004 - a combination of one is none
            raise validation_error(f"{operator} expression must have at least 2 operands.")
        return Expression(operator, parts=tuple(parse_filter(item) for item in operand))
    raise validation_error(f"Filter by {operator} is not supported here; use Dimensions, And, Or and Not.")


def _leaf(operand: Any) -> Expression:  # noqa: ANN401 - decoded JSON; checked here
    leaf = operand if isinstance(operand, dict) else {}
    key, values = leaf.get("Key"), leaf.get("Values")
    if key not in DIMENSIONS:
        raise validation_error(f"Dimension {key} is invalid. Valid values are {sorted(DIMENSIONS)}")
    if not isinstance(values, list) or not values:
        raise validation_error(f"Dimension {key} needs Values.")
    if leaf.get("MatchOptions", ["EQUALS"]) != ["EQUALS"]:
        raise validation_error(f"MatchOptions {leaf['MatchOptions']} are not supported here; use EQUALS.")
    return Expression("Dimensions", dimension=str(key), values=frozenset(map(str, values)))
