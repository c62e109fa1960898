"""Exact money: what is taken from AWS's strings, and what is refused."""

from decimal import Decimal

import pytest

from costbatch.domain.money import Money, amount, parse_amount, parse_currency, to_cents


@pytest.mark.parametrize(
    ("text", "exact"),
    [
        ("12.3400", Decimal("12.3400")),
        ("0", Decimal(0)),
        ("-0.0000000009", Decimal("-9E-10")),
        ("-9.0E-10", Decimal("-0.00000000090")),
        ("1.5E+3", Decimal(1500)),
        ("123456789012345.678901234567890123", Decimal("123456789012345.678901234567890123")),
        ("9" * 19, Decimal("9" * 19)),
        ("1E-40", Decimal("1E-40")),
    ],
)
def test_an_amount_keeps_every_digit_that_aws_prints(text: str, exact: Decimal) -> None:
    """An amount equals its text, to the last digit and with its trailing zeros."""
    parsed = parse_amount(text)
    assert parsed == exact
    assert parsed.as_tuple() == Decimal(text).as_tuple()


@pytest.mark.parametrize(
    "text", ["NaN", "sNaN", "-Infinity", "inf", "1_000", " 1", "1\n", "\u0661", ".5", "5."]
)
def test_what_only_decimal_takes_for_a_number_is_refused(text: str) -> None:
    """Words, blanks, underscores and the digits of other scripts are no amount that AWS prints."""
    with pytest.raises(ValueError, match="not a decimal number"):
        parse_amount(text)


@pytest.mark.parametrize("text", ["1E+19", "1" + "0" * 19, "1E-41", "1E+999999", "1E-999999", "-1E+400"])
def test_an_amount_of_an_absurd_size_is_refused(text: str) -> None:
    """An exponent beyond any bill is a broken answer."""
    with pytest.raises(ValueError, match="impossible size"):
        parse_amount(text)


@pytest.mark.parametrize("text", ["", " ", "twelve", "1,234.50", "$5", "1.2.3", "0x10", "--1"])
def test_what_is_no_number_is_refused_without_being_quoted(text: str) -> None:
    """The text of a broken answer stays out of the sentence, and out of the chain of errors."""
    with pytest.raises(ValueError, match=r"^an amount is not a decimal number$") as caught:
        parse_amount(text)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("value", [1.5, 12, True, None, Decimal(1), ["1"]])
def test_only_a_string_is_an_amount(value: object) -> None:
    """A float has already lost cents, and AWS sends strings."""
    with pytest.raises(ValueError, match=f"must be a string of digits, not {type(value).__name__}"):
        parse_amount(value)


def test_three_capital_letters_are_a_currency() -> None:
    """A currency is its ISO code."""
    assert [parse_currency(code) for code in ("USD", "CNY", "EUR")] == ["USD", "CNY", "EUR"]


@pytest.mark.parametrize("value", ["usd", "US", "USDX", "U5D", "", " USD", "USD\n", None, 7])
def test_anything_else_is_no_currency(value: object) -> None:
    """Nothing is trimmed or capitalised into a currency."""
    with pytest.raises(ValueError, match="three capital letters"):
        parse_currency(value)


def test_money_of_a_float_is_refused() -> None:
    """A float cannot become money, not even a whole one."""
    with pytest.raises(TypeError, match="money is Decimal"):
        Money(1.0, "USD")  # type: ignore[arg-type]


def test_money_needs_a_currency() -> None:
    """An amount without a currency is not money."""
    with pytest.raises(ValueError, match="three capital letters"):
        Money(Decimal(1), "dollars")


def test_money_reads_to_the_cent() -> None:
    """People see thousands separated and two decimals."""
    assert str(Money(Decimal("1234567.895"), "USD")) == "1,234,567.90 USD"


@pytest.mark.parametrize(
    ("currency", "text"),
    [("USD", "1,234.57"), ("JPY", "1,235"), ("XOF", "1,235"), ("KWD", "1,234.568"), ("CLF", "1,234.5678")],
)
def test_an_amount_has_the_decimals_of_its_currency(currency: str, text: str) -> None:
    """A dinar has a thousand fils; a yen has nothing smaller."""
    assert amount(Decimal("1234.5678"), currency) == text
    assert str(Money(Decimal("1234.5678"), currency)) == f"{text} {currency}"


@pytest.mark.parametrize(("currency", "exact"), [("USD", "1.23"), ("JPY", "1"), ("BHD", "1.235")])
def test_events_and_forecasts_go_to_the_smallest_unit(currency: str, exact: str) -> None:
    """Messages are made of them: what is cut off there is not shown, and what is not shown is no change."""
    assert to_cents(Decimal("1.2346"), currency) == Decimal(exact)
