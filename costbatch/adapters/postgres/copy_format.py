"""Rows as COPY's text format writes them: exact, and fast, for an answer holds thousands."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from costbatch.domain.costs import CostColumns, CostKey

_NULL, _FLAGS = "\\N", {False: "f", True: "t"}
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


@dataclass(frozen=True, slots=True)
class Pieces:
    """Texts as COPY reads a file: each is sent whole, however few characters are asked for."""

    texts: Iterator[str]

    def read(self, _: int = -1) -> str:
        """Return the next text."""
        return next(self.texts, "")


def escaped(text: str) -> str:
    """Return a text as a value that COPY reads."""
    return text.translate(_ESCAPES)


def copy_lines(account_id: int, costs: CostColumns, names: Mapping[CostKey, str]) -> list[str]:
    """Return rows in COPY's text format: the hot path: a call for each amount would cost most."""
    starts = {day: f"{account_id}\t{day}" for day in set(costs.usage_dates)}
    columns = costs.usage_dates, costs.keys, costs.currencies, *_copy_amounts(costs), costs.estimated
    return [
        f"{starts[day]}\t{names[key]}\t{currency}\t{unblended}\t{amortized}"
        f"\t{net_unblended}\t{net_amortized}\t{quantity}\t{_FLAGS[estimated]}\n"
        for (
            day,
            key,
            currency,
            unblended,
            amortized,
            net_unblended,
            net_amortized,
            quantity,
            estimated,
        ) in zip(*columns, strict=True)
    ]


def _copy_amounts(costs: CostColumns) -> list[list[str]]:
    """Return the columns of amounts as COPY reads them; one that stands for several is made once."""
    columns = (
        costs.unblended,
        costs.amortized,
        costs.net_unblended,
        costs.net_amortized,
        costs.usage_quantities,
    )
    made: dict[int, list[str]] = {}
    for column in columns:
        if id(column) not in made:
            made[id(column)] = [_NULL if amount is None else str(amount) for amount in column]
    return [made[id(column)] for column in columns]


class CopyNames(dict[CostKey, str]):
    """Services and record types as COPY reads them, each made once; only names hold what it could misread."""

    def __missing__(self, key: CostKey) -> str:
        line = "\t".join(map(escaped, key))
        self[key] = line
        return line
