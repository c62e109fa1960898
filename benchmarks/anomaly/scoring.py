"""Scores alarms against labels, event by event.

A material event is found if an alarm of its direction, on one of its days, is raised until its detect_by.
Consecutive days of a service outside of all labels are one false alarm, of at most seven days. The first 14
days of an account are not scored. An alarm on the total matches services that are a tenth of the account.
"""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.anomaly.dataset import Account, Label
from benchmarks.anomaly.rules import TOTAL, Alarm, Rule

PROBATION_DAYS, LONGEST_ALARM = 14, 7
MONTH = 30.4


@dataclass(frozen=True, slots=True)
class Tally:
    """What one account adds to a score."""

    events: int
    found: int
    false: int
    months: float
    excess: float
    found_excess: float
    seconds: float
    series_days: int


@dataclass(frozen=True, slots=True)
class Score:
    """A detector's figures over many accounts; the interval is a 90 % bootstrap of F1 over the accounts."""

    f1: float
    low: float
    high: float
    precision: float
    recall: float
    false_per_month: float
    money_recall: float
    milliseconds: float
    events: int


def measure(account: Account, rule: Rule) -> Tally:
    """Return how a rule does on one account."""
    begin = time.process_time()
    alarms = list(rule(account))
    seconds = time.process_time() - begin
    seen: set[tuple[str, int]] = set()
    first_alarms = []
    for alarm in alarms:
        if alarm.seen >= PROBATION_DAYS and (alarm.service, alarm.day) not in seen:
            seen.add((alarm.service, alarm.day))
            first_alarms.append(alarm)
    events = [each for each in account.labels if each.tier == "material"]
    found = [each for each in events if _is_found(account, each, first_alarms)]
    rises = [each for each in events if each.excess > 0]
    return Tally(
        len(events),
        len(found),
        _false_alarms(account, first_alarms),
        max(0, account.days - PROBATION_DAYS) / MONTH,
        sum(each.excess for each in rises),
        sum(each.excess for each in found if each.excess > 0),
        seconds,
        len(account.final) * account.days,
    )


def score(tallies: Sequence[Tally]) -> Score:
    """Return the figures over all accounts."""
    precision, recall, f1 = _quality(tallies)
    chance = random.Random(0)
    again = sorted(_quality(chance.choices(tallies, k=len(tallies)))[2] for _ in range(300))
    excess = sum(each.excess for each in tallies)
    return Score(
        f1,
        again[15],
        again[284],
        precision,
        recall,
        sum(each.false for each in tallies) / max(sum(each.months for each in tallies), 1e-9),
        sum(each.found_excess for each in tallies) / excess if excess else 0.0,
        1000 * sum(each.seconds for each in tallies) / max(sum(each.series_days for each in tallies), 1),
        sum(each.events for each in tallies),
    )


def _quality(tallies: Sequence[Tally]) -> tuple[float, float, float]:
    events, found, false = (
        sum(getattr(each, name) for each in tallies) for name in ("events", "found", "false")
    )
    precision = found / (found + false) if found else 0.0
    recall = found / events if events else 0.0
    return precision, recall, 2 * precision * recall / (precision + recall) if found else 0.0


def _matches(account: Account, label: Label, alarm: Alarm) -> bool:
    if not label.first <= alarm.day <= label.last:
        return False
    if alarm.service != TOTAL:
        return alarm.service == label.service
    days = slice(max(0, label.first - PROBATION_DAYS), label.last + 1)
    cost = {service: sum(map(abs, amounts[days])) for service, amounts in account.final.items()}
    return cost.get(label.service, 0.0) >= 0.1 * sum(cost.values())


def _is_found(account: Account, event: Label, alarms: Sequence[Alarm]) -> bool:
    return any(
        alarm.seen <= event.detect_by
        and (alarm.actual - alarm.expected) * event.excess >= 0
        and _matches(account, event, alarm)
        for alarm in alarms
    )


def _false_alarms(account: Account, alarms: Sequence[Alarm]) -> int:
    false: dict[str, list[int]] = {}
    for alarm in alarms:
        if not any(_matches(account, label, alarm) for label in account.labels):
            false.setdefault(alarm.service, []).append(alarm.day)
    count = 0
    for days in false.values():
        start = last = -99
        for day in sorted(days):
            if day - last > 1 or day - start >= LONGEST_ALARM:
                count += 1
                start = day
            last = day
    return count
