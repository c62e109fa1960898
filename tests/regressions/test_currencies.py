"""A currency belongs to a row: real accounts are billed in several, and a zero can come without any."""

import random
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from costbatch.domain.anomalies import Anomaly
from costbatch.domain.detection import Rule
from costbatch.domain.money import Limit
from costbatch.domain.periods import DateRange
from costbatch.simulator.world import CostRow
from tests.support.factories import CostRow as StoredRow
from tests.support.factories import day, make_row
from tests.support.harness import ONE_DAY, TODAY, Finished, Harness, Row, bill, make_account
from tests.support.replay import Replay

YESTERDAY = TODAY - ONE_DAY
MARKETPLACE = "AWS Marketplace"


def daily(amount: str, *, days: int = 60, last: date = YESTERDAY, **fields: Any) -> tuple[CostRow, ...]:
    """Return the same amount on each of the days up to the last one."""
    return tuple(bill(last - timedelta(days=n), amount, **fields) for n in range(days))


BEFORE = YESTERDAY - ONE_DAY
SPIKE = (*daily("100", last=BEFORE, unit="EUR"), bill(YESTERDAY, "900", unit="EUR"))
BESIDE_A_SPIKE = {
    "a zero": bill(TODAY - 3 * ONE_DAY, "0", unit="USD"),
    "on the day": bill(YESTERDAY, "5", unit="USD"),
    "of a service": bill(YESTERDAY, "5", service=MARKETPLACE, unit="USD"),
    "long before": bill(TODAY - 20 * ONE_DAY, "0.01", unit="JPY"),
    "a credit": bill(YESTERDAY, "-7", record_type="Credit", unit="USD"),
    "none": bill(YESTERDAY, "0", unit="N/A"),
}
REPLACED = (*daily("100", days=30, last=TODAY - 6 * ONE_DAY, unit="USD"), *daily("15000", days=5, unit="JPY"))
FIRST_IN_EURO = (*daily("100"), bill(YESTERDAY, "5000", unit="EUR"))
FLOORS = (
    *daily("100", last=BEFORE, unit="JPY"),
    *daily("100", last=BEFORE, unit="USD"),
    bill(YESTERDAY, "240", unit="JPY"),
    bill(YESTERDAY, "240", unit="USD"),
)
BOTH = (
    *daily("8000", last=BEFORE, unit="INR"),
    *daily("100", last=BEFORE, unit="USD"),
    bill(YESTERDAY, "90000", unit="INR"),
    bill(YESTERDAY, "400", unit="USD"),
)
# The bills of one night, each of an account of its own: a run for each of them would cost ten times as much.
BILLS = {
    **{name: (*SPIKE, other) for name, other in BESIDE_A_SPIKE.items()},
    "both": BOTH,
    "one ends": (
        *daily("100", unit="EUR"),
        *daily("50", days=50, last=TODAY - 6 * ONE_DAY, unit="USD"),
    ),
    "one service": (bill(YESTERDAY, "3", unit="USD"), bill(YESTERDAY, "4", unit="EUR")),
    "zeros among others": (
        bill(YESTERDAY, "3", unit="EUR"),
        bill(YESTERDAY, "0", unit="N/A", service="Amazon SNS", usage=Decimal(12)),
        bill(BEFORE, "0", unit="N/A", service="Amazon SNS"),
    ),
    "zeros only": daily("0", days=5, unit="N/A"),
    "no currency": (bill(YESTERDAY, "0.01", unit="N/A"),),
    "floors": FLOORS,
    "severities": (
        *daily("100", last=BEFORE, unit="JPY"),
        *daily("100", last=BEFORE, unit="USD"),
        bill(YESTERDAY, "90000", unit="JPY"),
        bill(YESTERDAY, "2100", unit="USD"),
    ),
    "deviation replaced": REPLACED,
    "deviation first": FIRST_IN_EURO,
}
LATER = {"adaptive replaced": REPLACED, "adaptive first": FIRST_IN_EURO}
ACCOUNTS = {
    name: make_account(number, rows=rows) for number, (name, rows) in enumerate({**BILLS, **LATER}.items(), 1)
}
LIMITS = {
    "COSTBATCH_ANOMALY_FLOOR": "JPY=150",
    "COSTBATCH_ANOMALY_MEDIUM_IMPACT": "JPY=15000",
    "COSTBATCH_ANOMALY_HIGH_IMPACT": "1000, JPY = 150000",
}


