"""The benchmark of the detectors runs on a few accounts, and its scorer counts as it says."""

from pathlib import Path

import pytest

from benchmarks.anomaly import worlds
from benchmarks.anomaly.__main__ import ALL_RULES, main
from benchmarks.anomaly.dataset import Account, load, save
from benchmarks.anomaly.rules import TOTAL, Alarm
from benchmarks.anomaly.scoring import measure, score

pytestmark = pytest.mark.slow


def test_the_benchmark_prints_a_row_for_each_family_and_detector(capsys: pytest.CaptureFixture[str]) -> None:
    """A fresh clone needs no data."""
    main(["--accounts", "2", "--seeds", "1", "--only", "adaptive", "weekday median + MAD"])
    rows = capsys.readouterr().out.splitlines()
    assert [row.split(" | ")[:2] for row in rows[2:]] == [
        [f"| {family} 1", rule] for family in ("walk", "web") for rule in ("adaptive", "weekday median + MAD")
    ]


@pytest.mark.parametrize("rule", ALL_RULES)
def test_each_method_finds_what_is_plain_and_is_silent_otherwise(rule: str) -> None:
    """A service that costs five times as much on one day, beside one that costs the same every day."""
    week = [100.0, 101.0, 99.0, 102.0, 100.0, 90.0, 91.0]
    days = [week[n % 7] + n % 3 for n in range(90)]
    days[80] = 500.0
    final = {"this": days, "other": [40.0] * 90}
    account = Account("one", worlds.START, final, {0: final, 1: final})
    first = next(iter(ALL_RULES[rule](account)))
    assert (first.service, first.day, first.seen) == (first.service, 80, 80)
    assert first.service in {"this", TOTAL}
    assert first.expected < 200 < first.actual


@pytest.mark.parametrize("rule", ALL_RULES)
def test_a_drop_is_told_once_the_day_is_complete(rule: str) -> None:
    """Two thirds of each day come late: only the service that stopped drops, and two days after."""
    final = {"this": [100.0 + n % 3 for n in range(90)], "other": [40.0 + n % 2 for n in range(90)]}
    final["this"][80:] = [0.0] * 10
    late = {service: [amount / 3 for amount in amounts] for service, amounts in final.items()}
    alarms = ALL_RULES[rule](Account("one", worlds.START, final, {0: late, 1: final}))
    drops = [alarm for alarm in alarms if alarm.actual < alarm.expected]
    assert {alarm.seen - alarm.day for alarm in drops} == {2}
    assert (drops[0].day, drops[0].service in {"this", TOTAL}) == (80, True)


def test_a_data_set_reads_back_as_it_was_written(tmp_path: Path) -> None:
    """Costs, late readings and labels keep their days."""
    made = worlds.accounts("walk", 7, 2)
    save(tmp_path, made)
    for read, written in zip(load(tmp_path), made, strict=True):
        assert (read.name, read.start, read.final) == (written.name, written.start, written.final)
        days = [(label.service, label.first, label.last, label.tier) for label in written.labels]
        assert [(label.service, label.first, label.last, label.tier) for label in read.labels] == days


def test_the_same_seed_makes_the_same_accounts() -> None:
    """So a figure can be measured again."""
    assert worlds.accounts("web", 3, 2) == worlds.accounts("web", 3, 2)


def test_one_who_knows_the_labels_scores_everything() -> None:
    """An alarm on the last useful morning finds each event, and raises nothing else."""
    account = worlds.accounts("walk", 5, 1)[0]
    material = [label for label in account.labels if label.tier == "material"]
    alarms = [Alarm(each.service, each.first, each.detect_by, 0.0, each.excess) for each in material]
    result = score([measure(account, lambda _: iter(alarms))])
    assert material
    assert (result.precision, result.recall, result.f1) == (1.0, 1.0, 1.0)


def test_days_in_a_row_are_one_false_alarm() -> None:
    """Of at most seven days."""
    account = worlds.accounts("web", 5, 1)[0]
    account.labels.clear()
    service = next(iter(account.final))
    alarms = [Alarm(service, day, day, 1.0, 2.0) for day in range(20, 30)]
    assert measure(account, lambda _: iter(alarms)).false == 2
