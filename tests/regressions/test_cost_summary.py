"""The summary of `collect` says what the days cost: by account and currency, beside earlier days."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from costbatch.simulator.world import Account, CostRow, Fault
from tests.support.harness import ONE_DAY, TODAY, Harness, bill, make_account, steady

YESTERDAY = TODAY - ONE_DAY
DAY_BEFORE, WEEK_BEFORE = TODAY - 2 * ONE_DAY, TODAY - 8 * ONE_DAY


def _account(number: int, amount: str, *more: CostRow, **fields: Any) -> Account:
    """Return an account with a steady bill up to the day before yesterday, and then these rows."""
    return make_account(number, rows=(*steady(amount, until=YESTERDAY), *more), **fields)


def _line(printed: str, *words: str) -> list[str]:
    return next(line.split() for line in printed.splitlines() if all(word in line for word in words))


def test_each_account_and_the_total_are_compared_with_the_day_and_the_week_before(harness: Harness) -> None:
    """Yesterday's comparable cost: an amount, the difference, and the difference in percent."""
    harness.open(_account(1, "100", bill(YESTERDAY, "150.50")), _account(2, "40", bill(YESTERDAY, "30")))
    printed = harness.run("collect").stdout

    assert f"Cost of {YESTERDAY}" in printed
    assert _line(printed, harness.ids[0], "USD") == [
        harness.ids[0], "account-1", "150.50", "USD", "+50.50", "(+50", "%)", "+50.50", "(+50", "%)",
    ]  # fmt: skip
    assert _line(printed, harness.ids[1], "USD")[2:7] == ["30.00", "USD", "-10.00", "(-25", "%)"]
    assert _line(printed, "Total USD")[2:9] == ["2", "accounts", "180.50", "USD", "+40.50", "(+29", "%)"]


def test_the_document_holds_the_same_as_exact_strings(harness: Harness) -> None:
    """Programs get every digit, the days by name, and null for what is not known."""
    rows = (bill(YESTERDAY, "150.123456789"), bill(YESTERDAY, "-500", record_type="Credit"))
    harness.open(_account(1, "100", *rows))
    costs = harness.collect().summary["costs"]

    assert costs["days"] == {"start": str(YESTERDAY), "end_exclusive": str(TODAY)}
    assert costs["excluded_record_types"] == ["Credit", "Refund", "Tax"]
    (account,) = costs["accounts"]
    assert (account["aws_account_id"], account["name"]) == (harness.ids[0], "account-1")
    expected = {"date": str(DAY_BEFORE), "amount": "100", "change": "50.123456789", "change_percent": "50.1"}
    assert account["amount"] == "150.123456789"
    assert account["day_before"] == expected
    assert account["week_before"] == {**expected, "date": str(WEEK_BEFORE)}
    assert costs["totals"] == [{key: account[key] for key in costs["totals"][0]}]


def test_currencies_are_never_added_up(harness: Harness) -> None:
    """One total for each currency, also if one account bills in two."""
    rows = (bill(YESTERDAY, "10"), bill(YESTERDAY, "7", service="Marketplace"))
    harness.open(_account(1, "100", bill(YESTERDAY, "150"), currency="EUR"), _account(2, "10", *rows))
    harness.collect()
    harness.rows("UPDATE daily_costs SET currency = 'INR' WHERE service = 'Marketplace'")
    totals = harness.collect().summary["costs"]["totals"]
    found = [(total["currency"], total["amount"], total["day_before"]["change"]) for total in totals]
    assert found == [("EUR", "150", "50"), ("INR", "7", "7"), ("USD", "10", "0")]
    printed = harness.run("collect").stdout
    assert _line(printed, harness.ids[1], "INR")[2:] == ["7.00", "INR", "+7.00", "(new)", "+7.00", "(new)"]
    assert _line(printed, "Total EUR")[2:6] == ["1", "account", "150.00", "EUR"]


def test_a_day_that_is_not_stored_is_not_zero(harness: Harness) -> None:
    """A backfill of one day of a new account knows nothing of the days before it."""
    harness.open(_account(1, "100", bill(YESTERDAY, "150")))
    run = harness.collect("--date", str(YESTERDAY))
    (account,) = run.summary["costs"]["accounts"]
    assert (account["amount"], account["day_before"], account["week_before"]) == ("150", None, None)


def test_a_day_that_is_stored_and_cost_nothing_is_zero(harness: Harness) -> None:
    """An account that begins to cost yesterday has a change, and no percentage of zero."""
    harness.open(make_account(1, rows=(bill(TODAY - timedelta(days=30), "1"), bill(YESTERDAY, "9"))))
    (account,) = harness.collect().summary["costs"]["accounts"]
    assert account["day_before"] == {
        "date": str(DAY_BEFORE), "amount": "0", "change": "9", "change_percent": None,
    }  # fmt: skip


