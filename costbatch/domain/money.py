"""Exact money: Decimal amounts with their currency, read from Cost Explorer's strings, never floats."""

import re
from dataclasses import dataclass
from decimal import Context, Decimal

CENT = Decimal("0.01")
# The decimals of the currencies that have not two of them: ISO 4217, list one ("Minor unit").
_DECIMALS = {
    currency: decimals
    for decimals, currencies in {
        0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
        3: "BHD IQD JOD KWD LYD OMR TND",
        4: "CLF UYW",
    }.items()
    for currency in currencies.split()
}
_CENTS = 2
# Room for any amount that the database takes; Python's default of 28 digits would raise.
_ROOMY = Context(prec=200)

_UNREACHED = Decimal("Infinity")
_CURRENCY = re.compile(r"[A-Z]{3}")
_AMOUNT = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,9})?")
# Far beyond any bill and any rounding unit: an exponent outside means a malformed response.
_LARGEST_EXPONENT = 18
_SMALLEST_EXPONENT = -40


def parse_amount(text: object) -> Decimal:
    """Return the exact value of an amount as AWS prints it ("12.3400", "-9.0E-10").

    Raises:
        ValueError: not a string, not a finite number, or of an absurd size.

    """
    if not isinstance(text, str):
        raise ValueError(f"an amount must be a string of digits, not {type(text).__name__}")
    # Decimal alone would also read blanks, underscores and the digits of other scripts.
    if not _AMOUNT.fullmatch(text):
        raise ValueError("an amount is not a decimal number")
    amount = Decimal(text)
    exponent = int(amount.as_tuple().exponent)
    if exponent < _SMALLEST_EXPONENT or amount.adjusted() > _LARGEST_EXPONENT:
        raise ValueError("an amount has an impossible size")
    return amount


def decimals_of(currency: str) -> int:
    """Return with how many decimals people write amounts in a currency."""
    return _DECIMALS.get(currency, _CENTS)


def to_cents(amount: Decimal, currency: str) -> Decimal:
    """Return an amount rounded to the cent, or to what is the smallest unit of its currency."""
    unit = Decimal(1).scaleb(-decimals_of(currency))
    return amount.quantize(unit, context=_ROOMY)


def amount(value: Decimal, currency: str, *, sign: bool = False) -> str:
    """Return an amount with its currency's decimals: "1,234.50"."""
    # z: a value that rounds to zero is 0.00, not -0.00.
    return format(value, f"{'+' if sign else ''}z,.{decimals_of(currency)}f")


def money(value: Decimal, currency: str, *, sign: bool = False) -> str:
    """Return an amount with its currency: "1,234.50 USD"."""
    return f"{amount(value, currency, sign=sign)} {currency}"


def is_currency(text: str) -> bool:
    """Whether a text is the ISO code of a currency."""
    return _CURRENCY.fullmatch(text) is not None


def parse_currency(text: object) -> str:
    """Return the ISO code of a currency.

    Raises:
        ValueError: not three capital letters.

    """
    if not isinstance(text, str) or not is_currency(text):
        raise ValueError("a currency is not a code of three capital letters")
    return text


@dataclass(frozen=True, slots=True)
class Money:
    """An exact amount with the currency it was billed in."""

    amount: Decimal
    currency: str

    def __post_init__(self) -> None:
        if not isinstance(self.amount, Decimal):
            raise TypeError("money is Decimal; a float has already lost cents")
        parse_currency(self.currency)

    def __str__(self) -> str:
        """Return the amount with its currency, for display only: "1,234.50 USD"."""
        return money(self.amount, self.currency)


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit for amounts of money, by currency, and one for all others; None: no amount reaches that."""

    otherwise: Decimal | None
    named: tuple[tuple[str, Decimal], ...] = ()

    def of(self, currency: str = "") -> Decimal:
        """Return the limit in the units of a currency; without one, that of all others."""
        otherwise = _UNREACHED if self.otherwise is None else self.otherwise
        return next((amount for name, amount in self.named if name == currency), otherwise)

    def over(self, default: "Limit") -> "Limit":
        """Return the limit; if it has none for all others, what it does not name is as in the default."""
        if self.otherwise is not None:
            return self
        return Limit(default.otherwise, tuple(sorted({**dict(default.named), **dict(self.named)}.items())))

    def __str__(self) -> str:
        """Return the limit as a setting has it: "1,EUR=1,JPY=150"."""
        otherwise = [] if self.otherwise is None else [f"{self.otherwise}"]
        return ",".join([*otherwise, *(f"{name}={amount}" for name, amount in self.named)])
