"""Two families of labelled accounts for a fresh clone; the detector was not set on either.

walk: levels wander without a trend, services burst by chance, fees come once a month.
web: a site's traffic drives most services at once, with seasons and surges that fade; a few stand still.
"""

import math
import random
from collections.abc import Callable
from datetime import date, timedelta
from statistics import median

from benchmarks.anomaly.dataset import Account, Label

START = date(2024, 2, 5)
INCIDENTS = ("spike", "days", "jump", "leak", "drop", "new")
LEAST_DOLLARS, LEAST_TOTAL, LEAST_RATIO, LEAST_SIGNAL = 3.0, 10.0, 0.3, 4.0


def accounts(family: str, seed: int, count: int) -> list[Account]:
    """Return the accounts of a family."""
    make = {"walk": _walk, "web": _web}[family]
    return [_account(family, make, random.Random(f"{family} {seed} {n}"), n) for n in range(count)]


Make = Callable[[random.Random, int], tuple[dict[str, list[float]], list[Label]]]


def _account(family: str, make: Make, chance: random.Random, number: int) -> Account:
    days = chance.randrange(240, 480)
    final, labels = make(chance, days)
    noise = {service: _usual_change(amounts) for service, amounts in final.items()}
    busy: dict[str, int] = {}
    day = 25 + int(chance.expovariate(1 / 20))
    while day < days - 6:
        service = chance.choice(sorted(final))
        if busy.get(service, 0) < day:
            last = _inject(chance, final, labels, noise, service, day)
            busy[service] = last + 21
        day += 4 + int(chance.expovariate(1 / 30))
    reads = _reads(chance, final)
    for amounts in final.values():
        amounts[:] = [round(amount, 4) for amount in amounts]
    return Account(f"{family}-{number:03}", START, final, reads, labels)


def _walk(chance: random.Random, days: int) -> tuple[dict[str, list[float]], list[Label]]:
    scale = math.exp(chance.gauss(4.5, 1.2))
    final: dict[str, list[float]] = {}
    labels: list[Label] = []
    for n in range(chance.randrange(5, 13)):
        name, level = f"walk {n}", scale * math.exp(chance.gauss(-2.3, 1))
        wander, noise = chance.uniform(0.002, 0.02), math.exp(chance.gauss(-3.3, 0.8))
        weekend, burst_rate = chance.choice((1, 1, 0.9, 0.5, 0.2)), chance.choice((0, 0, 0, 0.02, 0.06))
        fee, fee_day = chance.choice((0, 0, 0, 3)) * level, chance.randrange(1, 29)
        amounts: list[float] = []
        seen_bursts = 0
        for day in range(days):
            today = START + timedelta(days=day)
            level *= math.exp(chance.gauss(0, wander))
            amount = level * math.exp(chance.gauss(0, noise)) * (weekend if today.weekday() > 4 else 1)
            if chance.random() < burst_rate:
                amount *= 1 + chance.paretovariate(2)
                seen_bursts += 1
                if seen_bursts <= 3 or amount > 2 * max(amounts, default=0):
                    labels.append(_gray(name, day, day, days))
            if fee and today.day == fee_day:
                amount += fee
                if day < 35:
                    labels.append(_gray(name, day, day, days))
            amounts.append(amount)
        final[name] = amounts
    return final, labels