class Night:
    """The accounts after one night, and what later runs do to some of them."""

    def __init__(self, harness: Harness) -> None:
        self.harness = harness
        harness.open(*(ACCOUNTS[name] for name in BILLS))
        self.runs = {"deviation": harness.collect(**LIMITS)}
        harness.open(*ACCOUNTS.values())
        self.runs["adaptive"] = self.collect(*LATER, COSTBATCH_DETECTOR="adaptive")

    def collect(self, *names: str, **environ: str) -> Finished:
        """Collect some accounts, with the same limits."""
        options = [word for name in names for word in ("--account", ACCOUNTS[name].account_id)]
        return self.harness.collect(*options, **LIMITS, **environ)

    def bill(self, name: str, *rows: CostRow) -> None:
        """Let AWS show other rows of an account from now on."""
        self.harness.aws.set_rows(ACCOUNTS[name].account_id, rows)

    def outcome(self, name: str) -> str:
        """Return how the account ended in the night."""
        return self.runs["deviation"].outcomes[ACCOUNTS[name].account_id]

    def rows(self, table: str, name: str, order: str) -> list[Row]:
        """Return the rows of an account."""
        return self.harness.rows(
            f"SELECT t.* FROM {table} AS t JOIN accounts AS a ON a.id = t.account_id "
            f"WHERE a.aws_account_id = %s ORDER BY {order}",
            ACCOUNTS[name].account_id,
        )

    def anomalies(self, name: str) -> list[Row]:
        """Return the anomalies of an account that was collected, by currency."""
        assert name in LATER or self.outcome(name) == "collected"
        return self.rows("anomalies", name, "currency, start_date")

    def log(self, detector: str, event: str, name: str) -> Row:
        """Return the one line of an account about this in the run with a detector."""
        lines = self.runs[detector].logs(event)
        (line,) = [each for each in lines if each["aws_account_id"] == ACCOUNTS[name].account_id]
        return line


@pytest.fixture(scope="module")
def night(shared: Harness) -> Night:
    """Collect every account once."""
    return Night(shared)


def in_short(anomalies: list[Row]) -> list[tuple[str, str, int, int]]:
    """Return each anomaly as its currency, its direction, and what was expected and came."""
    return [
        (each["currency"], each["direction"], int(each["expected"]), int(each["actual"]))
        for each in anomalies
    ]


@pytest.mark.parametrize("other", BESIDE_A_SPIKE)
def test_a_row_in_another_currency_hides_no_spike(night: Night, other: str) -> None:
    """EUR 100 a day and EUR 900 yesterday: one spike in euros, whatever one row says in another currency."""
    assert in_short(night.anomalies(other)) == [("EUR", "spike", 100, 900)]


def test_each_currency_of_an_account_is_judged_with_its_own_history(night: Night) -> None:
    """Rupees and dollars every day: the same service deviates in both, each is told with its own amounts."""
    found = night.anomalies("both")
    assert in_short(found) == [("INR", "spike", 8000, 90000), ("USD", "spike", 100, 400)]
    assert [each["explanation"][0]["actual"] for each in found] == ["90000", "400"]
    night.harness.sleep_until(TODAY + ONE_DAY)
    night.bill("both", *BOTH, bill(TODAY, "8000", unit="INR"), bill(TODAY, "100", unit="USD"))
    assert night.collect("both").status == 0
    night.harness.sleep_until(TODAY)
    assert [each["id"] for each in night.anomalies("both")] == [each["id"] for each in found]


def test_the_end_of_one_of_two_currencies_is_a_drop(night: Night) -> None:
    """Both were billed for long: what ends was not replaced by the other."""
    assert [each[:2] for each in in_short(night.anomalies("one ends"))] == [("USD", "drop")]


def test_one_service_and_record_type_in_two_currencies_are_two_rows(night: Night) -> None:
    """The key of a row holds its currency; nothing is added up, and a restated currency is replaced."""

    def found() -> list[tuple[str, str]]:
        rows = night.rows("daily_costs", "one service", "currency")
        return [(row["currency"], str(row["unblended"])) for row in rows]

    assert found() == [("EUR", "4"), ("USD", "3")]
    night.bill("one service", bill(YESTERDAY, "3", unit="USD"), bill(YESTERDAY, "5", unit="JPY"))
    assert night.collect("one service").status == 0
    assert found() == [("JPY", "5"), ("USD", "3")]


