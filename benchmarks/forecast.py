"""Measures the forecast of a month against what came: python -m benchmarks.forecast [FOLDER ...].

Each morning it sees what had been read by then, as the detectors do in benchmarks.anomaly.
"""

import argparse
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.anomaly import worlds
from benchmarks.anomaly.dataset import Account, load
from costbatch.domain.detection import Rule
from costbatch.domain.forecast import HISTORY_DAYS, forecast_month
from costbatch.domain.periods import ONE_DAY, DateRange, month_start

HEAD = (
    "| data | after | months | error of the forecast | of last month again | of the rate so far "
    "| in the range | width of the range |"
)
MORNINGS_AFTER = (5, 10, 15, 20, 25)
_LEAST_HISTORY = 100


class Error(NamedTuple):
    """The relative errors of one morning, and whether the range held the month; its width as a part of it."""

    after: int
    forecast: float
    last_month: float
    rate: float
    is_inside: bool | None
    width: float


def errors(account: Account) -> Iterator[Error]:
    """Return the errors on some mornings of each whole month of an account's total."""
    final, *reads = (
        [sum(each) for each in zip(*services.values(), strict=True)]
        for services in (account.final, account.read[0], account.read[1])
    )
    for index in range(_LEAST_HISTORY, len(final)):
        today = account.start + timedelta(days=index)
        after = (today - ONE_DAY).day
        month = month_start(today - ONE_DAY)
        start = (month - account.start).days
        end = (month_start(month, months_back=-1) - account.start).days
        before = (month_start(month, months_back=1) - account.start).days
        if after not in MORNINGS_AFTER or end > len(final) or before < 0:
            continue
        amounts = {
            account.start + timedelta(days=n): _money(final[n])
            for n in range(max(0, index - HISTORY_DAYS), index)
        }
        for age, read in enumerate(reads, 1):
            amounts[today - timedelta(days=age)] = _money(read[index - age])
        actual = sum(final[start:end])
        if actual > 0:
            yield _error(amounts, today, actual, sum(final[before:start]), end - start)


def _error(amounts: dict[date, Decimal], today: date, actual: float, last_month: float, days: int) -> Error:
    found = forecast_month(
        amounts,
        today=today,
        known=DateRange(date.min, today),
        settle_days=Rule().settle_days,
        currency="USD",
    )
    after = (today - ONE_DAY).day
    rate = float(found.month_to_date) / after * days
    is_inside, width = None, 0.0
    if found.lower is not None and found.upper is not None:
        is_inside = float(found.lower) <= actual <= float(found.upper)
        width = float(found.upper - found.lower) / actual
    wrong = [abs(amount - actual) / actual for amount in (float(found.expected or 0), last_month, rate)]
    return Error(after, wrong[0], wrong[1], wrong[2], is_inside, width)


def _money(amount: float) -> Decimal:
    return Decimal(f"{amount:.4f}")


def row(name: str, found: Sequence[Error]) -> str:
    """Return a row of the table: median and mean errors in percent, and the share of months in the range."""
    ranges = [each for each in found if each.is_inside is not None]
    cells = [
        f"{median(each) * 100:.1f} % (mean {sum(each) / len(each) * 100:.1f} %)"
        for each in (
            [error.forecast for error in found],
            [error.last_month for error in found],
            [error.rate for error in found],
        )
    ]
    held = f"{sum(bool(each.is_inside) for each in ranges) / len(ranges) * 100:.0f} %" if ranges else "-"
    width = f"{median(each.width for each in ranges) * 100:.0f} %" if ranges else "-"
    return f"| {name} | {found[0].after} days | {len(found)} | {' | '.join(cells)} | {held} | {width} |"


def data_sets(arguments: argparse.Namespace) -> Iterator[tuple[str, Sequence[Account]]]:
    """Return the folders of the command line, or without any the families of benchmarks.anomaly."""
    for folder in arguments.folders:
        yield folder.name, load(folder)[: arguments.accounts]
    if not arguments.folders:
        for family in ("walk", "web"):
            made = (worlds.accounts(family, seed, arguments.accounts) for seed in arguments.seeds)
            yield family, [account for accounts in made for account in accounts]


def main(words: Sequence[str] | None = None) -> None:
    """Print one row per data set and number of days that are known of the month."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="*", help="data sets; without any, two families are made")
    parser.add_argument("--accounts", type=int, default=24, help="at most this many of each data set")
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2, 3])
    arguments = parser.parse_args(words)
    print(HEAD, "|---|---|---|---|---|---|---|---|", sep="\n")
    for name, accounts in data_sets(arguments):
        found = [error for account in accounts for error in errors(account)]
        for after in MORNINGS_AFTER:
            if mine := [error for error in found if error.after == after]:
                print(row(name, mine), flush=True)


if __name__ == "__main__":
    main()
