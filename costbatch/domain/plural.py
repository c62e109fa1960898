"""Counted nouns in sentences."""


def many(number: int, noun: str) -> str:
    """Return "1 account" or "1,234 accounts"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