def test_a_zero_without_a_currency_takes_that_of_its_day(night: Night) -> None:
    """A service that costs nothing is stored beside the others, and the account is collected."""
    stored = [
        row
        for row in night.rows("daily_costs", "zeros among others", "usage_date")
        if row["service"] == "Amazon SNS"
    ]
    assert [(row["currency"], row["unblended"]) for row in stored] == [("EUR", 0), ("EUR", 0)]
    assert stored[1]["usage_quantity"] == 12
    (account,) = night.collect("zeros among others").summary["accounts"]
    assert account["rows"] == {"fetched": 3, "inserted": 0, "updated": 0, "deleted": 0}


def test_zeros_without_any_currency_are_an_account_without_cost(night: Night) -> None:
    """There is no currency to store them in, and nothing to store."""
    assert night.outcome("zeros only") == "collected"
    assert night.anomalies("zeros only") == night.rows("daily_costs", "zeros only", "usage_date") == []


def test_an_amount_without_a_currency_is_malformed(night: Night) -> None:
    """Only a zero needs none; the sentence names the place."""
    assert night.outcome("no currency") == "malformed_response"
    account = night.runs["deviation"].account(ACCOUNTS["no currency"].account_id)
    assert 'UnblendedCost.Unit is "N/A"' in account["error"]["message"]


# The detector, and how many days of cost it needs before it judges one.
HISTORIES = [("deviation", 7), ("adaptive", 20)]


@pytest.mark.parametrize(("detector", "days"), HISTORIES)
def test_a_change_of_currency_is_no_anomaly_and_is_logged(night: Night, detector: str, days: int) -> None:
    """Dollars become yen: no drop, no spike, and the log says what is not judged."""
    name = f"{detector} replaced"
    assert night.anomalies(name) == []
    replaced = night.log(detector, "currency_replaced", name)
    assert (replaced["currency"], replaced["last_day"]) == ("USD", str(TODAY - 6 * ONE_DAY))
    young = night.log(detector, "currency_not_judged_yet", name)
    assert (young["currency"], young["judged_from"]) == ("JPY", str(TODAY + (days - 5) * ONE_DAY))


@pytest.mark.parametrize(("detector", "days"), HISTORIES)
def test_a_currency_without_history_is_logged(night: Night, detector: str, days: int) -> None:
    """The first cost in another currency is no anomaly yet; the log says from when it is judged."""
    name = f"{detector} first"
    assert night.anomalies(name) == []
    line = night.log(detector, "currency_not_judged_yet", name)
    assert (line["currency"], line["judged_from"]) == ("EUR", str(YESTERDAY + days * ONE_DAY))


def test_the_floor_and_the_severity_are_by_currency(night: Night) -> None:
    """A hundred yen are no dollar, and a million of them is no more than seven thousand."""
    assert in_short(night.anomalies("floors")) == [("USD", "spike", 100, 240)]
    night.bill("floors", *FLOORS, bill(YESTERDAY, "149000", unit="JPY", service=MARKETPLACE))
    assert night.collect("floors").status == 0
    found = [(each["currency"], each["severity"]) for each in night.anomalies("floors")]
    assert found == [("JPY", "medium"), ("USD", "medium")]


def test_open_anomalies_are_listed_by_severity_not_across_currencies(night: Night) -> None:
    """A rise by 90,000 yen is less than one by 2,000 dollars."""
    listed = night.runs["deviation"].summary["open_anomalies"]
    own = [each for each in listed if each["aws_account_id"] == ACCOUNTS["severities"].account_id]
    assert [(each["currency"], each["severity"]) for each in own] == [("USD", "high"), ("JPY", "medium")]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("EUR=1,5", None),
        ("eur=1", "must be a number, or numbers by currency such as EUR=1,JPY=150, not 'eur=1'."),
        ("EUR=1,EUR=2", "has two numbers for EUR."),
        ("1,5", "has two numbers for all other currencies."),
        ("EUR=", "must be a number, or numbers by currency such as EUR=1,JPY=150, not 'EUR='."),
        ("=1", "must be a number, or numbers by currency such as EUR=1,JPY=150, not '=1'."),
        ("EUR=-1", "must be a number, or numbers by currency such as EUR=1,JPY=150, not 'EUR=-1'."),
        ("EUR=1,", "must be a number, or numbers by currency such as EUR=1,JPY=150, not 'EUR=1,'."),
        ("EUR:1,JPY:2", "must be a number, or numbers by currency such as EUR=1,JPY=150, not 'EUR:1,JPY:2'."),
    ],
)
def test_a_limit_by_currency_is_read_strictly(idle: Harness, text: str, problem: str | None) -> None:
    """One sentence says what is wrong with it, and the exit status is 2."""
    run = idle.run("config", COSTBATCH_ANOMALY_FLOOR=text)
    assert run.status == (2 if problem else 0)
    assert problem is None or f"COSTBATCH_ANOMALY_FLOOR {problem}" in run.stderr