def _web(chance: random.Random, days: int) -> tuple[dict[str, list[float]], list[Label]]:
    scale = math.exp(chance.gauss(5, 1.2))
    week = [1 + chance.uniform(-0.08, 0.08) for _ in range(5)] + [chance.uniform(0.5, 1.4)] * 2
    season, phase, growth = chance.uniform(0, 0.25), chance.uniform(0, 6.3), chance.gauss(0.2, 0.3)
    surges: list[float] = [0.0] * days
    labels: list[Label] = []
    for _ in range(int(days / 90)):
        first, height, fade = chance.randrange(30, days - 10), chance.uniform(0.3, 2), chance.uniform(1, 4)
        for day in range(first, min(days, first + 10)):
            surges[day] += height * math.exp((first - day) / fade)
        labels += [_gray(f"web {n}", first, first + 7, days) for n in range(12)]
    traffic = []
    for day in range(days):
        slow = math.exp(growth * day / 365) * (1 + season * math.sin(day / 58 + phase))
        traffic.append(week[(START.weekday() + day) % 7] * slow * (1 + surges[day]))
    final = {}
    for n in range(chance.randrange(6, 13)):
        size, own = scale * math.exp(chance.gauss(-2.3, 0.8)), math.exp(chance.gauss(-3.5, 0.6))
        follows, fixed = chance.choice((0, 0.4, 0.8, 1, 1)), chance.choice((0, 0, 0.5))
        final[f"web {n}"] = [
            size * (fixed + (1 - fixed) * each**follows) * math.exp(chance.gauss(0, own)) for each in traffic
        ]
    return final, labels


def _inject(
    chance: random.Random,
    final: dict[str, list[float]],
    labels: list[Label],
    noise: dict[str, float],
    service: str,
    first: int,
) -> int:
    """Add one incident to a service or as a new one; return its last day."""
    kind = chance.choice(INCIDENTS)
    days = len(final[service])
    base = median(final[service][first - 14 : first])
    length = {"spike": 1, "days": 3, "jump": chance.randrange(8, 30), "leak": 28, "drop": 3, "new": 10}[kind]
    last = min(days - 1, first + length - 1)
    ratio = math.exp(chance.uniform(math.log(0.3), math.log(4)))
    if kind == "new":
        total = sum(median(amounts[first - 14 : first]) for amounts in final.values())
        service, base = f"new {first}", 0.0
        final[service], noise[service] = [0.0] * days, 0.1
        ratio = total * chance.uniform(0.05, 0.5)
    detect_by, excess = first + 2, 0.0
    for day in range(first, last + 1):
        if kind == "drop":
            change = -0.95 * final[service][day]
        elif kind == "leak":
            change = ratio * base * (day - first + 1) / length
            if change < max(LEAST_DOLLARS, 0.25 * base):
                detect_by = day + 11
        else:
            change = ratio * (base or 1.0) * math.exp(chance.gauss(0, 0.05))
        final[service][day] += change
        excess += change
    daily = abs(excess) / (last - first + 1)
    is_material = daily >= LEAST_DOLLARS and abs(excess) >= LEAST_TOTAL and daily >= LEAST_RATIO * base
    is_material = is_material and daily >= LEAST_SIGNAL * noise[service]
    tier = "material" if is_material else "minor"
    labels.append(Label(service, first, last, kind, excess, tier, min(detect_by, last + 2, days - 1)))
    if last + 1 < days:
        labels.append(_gray(service, last + 1, last + 3, days))
    return last


def _gray(service: str, first: int, last: int, days: int) -> Label:
    last = min(last, days - 1)
    return Label(service, first, last, "unforeseeable", 0.0, "gray", last)


def _usual_change(amounts: list[float]) -> float:
    """Return the robust spread of a series from week to week."""
    changes = [abs(new - old) for new, old in zip(amounts[7:], amounts, strict=False)]
    return 1.05 * median(changes)


def _reads(chance: random.Random, final: dict[str, list[float]]) -> dict[int, dict[str, list[float]]]:
    """Return what the first two mornings saw of each day."""
    late = chance.choice((1.0, 0.9, 0.6))
    days = len(next(iter(final.values())))
    first = [min(1.0, late * chance.uniform(0.9, 1.1)) if late < 1 else 1.0 for _ in range(days)]
    second = [1.0 if part > 0.8 else 0.97 for part in first]
    return {
        age: {
            service: [round(amount * part, 4) for amount, part in zip(amounts, parts, strict=True)]
            for service, amounts in final.items()
        }
        for age, parts in ((0, first), (1, second))
    }
