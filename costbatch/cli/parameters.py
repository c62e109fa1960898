"""Kinds of values that options take, beyond click's own."""

from decimal import Decimal, InvalidOperation

import click

from costbatch.config import values
from costbatch.domain.retention import parse_keep

_CENT = Decimal("0.01")


class Dollars(click.ParamType[Decimal]):
    """An exact amount of US dollars, at least a cent."""

    name = "USD"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        """Return the amount; fail with a sentence where it is none."""
        try:
            amount = Decimal(str(value).removeprefix("$"))
        except InvalidOperation:
            self.fail(f"{value!r} is not an amount of US dollars, as in 2.50.", param, ctx)
        if not amount.is_finite() or amount < _CENT:
            self.fail("One request costs $0.01: the cap must be at least that.", param, ctx)
        return amount


class RunKey(click.ParamType[str]):
    """The key of a run; an empty one is refused, because it is a variable that was never set."""

    name = "KEY"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the key; fail with a sentence where it is none."""
        try:
            return values.run_key(value)
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
