"""The detectors that are compared. Each is shown one account's mornings and returns its alarms."""

from collections.abc import Callable, Iterator
from datetime import date
from math import sqrt
from typing import NamedTuple

from benchmarks.anomaly.dataset import Account
from costbatch.domain.adaptive import Detector
from costbatch.domain.adaptive_rule import AdaptiveRule, Sensitivity
from costbatch.domain.expectation import median

TOTAL = "*"


class Alarm(NamedTuple):
    """A day of a service, or of the account's total, that was flagged on the morning after day ``seen``."""

    service: str
    day: int
    seen: int
    expected: float
    actual: float


Rule = Callable[[Account], Iterator[Alarm]]


def past_and_newest(account: Account) -> Iterator[tuple[int, date, str, list[float], float]]:
    """Return for each morning and service the amounts before the newest day, as read then, and the newest."""
    known: dict[str, list[float]] = {}
    for day, (newest, services) in enumerate(account.mornings()):
        for service, (first, second, final) in services.items():
            past = known.setdefault(service, [0.0] * day)
            for age, amount in ((1, second), (2, final)):
                if day >= age:
                    past[day - age] = amount
            yield day, newest, service, past, first
            past.append(first)


def fifty_percent(*, total: bool, floor: float) -> Rule:
    """Return the default rule: the newest day is 50 % off the mean of the 30 days before it."""

    def rule(account: Account) -> Iterator[Alarm]:
        subject = _total(account) if total else account
        for day, _, service, past, amount in past_and_newest(subject):
            if day:
                mean = sum(past[-30:]) / min(day, 30)
                if abs(amount - mean) > 0.5 * abs(mean) and abs(amount - mean) >= floor:
                    yield Alarm(service, day, day, mean, amount)

    return rule


def weekday_deviation(multiple: float, floor: float) -> Rule:
    """Return a robust rule: the newest day against median and MAD of the same weekday of eight weeks."""

    def rule(account: Account) -> Iterator[Alarm]:
        for day, _, service, past, amount in past_and_newest(account):
            same = past[-7:-57:-7]
            if len(same) < 4:
                continue
            middle = median(same)
            spread = max(1.4826 * median([abs(each - middle) for each in same]), 0.03 * abs(middle))
            if abs(amount - middle) > max(multiple * spread, floor, 0.25 * abs(middle)):
                yield Alarm(service, day, day, middle, amount)

    return rule


def robust_z(multiple: float, floor: float) -> Rule:
    """Return a rule: the newest day against median and MAD of the four weeks before, whatever the weekday."""

    def rule(account: Account) -> Iterator[Alarm]:
        for day, _, service, past, amount in past_and_newest(account):
            recent = past[-28:]
            if len(recent) < 28:
                continue
            middle = median(recent)
            spread = 1.4826 * median([abs(each - middle) for each in recent])
            if abs(amount - middle) > max(multiple * spread, floor, 0.25 * abs(middle)):
                yield Alarm(service, day, day, middle, amount)

    return rule


def ewma(multiple: float, floor: float, weight: float = 0.2) -> Rule:
    """Return a rule: the newest day against an exponentially weighted mean and variance."""

    def rule(account: Account) -> Iterator[Alarm]:
        state: dict[str, tuple[float, float]] = {}
        for day, _, service, past, amount in past_and_newest(account):
            # The newest day of the past may be incomplete; the day before it is learned.
            learned = past[-2] if len(past) > 1 else amount
            mean, variance = state.get(service, (learned, 0.0))
            step = learned - mean
            mean, variance = mean + weight * step, (1 - weight) * (variance + weight * step * step)
            state[service] = mean, variance
            if day >= 28 and abs(amount - mean) > max(multiple * sqrt(variance), floor, 0.25 * abs(mean)):
                yield Alarm(service, day, day, mean, amount)

    return rule


def adaptive(sensitivity: Sensitivity = Sensitivity.MEDIUM) -> Rule:
    """Return the adaptive detector."""

    def rule(account: Account) -> Iterator[Alarm]:
        detector = Detector(AdaptiveRule(sensitivity=sensitivity), "USD")
        for seen, (newest, services) in enumerate(account.mornings()):
            for each in detector.judge(newest, services):
                if each.reason:
                    day = seen - (newest - each.usage_date).days
                    yield Alarm(each.service, day, seen, each.expected, each.actual)

    return rule


RULES: dict[str, Rule] = {
    "50 %, account total": fifty_percent(total=True, floor=1),
    "50 %, per service, from $10": fifty_percent(total=False, floor=10),
    "weekday median + MAD": weekday_deviation(8, 10),
    "robust z": robust_z(8, 10),
    "EWMA": ewma(4, 10),
    "adaptive, low": adaptive(Sensitivity.LOW),
    "adaptive": adaptive(),
    "adaptive, high": adaptive(Sensitivity.HIGH),
}


def _total(account: Account) -> Account:
    def add(services: dict[str, list[float]]) -> dict[str, list[float]]:
        return {TOTAL: [sum(amounts) for amounts in zip(*services.values(), strict=True)]}

    read = {age: add(services) for age, services in account.read.items()}
    return Account(account.name, account.start, add(account.final), read)
