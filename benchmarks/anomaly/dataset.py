"""Labelled daily cost: reads and writes a folder of costs.csv, revisions.csv and labels.csv.

costs.csv: account,service,date,amount - final amounts; a day without a row cost nothing.
revisions.csv: account,service,date,age,amount - what was read on the first (0) or second (1) morning instead.
labels.csv: account,service,start,end,type,excess_usd,tier,detect_by - tier material, minor or gray.
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

AGES = 3


@dataclass(slots=True)
class Label:
    """Days, by index, on which alarms on a service are right (material) or not counted (minor, gray)."""

    service: str
    first: int
    last: int
    kind: str
    excess: float
    tier: str
    detect_by: int


@dataclass(slots=True)
class Account:
    """One account: by service the final amounts, and those of the first two mornings, for each day."""

    name: str
    start: date
    final: dict[str, list[float]]
    read: dict[int, dict[str, list[float]]]
    labels: list[Label] = field(default_factory=list)

    @property
    def days(self) -> int:
        """How many days there are."""
        return len(next(iter(self.final.values())))

    def mornings(self) -> Iterator[tuple[date, dict[str, tuple[float, ...]]]]:
        """Return each newest day with what its last three days cost as read that morning, newest first."""
        firsts = {service: self._first(service) for service in self.final}
        for day in range(self.days):
            seen = {}
            for service, first in firsts.items():
                if first <= day:
                    reads = (self.read[0][service], self.read[1][service], self.final[service])
                    seen[service] = tuple(
                        amounts[day - age] if day >= age else 0.0 for age, amounts in enumerate(reads)
                    )
            yield self.start + timedelta(days=day), seen

    def _first(self, service: str) -> int:
        return next((day for day, amount in enumerate(self.final[service]) if amount), self.days)


def load(folder: Path) -> list[Account]:
    """Return the accounts of a data set."""
    rows: dict[str, list[tuple[str, int, float]]] = {}
    for row in _rows(folder / "costs.csv"):
        entry = row["service"], date.fromisoformat(row["date"]).toordinal(), float(row["amount"])
        rows.setdefault(row["account"], []).append(entry)
    accounts = {}
    for name, entries in rows.items():
        days = [day for _, day, _ in entries]
        first, length = min(days), max(days) - min(days) + 1
        final: dict[str, list[float]] = {}
        for service, day, amount in entries:
            final.setdefault(service, [0.0] * length)[day - first] = amount
        read = {age: {service: amounts.copy() for service, amounts in final.items()} for age in (0, 1)}
        accounts[name] = Account(name, date.fromordinal(first), final, read)
    for row in _rows(folder / "revisions.csv"):
        account = accounts[row["account"]]
        index = (date.fromisoformat(row["date"]) - account.start).days
        account.read[int(row["age"])][row["service"]][index] = float(row["amount"])
    for row in _rows(folder / "labels.csv"):
        account = accounts[row["account"]]
        first, last, by = (
            (date.fromisoformat(row[name]) - account.start).days for name in ("start", "end", "detect_by")
        )
        label = Label(row["service"], first, last, row["type"], float(row["excess_usd"]), row["tier"], by)
        account.labels.append(label)
    return list(accounts.values())


def save(folder: Path, accounts: Iterable[Account]) -> None:
    """Write a data set."""
    folder.mkdir(parents=True, exist_ok=True)
    costs, revisions, labels = [], [], []
    for account in accounts:
        days = [f"{account.start + timedelta(days=n)}" for n in range(account.days)]
        for service, amounts in account.final.items():
            for n, amount in enumerate(amounts):
                if amount:
                    costs.append([account.name, service, days[n], f"{amount:.4f}"])
                for age in (0, 1):
                    seen = account.read[age][service][n]
                    if seen != amount:
                        revisions.append([account.name, service, days[n], age, f"{seen:.4f}"])
        for each in account.labels:
            dates = days[each.first], days[each.last]
            rest = each.kind, f"{each.excess:.2f}", each.tier, days[each.detect_by]
            labels.append([account.name, each.service, *dates, *rest])
    _write(folder / "costs.csv", "account service date amount", costs)
    _write(folder / "revisions.csv", "account service date age amount", revisions)
    _write(folder / "labels.csv", "account service start end type excess_usd tier detect_by", labels)


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(newline="") as file:
        yield from csv.DictReader(file)


def _write(path: Path, head: str, rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head.split())
        writer.writerows(rows)
