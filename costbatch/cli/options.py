"""Kinds of values that options take, beyond click's own."""

from decimal import Decimal, InvalidOperation

import click

from costbatch.config import parsers
from costbatch.domain.excerpt import excerpt
from costbatch.domain.retention import parse_keep

_CENT = Decimal("0.01")
_MOST = 1_000_000_000


class Dollars(click.ParamType[Decimal]):
    """An exact amount of US dollars, at least a cent."""

    name = "USD"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        """Return the amount; fail with a sentence where it is none."""
        try:
            amount = Decimal(str(value).removeprefix("$"))
        except InvalidOperation:
            self.fail(f"{excerpt(str(value))} is not an amount of US dollars, as in 2.50.", param, ctx)
        if amount.is_finite() and amount > _MOST:
            self.fail(f"The cap must be at most {_MOST:,} US dollars.", param, ctx)
        if not amount.is_finite() or amount < _CENT:
            self.fail("One request costs $0.01: the cap must be at least that.", param, ctx)
        return amount


class Seconds(click.ParamType[float]):
    """A finite time in seconds, above ``least`` or equal to it, and up to ``most``."""

    name = "SECONDS"

    def __init__(self, least: str, most: str, *, above: bool = False) -> None:
        self.least, self.most, self.above = least, most, above

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds; fail with a sentence if it is no such time."""
        try:
            number = Decimal(str(value))
        except InvalidOperation:
            number = Decimal("nan")
        low = Decimal(self.least)
        if (
            not number.is_finite()
            or not low <= number <= Decimal(self.most)
            or (self.above and number == low)
        ):
            least = f"above {self.least} and up" if self.above else f"from {self.least}"
            self.fail(f"{excerpt(str(value))} is not a number of seconds {least} to {self.most}.", param, ctx)
        return float(number)


class RunKey(click.ParamType[str]):
    """The key of a run; an empty one is refused, because it is a variable that was never set."""

    name = "KEY"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the key; fail with a sentence where it is none."""
        try:
            return parsers.run_key(value)
        except ValueError as error:
            self.fail(f"A run key {error}", param, ctx)


class Months(click.ParamType[int]):
    """A time to keep things for, in months."""

    name = "TIME"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the months; fail with a sentence where it is no such time."""
        try:
            return parse_keep(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