def test_an_account_that_was_not_collected_is_in_no_total(harness: Harness) -> None:
    """Its cost of the day before would make the total look as if it had fallen."""
    harness.open(_account(1, "100", bill(YESTERDAY, "100")), _account(2, "900", bill(YESTERDAY, "900")))
    harness.collect()
    harness.sleep_until(TODAY + ONE_DAY)
    harness.aws.add_fault(harness.ids[1], "access_denied")
    (total,) = harness.collect().summary["costs"]["totals"]
    assert (total["accounts"], total["day_before"]["amount"]) == (1, "100")


def test_a_backfill_names_its_days_and_sums_them(harness: Harness) -> None:
    """The header and the cost are of the days that were read, not of yesterday."""
    harness.open(_account(1, "100", bill(YESTERDAY, "150")))
    options = ("--from", "2025-02-01", "--to", "2025-02-28")
    printed = harness.run("collect", *options).stdout
    assert "Read 2025-02-01 to 2025-02-28, run " in printed
    assert "Cost of 2025-02-01 to 2025-02-28" in printed
    assert _line(printed, harness.ids[0], "USD")[2:] == ["2,800.00", "USD"]
    summary = harness.collect(*options).summary
    assert summary["run"]["days_read"] == {"start": "2025-02-01", "end_exclusive": "2025-03-01"}
    (total,) = summary["costs"]["totals"]
    assert (total["amount"], total["day_before"]) == ("2800", None)


def test_one_old_day_is_compared_with_the_days_before_it(harness: Harness) -> None:
    """`--date` compares that day, and names it."""
    day = date(2025, 2, 20)
    harness.open(make_account(1, rows=(*steady("10", until=day), bill(day, "25"), *steady("10", days=5))))
    harness.collect()
    printed = harness.run("collect", "--date", str(day)).stdout
    assert f"Read {day}, run " in printed
    assert _line(printed, "Total USD")[4:9] == ["25.00", "USD", "+15.00", "(+150", "%)"]


def test_of_many_accounts_the_largest_are_listed_and_the_rest_is_one_line(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database adds up the rest; the totals are of all, and a program gets every account."""
    monkeypatch.setattr("costbatch.application.collect.report._MOST_ACCOUNTS", 2)
    harness.open(*(_account(n, str(n), bill(YESTERDAY, str(10 * n))) for n in range(1, 6)))
    printed = harness.run("collect", COSTBATCH_ANOMALY_FLOOR="1000").stdout
    assert _line(printed, harness.ids[4], "USD")[2:4] == ["50.00", "USD"]
    assert _line(printed, "Others USD")[2:9] == ["3", "accounts", "60.00", "USD", "+54.00", "(+900", "%)"]
    assert _line(printed, "Total USD")[2:6] == ["5", "accounts", "150.00", "USD"]
    assert harness.ids[0] not in printed
    assert len(harness.collect().summary["costs"]["accounts"]) == 5


@pytest.mark.parametrize(
    ("estimated", "settle_days", "is_said"), [(True, "2", True), (False, "2", False), (True, "0", False)]
)
def test_the_newest_day_is_called_incomplete_while_aws_adds_to_it(
    harness: Harness,
    estimated: bool,  # noqa: FBT001 - a table of cases
    settle_days: str,
    is_said: bool,  # noqa: FBT001 - as above
) -> None:
    """Both AWS's mark and the days that a day takes to settle must say so."""
    harness.open(_account(1, "10", bill(YESTERDAY, "4")))
    environ = {"COSTBATCH_ANOMALY_SETTLE_DAYS": settle_days}
    harness.collect(**environ)
    harness.rows("UPDATE daily_costs SET estimated = %s", estimated)
    assert harness.collect(**environ).summary["costs"]["is_incomplete"] is is_said
    assert ("INCOMPLETE" in harness.run("collect", **environ).stdout) is is_said


def test_an_account_asked_for_lists_its_own_anomalies_only(harness: Harness) -> None:
    """`--account X` says nothing of Y, neither in the list nor in the count."""
    harness.open(*(_account(n, "100", bill(YESTERDAY, "900")) for n in (1, 2)))
    assert len(harness.collect().summary["open_anomalies"]) == 2
    summary = harness.collect("--account", harness.ids[1]).summary
    assert [each["aws_account_id"] for each in summary["open_anomalies"]] == [harness.ids[1]]
    assert summary["run"]["anomalies"]["open"] == 1
    assert harness.ids[0] not in harness.run("collect", "--account", harness.ids[1]).stdout


def test_a_run_that_collected_nothing_shows_no_cost(harness: Harness) -> None:
    """An empty table of costs would look like zeros."""
    harness.open(make_account(1, faults=(Fault("not_enabled"),)))
    assert "Cost of" not in harness.run("collect").stdout
    assert harness.collect().summary["costs"]["totals"] == []


def test_sums_are_exact(harness: Harness) -> None:
    """Tenths add up to tenths."""
    rows = tuple(bill(YESTERDAY, "0.1", service=name) for name in ("a", "b", "c"))
    harness.open(make_account(1, rows=rows))
    (total,) = harness.collect().summary["costs"]["totals"]
    assert Decimal(total["amount"]) == Decimal("0.3")
