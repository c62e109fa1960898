"""What commands share in their declaration: options, kinds of values, and the example in the help."""

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import date
from decimal import Decimal
from typing import TypeVar

import click

from costbatch.config import parsers
from costbatch.domain.accounts import parse_account_id
from costbatch.domain.excerpt import excerpt
from costbatch.domain.periods import FIRST_DAY, LAST_DAY, ONE_DAY, DateRange
from costbatch.domain.retention import parse_keep
from costbatch.errors import ConfigError

F = TypeVar("F", bound=Callable[..., object])

TABLE, JSON, CSV = "table", "json", "csv"

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_NUMBER = re.compile(r"[0-9]{1,40}(\.[0-9]{1,40})?")
_NO_NUMBER = Decimal("nan")
_CENT = Decimal("0.01")
_LARGEST_CAP = 1_000_000_000
_LONGEST_TEXT = 1_000


def example(*lines: str) -> str:
    r"""Return the end of a help text: lines to type, which click's mark ``\b`` keeps as they are."""
    return "\n".join(["\b", "Example:", *(f"  {line}" for line in lines)])


def output_option(command: F) -> F:
    """Add ``--output table|json`` to a command, as its argument ``output``."""
    return click.option(
        "--output",
        type=click.Choice([TABLE, JSON]),
        default=TABLE,
        show_default=True,
        help="Output format.",
    )(command)


def export_option(command: F) -> F:
    """Add ``--output table|json|csv`` to a command, as its argument ``output``."""
    return click.option(
        "--output",
        type=click.Choice([TABLE, JSON, CSV]),
        default=TABLE,
        show_default=True,
        help="Output format.",
    )(command)


class AccountId(click.ParamType[str]):
    """The 12 digits of an AWS account, with or without the console's dashes."""

    name = "aws_account_id"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the 12 digits; fail with a sentence if the value is no account id."""
        try:
            return parse_account_id(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Text(click.ParamType[str]):
    """One line of printable characters: what a name or a tag can be, and what the database can look for."""

    name = "TEXT"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text; fail with a sentence if it is blank, too long or not printable."""
        if not value.strip() or not value.isprintable() or len(value) > _LONGEST_TEXT:
            self.fail(
                f"{excerpt(value)} is not one line of text, of up to {_LONGEST_TEXT:,} printable characters.",
                param,
                ctx,
            )
        return value


accounts_option = click.option(
    "--account",
    "aws_account_ids",
    type=AccountId(),
    multiple=True,
    metavar="ID",
    help="Only this account; may be repeated.",
)
services_option = click.option(
    "--service",
    "services",
    type=Text(),
    multiple=True,
    metavar="NAME",
    help="Only this service; may be repeated.",
)
account_argument = click.argument("aws_account_id", type=AccountId(), metavar="AWS_ACCOUNT_ID")


class Day(click.ParamType[date]):
    """A day that the database can hold, with days before and after it."""

    name = "DATE"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> date:
        """Return the day; fail with a sentence if the value is no day."""
        # fromisoformat alone would also read 20261231 and 2026-W53-4.
        day = None
        if _DAY.fullmatch(str(value)):
            with suppress(ValueError):
                day = date.fromisoformat(str(value))
        if day is None:
            self.fail(f"{excerpt(str(value))} is not a day, such as 2026-12-31.", param, ctx)
        if not FIRST_DAY <= day <= LAST_DAY:
            self.fail(f"{day} is not a day from {FIRST_DAY} to {LAST_DAY}.", param, ctx)
        return day


def days_between(first: date, last: date) -> DateRange:
    """Return the days from ``--from`` to ``--to``.

    Raises:
        ConfigError: the last day is before the first one.

    """
    if last < first:
        raise ConfigError(f"--to {last} is before --from {first}.")
    return DateRange(first, last + ONE_DAY)


class Amount(click.ParamType[Decimal]):
    """An exact amount of money in any currency, at least 0."""

    name = "AMOUNT"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        """Return the amount; fail with a sentence if the value is no amount."""
        amount = _number(str(value))
        if not amount.is_finite():
            self.fail(f"{excerpt(str(value))} is not an amount, such as 0.50.", param, ctx)
        return amount


def _number(text: str) -> Decimal:
    """Return an exact number, written with digits and a point; NaN if it is none."""
    return Decimal(text) if _NUMBER.fullmatch(text) else _NO_NUMBER


class Dollars(click.ParamType[Decimal]):
    """An exact amount of US dollars, at least a cent."""

    name = "USD"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        """Return the amount; fail with a sentence if the value is no such amount."""
        amount = _number(str(value).removeprefix("$"))
        if not amount.is_finite():
            self.fail(f"{excerpt(str(value))} is not an amount of US dollars, such as 2.50.", param, ctx)
        if amount > _LARGEST_CAP:
            self.fail(f"The cap must be at most {_LARGEST_CAP:,} US dollars.", param, ctx)
        if amount < _CENT:
            self.fail("The cap must be at least $0.01, the price of one request.", param, ctx)
        return amount


class Seconds(click.ParamType[float]):
    """A finite time in seconds, above ``least`` or equal to it, and up to ``most``."""

    name = "SECONDS"

    def __init__(self, least: str, most: str, *, above: bool = False) -> None:
        self.least, self.most, self.above = least, most, above

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds; fail with a sentence if the value is no such time."""
        number, low = _number(str(value)), Decimal(self.least)
        if (
            not number.is_finite()
            or not low <= number <= Decimal(self.most)
            or (self.above and number == low)
        ):
            limits = f"above {self.least} and up" if self.above else f"from {self.least}"
            self.fail(
                f"{excerpt(str(value))} is not a number of seconds {limits} to {self.most}.", param, ctx
            )
        return float(number)


class RunKey(click.ParamType[str]):
    """The key of a run; an empty one is refused, because it comes from a variable that was never set."""

    name = "KEY"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the key; fail with a sentence if the value is no run key."""
        try:
            return parsers.run_key(value)
        except ValueError as error:
            self.fail(f"A run key {error}", param, ctx)


class Months(click.ParamType[int]):
    """A retention time, in months."""

    name = "TIME"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the months; fail with a sentence if the value is no such time."""
        try:
            return parse_keep(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
