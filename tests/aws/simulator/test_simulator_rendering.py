"""Amounts are printed as AWS prints them, and rendered pages are kept within bounds."""

from __future__ import annotations

from decimal import Decimal

import pytest

from costbatch.simulator.cache import PageCache
from costbatch.simulator.noise import draws
from costbatch.simulator.rendering import amount_text


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "0"),
        ("-0", "0"),
        ("0.000", "0"),
        ("10", "10"),
        ("1E+3", "1000"),
        ("12.3400", "12.34"),
        ("-12.5", "-12.5"),
        ("0.0000001", "0.0000001"),
        ("9E-10", "9.0E-10"),
        ("0.0000000012", "1.2E-9"),
        ("-0.00000000340", "-3.4E-9"),
        ("1234567.1234567891", "1234567.1234567891"),
    ],
)
def test_amounts_are_printed_as_aws_prints_them(amount: str, text: str) -> None:
    """Plain digits without trailing zeros; an exponent below a ten-millionth; always the same value."""
    assert amount_text(Decimal(amount)) == text
    assert Decimal(text) == Decimal(amount)


def test_the_cache_forgets_what_was_used_least_recently() -> None:
    """The oldest answers leave when the bytes exceed the bound."""
    cache = PageCache(most_bytes=10)
    for key in "ab":
        cache.get(key, lambda: (b"1234",))
    cache.get("a", lambda: pytest.fail("it is held"))
    cache.get("c", lambda: (b"12", b"34"))
    assert len(cache) == 2
    assert cache.get("b", lambda: (b"new",)) == (b"new",)


def test_the_newest_answer_is_kept_however_large() -> None:
    """Otherwise each of its pages would be rendered with all the others; the next answer replaces it."""
    cache = PageCache(most_bytes=3)
    assert cache.get("a", lambda: (b"1234",)) == (b"1234",)
    assert cache.get("a", lambda: pytest.fail("it is kept")) == (b"1234",)
    cache.get("b", lambda: (b"12",))
    assert len(cache) == 1


def test_chance_depends_on_the_key_alone() -> None:
    """The same key draws the same numbers, another key others, all of [0, 1)."""
    assert draws("a") == draws("a")
    assert draws("a") != draws("b")
    assert all(0 <= value < 1 for key in range(50) for value in draws(str(key)))
