"""The benchmark of the forecast runs on a few accounts, and measures what it says."""

from datetime import date

import pytest

from benchmarks.anomaly.dataset import Account
from benchmarks.forecast import Error, errors, main, row


def test_the_benchmark_prints_a_row_for_each_family_and_part_of_the_month(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A fresh clone needs no data."""
    main(["--accounts", "1", "--seeds", "1"])
    rows = capsys.readouterr().out.splitlines()
    assert [each.split(" | ")[:2] for each in rows[2:]] == [
        [f"| {family}", f"{days} days"] for family in ("walk", "web") for days in (5, 10, 15, 20, 25)
    ]


def test_a_steady_account_is_forecast_without_an_error() -> None:
    """Last month is wrong by the length of the month, and an incomplete day by what is missing of it."""
    final, late = {"S3": [10.0] * 200}, {"S3": [5.0] * 200}
    account = Account("steady", date(2025, 1, 1), final, {0: late, 1: final}, [])
    found = list(errors(account))
    assert {error.after for error in found} == {5, 10, 15, 20, 25}
    assert all(error.forecast == 0 and error.is_inside and error.width == 0 for error in found)
    assert {round(error.last_month, 6) for error in found} == {round(10 / 300, 6), round(10 / 310, 6)}
    assert all(error.rate > 0 for error in found)


def test_a_row_shows_medians_and_how_many_months_the_range_held() -> None:
    """Months without a range do not count for it."""
    found = [
        Error(5, 0.01, 0.1, 0.2, is_inside=True, width=0.2),
        Error(5, 0.02, 0.1, 0.2, is_inside=False, width=0.4),
        Error(5, 0.06, 0.1, 0.2, is_inside=None, width=0.0),
    ]
    wrong = "2.0 % (mean 3.0 %) | 10.0 % (mean 10.0 %) | 20.0 % (mean 20.0 %)"
    assert row("made", found) == f"| made | 5 days | 3 | {wrong} | 50 % | 30 % |"
    assert row("made", found[2:]).endswith("| - | - |")
