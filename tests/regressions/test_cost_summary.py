"""The summary of `collect` says what the days cost: by account and currency, beside earlier days."""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, cast

import pytest

from costbatch.simulator.world import Account, CostRow, Fault
from tests.support.harness import ONE_DAY, TODAY, Harness, Row, bill, make_account, steady

YESTERDAY = TODAY - ONE_DAY
DAY_BEFORE, WEEK_BEFORE = TODAY - 2 * ONE_DAY, TODAY - 8 * ONE_DAY


def _account(number: int, amount: str, *more: CostRow, **fields: Any) -> Account:
    """Return an account with a steady bill up to the day before yesterday, and then these rows."""
    return make_account(number, rows=(*steady(amount, until=YESTERDAY), *more), **fields)


def _line(printed: str, *words: str) -> list[str]:
    return next(line.split() for line in printed.splitlines() if all(word in line for word in words))


DAY = date(2025, 2, 20)
# A currency of its own for each, because the totals are by currency.
ACCOUNTS = {
    "more": _account(1, "100", bill(YESTERDAY, "150.50")),
    "less": _account(2, "40", bill(YESTERDAY, "30")),
    "credit": _account(
        3,
        "100",
        bill(YESTERDAY, "150.123456789"),
        bill(YESTERDAY, "-500", record_type="Credit"),
        currency="GBP",
    ),
    "two currencies": _account(
        4,
        "100",
        bill(YESTERDAY, "150"),
        bill(YESTERDAY, "7", service="Marketplace", unit="INR"),
        currency="EUR",
    ),
    "new": make_account(
        5, rows=(bill(TODAY - timedelta(days=30), "1"), bill(YESTERDAY, "9")), currency="CHF"
    ),
    "tenths": make_account(
        6, rows=tuple(bill(YESTERDAY, "0.1", service=name) for name in ("a", "b", "c")), currency="SEK"
    ),
    "old day": make_account(
        7, rows=(*steady("10", until=DAY), bill(DAY, "25"), *steady("10", days=5)), currency="PLN"
    ),
    "newest day": _account(8, "10", bill(YESTERDAY, "4"), currency="HUF"),
    "spike": _account(9, "100", bill(YESTERDAY, "900"), currency="HKD"),
    "another spike": _account(10, "100", bill(YESTERDAY, "900"), currency="HKD"),
    "late": _account(12, "100", currency="NOK"),
    "refused": make_account(11, faults=(Fault("not_enabled"),)),
}
IDS = {name: account.account_id for name, account in ACCOUNTS.items()}


@dataclass(frozen=True)
class Night:
    """What a run over all accounts says, to people and in its document."""

    harness: Harness
    summary: Row
    printed: str

    def collect(self, name: str, *args: str, **environ: str) -> Row:
        """Return the summary of a run over one account."""
        return self.harness.collect("--account", IDS[name], *args, **environ).summary

    def print(self, name: str, *args: str, **environ: str) -> str:
        """Return what such a run prints."""
        return self.harness.run("collect", "--account", IDS[name], *args, **environ).stdout

    def cost(self, name: str) -> Row:
        """Return the cost of an account, which is in one currency."""
        (cost,) = [each for each in self.summary["costs"]["accounts"] if each["aws_account_id"] == IDS[name]]
        return cast(Row, cost)

    def total(self, currency: str) -> Row:
        """Return the total of a currency."""
        (total,) = [each for each in self.summary["costs"]["totals"] if each["currency"] == currency]
        return cast(Row, total)


@pytest.fixture(scope="module")
def night(shared: Harness) -> Night:
    """Collect every account, and once more for people."""
    shared.open(*ACCOUNTS.values())
    summary = shared.collect().summary
    return Night(shared, summary, shared.run("collect").stdout)


def test_each_account_and_the_total_are_compared_with_the_day_and_the_week_before(night: Night) -> None:
    """Yesterday's comparable cost: an amount, the difference, and the difference in percent."""
    assert f"Cost of {YESTERDAY}" in night.printed
    assert _line(night.printed, IDS["more"], "USD") == [
        IDS["more"], "account-1", "150.50", "USD", "+50.50", "(+50", "%)", "+50.50", "(+50", "%)",
    ]  # fmt: skip
    assert _line(night.printed, IDS["less"], "USD")[2:7] == ["30.00", "USD", "-10.00", "(-25", "%)"]
    assert _line(night.printed, "Total USD")[2:9] == [
        "2", "accounts", "180.50", "USD", "+40.50", "(+29", "%)",
    ]  # fmt: skip


def test_the_document_holds_the_same_as_exact_strings(night: Night) -> None:
    """Programs get every digit, the days by name, and null for what is not known."""
    costs = night.summary["costs"]
    assert costs["days"] == {"start": str(YESTERDAY), "end_exclusive": str(TODAY)}
    assert costs["excluded_record_types"] == ["Credit", "Refund", "Tax"]
    account, total = night.cost("credit"), night.total("GBP")
    assert (account["aws_account_id"], account["name"]) == (IDS["credit"], "account-3")
    expected = {"date": str(DAY_BEFORE), "amount": "100", "change": "50.123456789", "change_percent": "50.1"}
    assert account["amount"] == "150.123456789"
    assert account["day_before"] == expected
    assert account["week_before"] == {**expected, "date": str(WEEK_BEFORE)}
    assert total == {key: account.get(key, 1) for key in total}


