"""Kinds of values that options take, beyond click's own."""

from decimal import Decimal, InvalidOperation

import click

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
