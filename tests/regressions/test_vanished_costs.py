"""Absence is not zero: what AWS shows no more is neither deleted in silence nor taken for a drop."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import pytest

from costbatch.simulator.world import CostRow, Fault
from tests.support.bills import Bill, stored
from tests.support.harness import ONE_DAY, TODAY, Finished, Harness, Prepare, bill, make_account, steady

ONE = "100000000001"
TOMORROW = TODAY + ONE_DAY
WINDOW = [TOMORROW - timedelta(days=n) for n in range(35, 0, -1)]


def night(harness: Harness, today: date, rows: Iterable[CostRow], *args: str, **environ: str) -> Finished:
    """Collect on a morning on which AWS shows these rows."""
    harness.sleep_until(today)
    harness.aws.set_rows(ONE, rows)
    return harness.collect(*args, **environ)


def one(harness: Harness) -> None:
    """Collect an account that has cost 100 a day for 60 days."""
    harness.open(make_account(1, rows=steady("100")))
    assert harness.collect().outcomes == {ONE: "collected"}


@pytest.fixture
def collected(prepare: Prepare) -> Harness:
    """Return a harness whose account was collected this morning."""
    return prepare(one)


def anomalies(harness: Harness) -> int:
    """Return how many anomalies were ever found."""
    return int(harness.value("SELECT count(*) FROM anomalies"))


EMPTIED: dict[str, Sequence[CostRow]] = {
    "no groups at all": (),
    "a single day at the beginning": steady("100", until=WINDOW[1], days=1),
    "the older half": steady("100", until=WINDOW[15], days=40),
    "groups of nothing but zeros": steady("0", until=TOMORROW),
}
ORDINARY = {
    "one day": [WINDOW[20]],
    "the last stored day": [WINDOW[-2]],
    "the first day": [WINDOW[0]],
    "a small part": WINDOW[5:15],
}


@dataclass(frozen=True)
class Vanished:
    """A night on which AWS shows less of each account than on the one before. Accounts are by case."""

    harness: Harness
    run: Finished
    ids: dict[str, str]
    before: dict[str, Bill]
    paid: dict[str, int]


@pytest.fixture(scope="module")
def vanished(shared: Harness) -> Vanished:
    """Collect an account for each case, and again after its rows are gone."""
    full = steady("100", until=TOMORROW, days=61)
    ordinary = {name: [row for row in full if row.date not in days] for name, days in ORDINARY.items()}
    left = {**EMPTIED, **ordinary}
    accounts = {name: make_account(n, rows=steady("100")) for n, name in enumerate(left, 1)}
    shared.open(*accounts.values())
    ids = {name: account.account_id for name, account in accounts.items()}
    assert set(shared.collect().outcomes.values()) == {"collected"}
    before = {name: stored(shared, one) for name, one in ids.items()}
    shared.sleep_until(TOMORROW)
    for name, rows in left.items():
        shared.aws.set_rows(ids[name], rows)
    shared.aws.reset_requests()
    run = shared.collect()
    paid = {name: shared.aws.paid(one) for name, one in ids.items()}
    return Vanished(shared, run, ids, before, paid)


@pytest.mark.parametrize("case", EMPTIED)
def test_an_answer_that_empties_most_of_the_window_changes_nothing(vanished: Vanished, case: str) -> None:
    """The account fails as implausible_answer, its rows stay, no day is judged, and it is not asked again."""
    harness, one = vanished.harness, vanished.ids[case]
    account = vanished.run.account(one)
    assert vanished.run.outcomes[one] == "implausible_answer"
    assert (account["attempts"], account["api"]["requests"], vanished.paid[case]) == (1, 1, 1)
    assert stored(harness, one) == vanished.before[case]
    of_one = "account_id = (SELECT id FROM accounts WHERE aws_account_id = %s)"
    assert harness.value(f"SELECT count(*) FROM anomalies WHERE {of_one}", one) == 0
    covered = f"SELECT covered_end_exclusive FROM account_progress WHERE {of_one}"
    assert harness.value(covered, one) == TODAY
    (told,) = [line for line in vanished.run.logs("account_failed") if line["aws_account_id"] == one]
    assert told["kind"] == "implausible_answer"


@pytest.mark.parametrize("case", ORDINARY)
def test_what_ordinarily_vanishes_goes_on_working(vanished: Vanished, case: str) -> None:
    """A day, or a small part of the window, is restated to nothing and deleted."""
    account = vanished.run.account(vanished.ids[case])
    assert account["state"] == "collected"
    assert (account["rows"]["deleted"], account["days_kept"]) == (len(ORDINARY[case]), 0)


def test_the_refusal_says_how_many_days_and_how_much_money_since_when(harness: Harness) -> None:
    """In each currency, with the way to accept it."""
    euros = [bill(day, "2.50", service="Tax office", unit="EUR") for day in WINDOW[-3:-1]]
    harness.open(make_account(1, rows=(*steady("100"), *euros)))
    harness.collect()
    message = night(harness, TOMORROW, ()).account(ONE)["error"]["message"]
    assert "no cost for 34 of 34 days with stored cost" in message
    assert f"since {WINDOW[0]}" in message
    assert "5.00 EUR and 3,400.00 USD would vanish" in message
    assert "costbatch collect --account ID --accept-vanished" in message


def test_the_next_good_answer_heals(collected: Harness) -> None:
    """Nothing was lost: the missed day is read with the others, and the alert is called off."""
    night(collected, TOMORROW, ())
    run = night(collected, TOMORROW + ONE_DAY, steady("100", until=TOMORROW + ONE_DAY, days=62))
    assert run.outcomes == {ONE: "collected"}
    assert run.account(ONE)["rows"]["inserted"] == 2
    assert run.summary["events"]["written"] == {"account.recovered": 1, "run.completed": 1}


def test_an_operator_accepts_it(collected: Harness) -> None:
    """With the option the window becomes what AWS says; the option is part of what a run key asks for."""
    args = ("--account", ONE, "--run-key", "job", "--accept-vanished")
    run = night(collected, TOMORROW, (), *args)
    assert run.outcomes == {ONE: "collected"}
    assert run.account(ONE)["rows"]["deleted"] == 34
    assert max(day for day, *_ in stored(collected, ONE)) < WINDOW[0]
    assert collected.collect(*args).status == 0
    assert collected.collect(*args[:-1]).status == 2
    assert collected.collect().outcomes == {ONE: "collected"}


def test_accepting_needs_the_account(collected: Harness) -> None:
    """The option is never for every account at once."""
    run = collected.run("collect", "--accept-vanished")
    assert run.status == 2
    assert run.sentences == [
        "--accept-vanished needs --account: name the account whose stored days may vanish."
    ]


def test_a_backfill_is_weighed_too(collected: Harness) -> None:
    """Days asked for by hand are not emptied either, unless it is accepted; a single one may be."""
    before = stored(collected, ONE)
    days = ("--from", str(WINDOW[0]), "--to", str(WINDOW[9]))
    assert night(collected, TOMORROW, (), *days).outcomes == {ONE: "implausible_answer"}
    assert stored(collected, ONE) == before
    run = collected.collect(*days, "--account", ONE, "--accept-vanished")
    assert run.account(ONE)["rows"]["deleted"] == 10
    assert collected.collect("--date", str(WINDOW[20])).account(ONE)["rows"]["deleted"] == 1


def test_the_share_is_a_setting(collected: Harness) -> None:
    """A third of the days goes by default; with a smaller share it does not, and with 1 everything does."""
    rows = [row for row in steady("100", until=TOMORROW, days=61) if row.date not in WINDOW[10:20]]
    strict = night(collected, TOMORROW, rows, COSTBATCH_VANISHED_RATIO="25%")
    assert strict.outcomes == {ONE: "implausible_answer"}
    assert collected.collect().account(ONE)["rows"]["deleted"] == 10
    assert night(collected, TOMORROW, (), COSTBATCH_VANISHED_RATIO="1").outcomes == {ONE: "collected"}
    assert collected.collect(COSTBATCH_VANISHED_RATIO="1.1").status == 2


def test_another_currency_is_a_restatement(collected: Harness) -> None:
    """All rows of one currency go while those of another come: the days have cost before and after."""
    rows = [bill(day, "90", service="Euro service", unit="EUR") for day in WINDOW]
    run = night(collected, TOMORROW, rows)
    assert run.outcomes == {ONE: "collected"}
    assert run.account(ONE)["rows"] == {"fetched": 35, "inserted": 35, "updated": 0, "deleted": 34}


def test_an_account_that_was_closed_fades_to_zero(collected: Harness) -> None:
    """New days without cost take nothing away: they are collected, night by night."""
    for n in range(3):
        run = night(collected, TOMORROW + n * ONE_DAY, steady("100"))
        assert run.outcomes == {ONE: "collected"}
        assert run.account(ONE)["rows"]["deleted"] == 0
    assert collected.value("SELECT covered_end_exclusive FROM account_progress") == TOMORROW + 2 * ONE_DAY


def test_a_few_days_are_all_that_is_stored(harness: Harness) -> None:
    """What vanishes is held against what is stored, not against the length of the window."""
    harness.open(make_account(1, rows=steady("100", days=3)))
    harness.collect()
    assert night(harness, TOMORROW, ()).outcomes == {ONE: "implausible_answer"}


def joined(today: date) -> list[CostRow]:
    """Return the bill of an account that joined an organization on the 27th day of the window."""
    return [row for row in steady("100", until=today, days=61) if row.date >= WINDOW[26]]


def one_that_joined(harness: Harness) -> None:
    """Collect the account, and once more after it joined."""
    one(harness)
    night(harness, TOMORROW, joined(TOMORROW))


@pytest.fixture
def kept(prepare: Prepare) -> Harness:
    """Return a harness on the morning on which 26 days of its account were kept."""
    return prepare(one_that_joined)


def test_what_was_before_an_organization_is_kept(collected: Harness) -> None:
    """26 days vanish at the beginning: they stay, the rest is collected and judged, and it is said."""
    before = stored(collected, ONE)
    run = night(collected, TOMORROW, joined(TOMORROW))
    assert run.outcomes == {ONE: "collected"}
    assert run.account(ONE)["rows"] == {"fetched": 9, "inserted": 1, "updated": 0, "deleted": 0}
    assert run.account(ONE)["days_kept"] == run.summary["run"]["days_kept"] == 26
    assert before.items() <= stored(collected, ONE).items()
    assert anomalies(collected) == 0
    (warning,) = run.logs("stored_days_kept")
    assert (warning["aws_account_id"], warning["days"], warning["level"]) == (ONE, 26, "warning")


def test_the_nights_after_keep_it_too_without_a_write(kept: Harness) -> None:
    """Until the last of them has left the window, which reaches back again at the beginning of a month."""
    behind, previous = [], 0
    # The night after, the nights around the end of the month, and the last ones that keep a day.
    for n in (1, 2, 18, 19, 28, 29, 30):
        today = TOMORROW + n * ONE_DAY
        account = night(kept, today, joined(today)).account(ONE)
        behind.append((WINDOW[26] - date.fromisoformat(account["window"]["start"])).days)
        assert account["days_kept"] == max(behind[-1], 0)
        rows = account["rows"]
        assert (rows["inserted"], rows["deleted"]) == (n - previous, 0)
        assert rows["fetched"] == account["days"] - account["days_kept"]
        previous = n
    assert behind[-1] <= 0
    assert len(stored(kept, ONE)) == 60 + 31
    assert anomalies(kept) == 0


def test_the_last_kept_day_stays_while_its_text_changes(harness: Harness) -> None:
    """A single first day is kept if it was kept before, although an ordinary one may vanish."""
    harness.open(make_account(1, rows=steady("100")))
    harness.collect()
    night(harness, TOMORROW, steady("100", until=TOMORROW, days=33))
    assert harness.collect().account(ONE)["days_kept"] == 2
    harness.sleep_until(TOMORROW + ONE_DAY)
    harness.rows("UPDATE day_digests SET days = set_byte(days, 20, get_byte(days, 20) # 1)")
    run = night(harness, TOMORROW + ONE_DAY, steady("100", until=TOMORROW + ONE_DAY, days=34))
    assert (run.account(ONE)["days_kept"], run.account(ONE)["rows"]["deleted"]) == (1, 0)


def test_a_backfill_in_between_does_not_lose_it(kept: Harness) -> None:
    """It compares every day anew and so finds them absent once more; the next night does, too."""
    run = kept.collect("--from", str(WINDOW[0]))
    assert (run.account(ONE)["days_kept"], run.account(ONE)["rows"]["deleted"]) == (26, 0)
    assert kept.collect().account(ONE)["days_kept"] == 26
    assert anomalies(kept) == 0


@pytest.mark.parametrize("detector", ["deviation", "adaptive"])
def test_days_that_aws_hides_before_they_are_complete_are_no_drop(harness: Harness, detector: str) -> None:
    """Of the newest kept day a part is stored, of the day after it nothing: what is missing is unknown.

    A backtest raises nothing either, and what the days that AWS shows cost is judged as ever.
    """
    harness.environ["COSTBATCH_DETECTOR"] = detector
    harness.open(make_account(1, rows=(*steady("100")[:-1], bill(TODAY - ONE_DAY, "30"))))
    harness.collect()
    assert night(harness, TOMORROW, ()).outcomes == {ONE: "implausible_answer"}
    for n in range(1, 6):
        today = TOMORROW + n * ONE_DAY
        run = night(harness, today, steady("100", until=today, days=n))
        assert run.outcomes == {ONE: "collected"}
    assert anomalies(harness) == 0
    backtest = harness.run("backtest", "--detector", detector, "--output", "json")
    assert backtest.summary["alarms"] == []
    spike = bill(TOMORROW + 5 * ONE_DAY, "400")
    night(harness, TOMORROW + 6 * ONE_DAY, (*steady("100", until=spike.date, days=5), spike))
    assert harness.value("SELECT start_date FROM anomalies") == spike.date


def test_a_hidden_day_is_no_drop_after_it_has_left_the_window(harness: Harness) -> None:
    """The first day after it is restated while the window begins with it: the day before is not judged."""
    harness.environ["COSTBATCH_WINDOW_DAYS"] = "5"
    harness.open(make_account(1, rows=steady("100")))
    harness.collect()
    assert night(harness, TOMORROW, ()).outcomes == {ONE: "implausible_answer"}
    for n in range(1, 6):
        today = TOMORROW + n * ONE_DAY
        rows = [*steady("100", until=today, days=n)]
        if n == 5:
            rows[0] = bill(TOMORROW, "101")
        account = night(harness, today, rows).account(ONE)
    assert (account["days_kept"], account["rows"]["updated"]) == (0, 1)
    assert anomalies(harness) == 0


def test_a_hidden_day_is_unknown_to_whatever_compares(harness: Harness) -> None:
    """To the cost of the day after it, to the forecast and to the mean, until AWS shows it again."""
    stale = bill(TODAY - ONE_DAY, "30")
    harness.open(make_account(1, rows=(*steady("100")[:-1], stale)))
    harness.collect()
    assert night(harness, TOMORROW, ()).outcomes == {ONE: "implausible_answer"}
    today = TOMORROW + ONE_DAY
    run = night(harness, today, steady("100", until=today, days=1))
    hidden = [TODAY - 2 * ONE_DAY, TODAY - ONE_DAY, TODAY]
    assert harness.value("SELECT unknown_days FROM account_progress") == hidden
    (cost,) = run.summary["costs"]["accounts"]
    assert (cost["day_before"], cost["week_before"]["change"]) == (None, "0")
    forecasts = json.loads(harness.run("forecast", "--output", "json").stdout)
    assert [each["expected"] for each in forecasts] == ["3100.00"] * 2
    night(harness, today + ONE_DAY, steady("100", until=today + ONE_DAY, days=62))
    assert harness.value("SELECT unknown_days FROM account_progress") == []


def test_what_comes_back_is_taken_again(kept: Harness) -> None:
    """Days that AWS reports again are restated; nothing is kept any more."""
    run = night(kept, TOMORROW + ONE_DAY, steady("70", until=TOMORROW + ONE_DAY, days=62))
    assert run.account(ONE)["days_kept"] == 0
    assert run.account(ONE)["rows"]["updated"] == 34


def test_what_is_left_of_the_account_is_weighed_by_itself(kept: Harness) -> None:
    """Kept days do not count: if the days after them vanish as well, that is implausible."""
    before = stored(kept, ONE)
    run = night(kept, TOMORROW + ONE_DAY, ())
    assert run.outcomes == {ONE: "implausible_answer"}
    assert "no cost for 9 of 9 days" in run.account(ONE)["error"]["message"]
    assert stored(kept, ONE) == before


def test_an_operator_removes_what_was_kept(kept: Harness) -> None:
    """The option is for these days, too."""
    run = kept.collect("--account", ONE, "--accept-vanished")
    assert (run.account(ONE)["rows"]["deleted"], run.account(ONE)["days_kept"]) == (26, 0)
    assert kept.collect().account(ONE)["days_kept"] == 0


def test_the_table_warns_of_what_was_kept(collected: Harness) -> None:
    """A person reads which account it is and what to do."""
    harness = collected
    harness.sleep_until(TOMORROW)
    harness.aws.set_rows(ONE, joined(TOMORROW))
    printed = " ".join(harness.run("collect").stdout.split())
    assert "warning: stored days kept (1 account) 100000000001" in printed


def call_aws(day: date, total: dict[str, Any]) -> str:
    """Return an answer with one day that has no groups but this total."""
    period = {"Start": str(day), "End": str(day + ONE_DAY)}
    return json.dumps(
        {"ResultsByTime": [{"TimePeriod": period, "Total": total, "Groups": [], "Estimated": False}]}
    )


def usd(amount: str, name: str = "UnblendedCost", unit: str = "USD") -> dict[str, Any]:
    """Return a total of one amount."""
    return {name: {"Amount": amount, "Unit": unit}}


MALFORMED: dict[str, dict[str, Any]] = {
    "a cost": usd("150"),
    "a credit": usd("-0.01"),
    "next to nothing": usd("9.0E-10", "NetAmortizedCost"),
    "another basis": {**usd("0"), **usd("3", "AmortizedCost", "EUR")},
    "no number": usd("a lot"),
    "no amount": {"UnblendedCost": 150},
}
EMPTY: dict[str, dict[str, Any]] = {
    "no total": {},
    "a zero": usd("0"),
    "a zero without a currency": usd("0.0000000000", unit="N/A"),
    "usage": usd("7", "UsageQuantity", "N/A"),
}


@pytest.fixture(scope="module")
def totals(vanished: Vanished) -> Vanished:
    """Collect one day again, of which each answer has no groups but a total; one account for each case.

    The accounts of the other night are paused.
    """
    harness = vanished.harness
    harness.sleep_until(TODAY)
    harness.rows("UPDATE accounts SET status = 'paused'")
    cases = {**MALFORMED, **EMPTY}
    accounts = {
        name: make_account(100 + n, rows=steady("100", days=1) if name in MALFORMED else ())
        for n, name in enumerate(cases)
    }
    harness.open(*accounts.values())
    ids = {name: account.account_id for name, account in accounts.items()}
    harness.collect()
    before = {name: stored(harness, one) for name, one in ids.items()}
    day = TODAY - ONE_DAY
    for name, total in cases.items():
        harness.aws.add_fault(ids[name], **_body(call_aws(day, total)))
    return Vanished(harness, harness.collect("--date", str(day)), ids, before, {})


@pytest.mark.parametrize("case", MALFORMED)
def test_a_total_without_groups_is_malformed(totals: Vanished, case: str) -> None:
    """Whichever cost it is of: a day whose groups are missing is not a zero."""
    one = totals.ids[case]
    assert totals.run.outcomes[one] == "malformed_response"
    assert "ResultsByTime[0].Total" in totals.run.account(one)["error"]["message"]
    assert stored(totals.harness, one) == totals.before[case] != {}


@pytest.mark.parametrize("case", EMPTY)
def test_a_total_of_nothing_is_a_day_without_cost(totals: Vanished, case: str) -> None:
    """AWS describes one like this; usage without cost is not cost."""
    assert totals.run.outcomes[totals.ids[case]] == "collected"


def test_a_day_that_was_known_to_be_empty_is_looked_at_again(harness: Harness) -> None:
    """Its groups read as they did the night before, and its total does not."""
    harness.open(make_account(1, rows=()))
    harness.collect()
    days = [TODAY - timedelta(days=n) for n in range(35, 0, -1)]
    results = [json.loads(call_aws(day, usd("0")))["ResultsByTime"][0] for day in days]
    results[20]["Total"] = usd("150")
    harness.aws.add_fault(ONE, **_body(json.dumps({"ResultsByTime": results})))
    run = harness.collect()
    assert run.outcomes == {ONE: "malformed_response"}
    assert (
        f'ResultsByTime[20].Total.UnblendedCost is "150", but {days[20]} has no groups'
        in (run.account(ONE)["error"]["message"])
    )


def _body(text: str) -> dict[str, Any]:
    return {"kind": Fault("body").kind, "body": text}