def test_currencies_are_never_added_up(night: Night) -> None:
    """One total for each currency, also if one account bills in two."""
    found = [(night.total(one)["amount"], night.total(one)["day_before"]["change"]) for one in ("EUR", "INR")]
    assert found == [("150", "50"), ("7", "7")]
    assert _line(night.printed, IDS["two currencies"], "INR")[2:] == [
        "7.00", "INR", "+7.00", "(new)", "+7.00", "(new)",
    ]  # fmt: skip
    assert _line(night.printed, "Total EUR")[2:6] == ["1", "account", "150.00", "EUR"]


def test_sums_are_exact(night: Night) -> None:
    """Tenths add up to tenths."""
    assert Decimal(night.total("SEK")["amount"]) == Decimal("0.3")


def test_a_day_that_is_stored_and_cost_nothing_is_zero(night: Night) -> None:
    """An account that begins to cost yesterday has a change, and no percentage of zero."""
    assert night.cost("new")["day_before"] == {
        "date": str(DAY_BEFORE), "amount": "0", "change": "9", "change_percent": None,
    }  # fmt: skip


def test_a_backfill_names_its_days_and_sums_them(night: Night) -> None:
    """The header and the cost are of the days that were read, not of yesterday."""
    options = ("--from", "2025-02-01", "--to", "2025-02-28")
    printed = night.print("more", *options)
    assert "Read 2025-02-01 to 2025-02-28, run " in printed
    assert "Cost of 2025-02-01 to 2025-02-28" in printed
    assert _line(printed, IDS["more"], "USD")[2:] == ["2,800.00", "USD"]
    summary = night.collect("more", *options)
    assert summary["run"]["days_read"] == {"start": "2025-02-01", "end_exclusive": "2025-03-01"}
    (total,) = summary["costs"]["totals"]
    assert (total["amount"], total["day_before"]) == ("2800", None)


def test_one_old_day_is_compared_with_the_days_before_it(night: Night) -> None:
    """`--date` compares that day, and names it."""
    printed = night.print("old day", "--date", str(DAY))
    assert f"Read {DAY}, run " in printed
    assert _line(printed, "Total PLN")[4:9] == ["25.00", "PLN", "+15.00", "(+150", "%)"]


@pytest.mark.parametrize(
    ("estimated", "settle_days", "is_said"), [(True, "2", True), (False, "2", False), (True, "0", False)]
)
def test_the_newest_day_is_called_incomplete_while_aws_adds_to_it(
    night: Night,
    estimated: bool,  # noqa: FBT001 - a table of cases
    settle_days: str,
    is_said: bool,  # noqa: FBT001 - as above
) -> None:
    """Both AWS's mark and the days that a day takes to settle must say so."""
    environ = {"COSTBATCH_ANOMALY_SETTLE_DAYS": settle_days}
    night.harness.rows("UPDATE daily_costs SET estimated = %s WHERE currency = 'HUF'", estimated)
    assert night.collect("newest day", **environ)["costs"]["is_incomplete"] is is_said
    assert ("INCOMPLETE" in night.print("newest day", **environ)) is is_said


@pytest.mark.parametrize(("settle_days", "is_open"), [("2", True), ("0", False)])
def test_a_day_of_which_nothing_has_arrived_is_incomplete(
    night: Night,
    settle_days: str,
    is_open: bool,  # noqa: FBT001 - a table of cases
) -> None:
    """As long as it has not settled, no cost is no cost yet."""
    costs = night.collect("late", COSTBATCH_ANOMALY_SETTLE_DAYS=settle_days)["costs"]
    (cost,) = costs["accounts"]
    assert (costs["is_incomplete"], cost["amount"], cost["estimated"]) == (is_open, "0", is_open)


def test_an_account_asked_for_lists_its_own_anomalies_only(night: Night) -> None:
    """`--account X` says nothing of Y, neither in the list nor in the count."""
    listed = {each["aws_account_id"] for each in night.summary["open_anomalies"]}
    assert {IDS["spike"], IDS["another spike"]} <= listed
    summary = night.collect("spike")
    assert [each["aws_account_id"] for each in summary["open_anomalies"]] == [IDS["spike"]]
    assert summary["run"]["anomalies"]["open"] == 1
    assert IDS["another spike"] not in night.print("spike")


def test_a_run_that_collected_nothing_shows_no_cost(night: Night) -> None:
    """An empty table of costs would look like zeros."""
    assert "Cost of" not in night.print("refused")
    assert night.collect("refused")["costs"]["totals"] == []


def test_a_day_that_is_not_stored_is_not_zero(harness: Harness) -> None:
    """A backfill of one day of a new account knows nothing of the days before it."""
    harness.open(_account(1, "100", bill(YESTERDAY, "150")))
    run = harness.collect("--date", str(YESTERDAY))
    (account,) = run.summary["costs"]["accounts"]
    assert (account["amount"], account["day_before"], account["week_before"]) == ("150", None, None)


def test_an_account_that_was_not_collected_is_in_no_total(harness: Harness) -> None:
    """Its cost of the day before would make the total look as if it had fallen."""
    harness.open(_account(1, "100", bill(YESTERDAY, "100")), _account(2, "900", bill(YESTERDAY, "900")))
    harness.collect()
    harness.sleep_until(TODAY + ONE_DAY)
    harness.aws.add_fault(harness.ids[1], "access_denied")
    (total,) = harness.collect().summary["costs"]["totals"]
    assert (total["accounts"], total["day_before"]["amount"]) == (1, "100")


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