def test_config_shows_the_limits_and_checks_them_in_every_currency(idle: Harness) -> None:
    """A limit of medium severity above that of high is refused, also of one currency only."""
    run = idle.run("config", "--output", "json", COSTBATCH_ANOMALY_FLOOR="JPY=150,EUR=2")
    assert '"EUR=2,JPY=150"' in run.stdout
    run = idle.run("config", "--output", "json", COSTBATCH_ANOMALY_MEDIUM_IMPACT="JPY=150,EUR=2")
    assert '"100,EUR=2,JPY=150"' in run.stdout
    run = idle.run("config", COSTBATCH_ANOMALY_MEDIUM_IMPACT="JPY=15000")
    assert run.status == 2
    assert (
        "COSTBATCH_ANOMALY_MEDIUM_IMPACT must be at most COSTBATCH_ANOMALY_HIGH_IMPACT; "
        "for JPY they are 15000 and 1000." in run.stderr
    )


@dataclass
class Split(Replay):
    """An account whose bill is by day and (service, currency), written as "service/currency"."""

    only: str | None = None
    rule: Rule = field(default_factory=lambda: Rule(per_service=True, floor=Limit(Decimal(5))))

    def _rows(self, window: DateRange) -> list[StoredRow]:
        return [
            make_row(usage_date, str(amount), service=name.split("/")[0], currency=name.split("/")[1])
            for (usage_date, name), amount in self.bill.items()
            if usage_date in window and (self.only is None or name.endswith(self.only))
        ]

    def in_currency(self, currency: str) -> list[Anomaly]:
        """Return the anomalies of a currency."""
        found = [each for each in self.store.tables.anomalies.rows.values() if each.currency == currency]
        return sorted(found, key=lambda each: each.id)


@pytest.mark.parametrize("seed", range(8))
def test_two_currencies_have_exactly_the_anomalies_that_each_has_alone(seed: int) -> None:
    """Random bills with late and restated days: the ids, amounts, explanations and ends are the same."""
    dice = random.Random(seed)
    names = [f"{service}/{currency}" for service in ("EC2", "S3") for currency in ("EUR", "USD")]
    begins = {"EUR": 0, "USD": dice.choice([0, 20])}
    together, euros, dollars = Split(), Split(only="EUR"), Split(only="USD")
    for today in range(45, 62):
        for n in range(0 if today == 45 else today - 4, today):
            for name in names:
                if n < begins[name[-3:]] or dice.random() < 0.2:
                    continue
                amount = dice.choice([10, 11, 12, 12, 12, 13, 0, 60] if n > 35 else [11, 12, 12])
                for life in (together, euros, dollars):
                    life.costs({n: amount}, service=name)
        for life in (together, euros, dollars):
            life.run(today)
    assert len(together.anomalies) > 4
    assert together.in_currency("EUR") == euros.in_currency("EUR")
    assert together.in_currency("USD") == dollars.in_currency("USD")


def test_the_same_anomaly_in_two_currencies_has_two_ids() -> None:
    """Equal amounts on the same days are still two anomalies, the same ones in every repetition."""
    lives = []
    for _ in range(2):
        life = Split(rule=Rule())
        for currency in ("EUR", "USD"):
            life.costs(dict.fromkeys(range(50), 100), service=f"EC2/{currency}")
            life.costs({50: 300}, service=f"EC2/{currency}")
        life.run(51)
        lives.append([each.id for each in life.anomalies])
    assert len(set(lives[0])) == 2
    assert lives[0] == lives[1]


def test_a_later_judgement_of_one_currency_leaves_the_other_alone() -> None:
    """A restated day in euros resolves the anomaly in euros, not the one in dollars."""
    life = Split(rule=Rule())
    for currency in ("EUR", "USD"):
        life.costs(dict.fromkeys(range(50), 100), service=f"EC2/{currency}")
        life.costs({50: 300}, service=f"EC2/{currency}")
    life.run(51)
    life.costs({50: 100}, service="EC2/EUR")
    life.run(52)
    assert {each.currency: each.state.value for each in life.anomalies} == {"EUR": "resolved", "USD": "open"}
    life.rule = replace(life.rule, per_service=True)
    assert day(50) in {each.start_date for each in life.open}
