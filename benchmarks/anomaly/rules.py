"""The detectors that are compared. Each is shown one account's mornings and returns its alarms."""

from collections import deque
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from math import sqrt
from typing import NamedTuple

from benchmarks.anomaly.dataset import AGES, Account
from costbatch.domain import detection
from costbatch.domain.adaptive import Detector
from costbatch.domain.adaptive_past import median
from costbatch.domain.adaptive_rule import AdaptiveRule, Sensitivity
from costbatch.domain.money import Limit
from costbatch.domain.periods import ONE_DAY, DateRange

TOTAL = "*"
# A day is complete on the morning when its last reading is seen.
_COMPLETE_AFTER = AGES - 1


class Alarm(NamedTuple):
    """A day of a service, or of the account's total, that was flagged on the morning after day ``seen``."""

    service: str
    day: int
    seen: int
    expected: float
    actual: float


class Band(NamedTuple):
    """What a method expects of a day, and how far off it may be."""

    expected: float
    limit: float


Rule = Callable[[Account], Iterator[Alarm]]
# Of a service, the newest day, the amounts before it as read by then, and its own. None: too little history.
Method = Callable[[str, int, list[float], float], Band | None]


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


def rule_of(new_method: Callable[[], Method]) -> Rule:
    """Return a rule that judges with a method as the shipped ones do.

    A rise is told when the day is first read, a drop once the day is complete: until then it may be late.
    """

    def rule(account: Account) -> Iterator[Alarm]:
        method = new_method()
        bands: dict[str, deque[Band | None]] = {}
        for day, _, service, past, amount in past_and_newest(account):
            recent = bands.setdefault(service, deque(maxlen=_COMPLETE_AFTER + 1))
            band = method(service, day, past, amount)
            recent.append(band)
            if band and amount > band.expected + band.limit:
                yield Alarm(service, day, day, band.expected, amount)
            if len(recent) > _COMPLETE_AFTER and (band := recent[0]):
                complete = past[-_COMPLETE_AFTER]
                if complete < band.expected - band.limit:
                    yield Alarm(service, day - _COMPLETE_AFTER, day, band.expected, complete)

    return rule


def deviation(*, total: bool, floor: int) -> Rule:
    """Return the default rule of costbatch, on the account's total or on each service."""
    shipped = detection.Rule(floor=Limit(Decimal(floor)))

    def rule(account: Account) -> Iterator[Alarm]:
        subject = _total(account) if total else account
        known: dict[str, dict[date, Decimal]] = {}
        for seen, (newest, services) in enumerate(subject.mornings()):
            days = DateRange(max(subject.start, newest - _COMPLETE_AFTER * ONE_DAY), newest + ONE_DAY)
            for service, amounts in services.items():
                mine = known.setdefault(service, {})
                for age, amount in enumerate(amounts):
                    mine[newest - timedelta(days=age)] = Decimal(f"{amount:.4f}")
                series = detection.Series("USD", subject.start, mine)
                for each in detection.judge_days(series, days, today=days.end_exclusive, rule=shipped):
                    if each.reason:
                        day = seen - (newest - each.usage_date).days
                        yield Alarm(service, day, seen, float(each.expected), float(each.actual))

    return rule


def weekday_deviation(multiple: float, floor: float) -> Rule:
    """Return a robust rule: median and MAD of the same weekday of eight weeks."""

    def method(_service: str, _day: int, past: list[float], _amount: float) -> Band | None:
        same = past[-7:-57:-7]
        if len(same) < 4:
            return None
        middle = median(same)
        spread = max(1.4826 * median([abs(each - middle) for each in same]), 0.03 * abs(middle))
        return Band(middle, max(multiple * spread, floor, 0.25 * abs(middle)))

    return rule_of(lambda: method)


def robust_z(multiple: float, floor: float) -> Rule:
    """Return a rule: median and MAD of the four weeks before, whatever the weekday."""

    def method(_service: str, _day: int, past: list[float], _amount: float) -> Band | None:
        recent = past[-28:]
        if len(recent) < 28:
            return None
        middle = median(recent)
        spread = 1.4826 * median([abs(each - middle) for each in recent])
        return Band(middle, max(multiple * spread, floor, 0.25 * abs(middle)))

    return rule_of(lambda: method)


def ewma(multiple: float, floor: float, weight: float = 0.2) -> Rule:
    """Return a rule: an exponentially weighted mean and variance."""

    def new_method() -> Method:
        state: dict[str, tuple[float, float]] = {}

        def method(service: str, day: int, past: list[float], amount: float) -> Band | None:
            # The newest day of the past may be incomplete; the day before it is learned.
            learned = past[-2] if len(past) > 1 else amount
            mean, variance = state.get(service, (learned, 0.0))
            step = learned - mean
            mean, variance = mean + weight * step, (1 - weight) * (variance + weight * step * step)
            state[service] = mean, variance
            return Band(mean, max(multiple * sqrt(variance), floor, 0.25 * abs(mean))) if day >= 28 else None

        return method

    return rule_of(new_method)


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
    "deviation": deviation(total=True, floor=1),
    "deviation, per service, from $10": deviation(total=False, floor=10),
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
