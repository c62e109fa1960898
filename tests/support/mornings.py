"""What the adaptive detector says on each morning of made-up services."""

import random
from collections.abc import Callable, Mapping

from costbatch.domain.adaptive import Detector
from costbatch.domain.adaptive_rule import AdaptiveRule, Judgement
from costbatch.domain.detection import Reason
from tests.support.factories import day

DAYS = 150
Change = Callable[[int], float]


def steady(level: float, *, seed: int = 1, noise: float = 0.02) -> list[float]:
    """Return a service that costs a little less at weekends."""
    chance = random.Random(seed)
    week = [0.8 if day(n).weekday() >= 5 else 1.0 for n in range(DAYS)]
    return [level * each * (1 + noise * chance.gauss(0, 1)) for each in week]


def changed(amounts: list[float], first: int, change: Change, length: int = DAYS) -> list[float]:
    """Return amounts, multiplied from a day on by a function of the days since."""
    inside = range(first, min(first + length, len(amounts)))
    return [amount * change(n - first) if n in inside else amount for n, amount in enumerate(amounts)]


def judgements(
    services: Mapping[str, list[float]], rule: AdaptiveRule | None = None, *, days: int = DAYS
) -> list[list[Judgement]]:
    """Return what each morning says, all days being complete at once."""
    detector = Detector(rule or AdaptiveRule(), "USD")
    return [
        detector.judge(
            day(n),
            {
                name: [each[n - age] if n >= age else 0.0 for age in range(3)]
                for name, each in services.items()
            },
        )
        for n in range(days)
    ]


def anomalies(services: Mapping[str, list[float]], rule: AdaptiveRule | None = None) -> list[Judgement]:
    """Return the anomalies of all mornings."""
    return [each for morning in judgements(services, rule) for each in morning if each.reason]


def days_of(found: list[Judgement], reason: Reason) -> set[int]:
    """Return the days, by number, of the anomalies with a reason."""
    return {(each.usage_date - day(0)).days for each in found if each.reason is reason}
