"""How the commands of the database write numbers."""

_UNITS = ("bytes", "kB", "MB", "GB", "TB")
_STEP = 1024


def size(number: int) -> str:
    """Return "12.3 MB": what a person takes in at a glance, in PostgreSQL's units of 1,024."""
    value, unit = float(number), 0
    while abs(value) >= _STEP and unit < len(_UNITS) - 1:
        value, unit = value / _STEP, unit + 1
    return f"{value:,.1f} {_UNITS[unit]}" if unit else f"{number:,} {_UNITS[0]}"


def many(number: int, noun: str) -> str:
    """Return "1 run" or "1,234 runs"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
