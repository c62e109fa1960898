"""A row of numbers as a row of characters."""

from collections.abc import Sequence
from decimal import Decimal

BLOCKS = "▁▂▃▄▅▆▇█"
ASCII_LEVELS = "_.:-=+*#"


def sparkline(values: Sequence[Decimal | None], *, levels: str = BLOCKS) -> str:
    """Return one character per value, scaled from zero, or from the lowest value below it, to the highest.

    The scale starts at zero so that twice the cost looks twice as high. None is a gap.
    """
    known = [value for value in values if value is not None]
    low, high = min([Decimal(0), *known]), max([Decimal(0), *known])
    steps = (len(levels) - 1) / (high - low) if high > low else Decimal(0)
    return "".join(" " if value is None else levels[round((value - low) * steps)] for value in values)
