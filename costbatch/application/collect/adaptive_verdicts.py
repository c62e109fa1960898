"""What follows from days that the detector ``adaptive`` judged: they are compared with the known anomalies.

An anomaly that continues includes its days of earlier nights, as they were judged then.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from costbatch.application.collect.detector import Replaced, Verdict
from costbatch.application.collect.known import Examined, days_to_judge, load_known
from costbatch.application.ports import Transaction
from costbatch.domain.adaptive_days import anomalous_days, restated_day
from costbatch.domain.adaptive_memory import Memory
from costbatch.domain.anomalies import (
    Anomaly,
    AnomalyChange,
    JudgedSeries,
    Judgement,
    Scope,
    judge_series,
)
from costbatch.domain.detection import ZERO, JudgedDay, Rule
from costbatch.domain.expectations import Expectation
from costbatch.domain.periods import DateRange

# The comparable cost of each service by day, in one currency.
ServiceCosts = Mapping[str, Mapping[date, Decimal]]


@dataclass(slots=True)
class Judged:
    """What one account's services were judged to be in one currency.

    days: by service. touched: those whose judgement may differ from the last one's. costs: as stored now,
    also of days before these that have changed. memory: None: as it was. judges_from: None: it is judged
    already.
    """

    touched: DateRange
    costs: ServiceCosts = field(default_factory=dict)
    days: Mapping[str, Sequence[JudgedDay]] = field(default_factory=dict)
    memory: Memory | None = None
    is_history: bool = False
    judges_from: date | None = None


def verdicts_of(
    tx: Transaction,
    accounts: Sequence[Replaced],
    found: Mapping[int, dict[str, Judged]],
    *,
    today: date,
    rule: Rule,
) -> dict[int, Verdict]:
    """Compare what was judged with the known anomalies."""
    examined = []
    for replaced in accounts:
        stored, judged_now = replaced.stored, found[replaced.account.id].values()
        first = min([stored.last, *(one.touched.start for one in judged_now)])
        examined.append(Examined(replaced, DateRange(first, stored.end_exclusive)))
    load_known(tx, examined, rule)
    starts: dict[int, date] = {}
    for each in examined:
        row, stored = each.account.id, each.replaced.stored
        # Of a currency that was not judged this time, all days are of earlier nights.
        nothing = Judged(DateRange(stored.last, stored.end_exclusive))
        for anomaly in each.known:
            judged_from = found[row].setdefault(anomaly.currency, nothing).touched.start
            if anomaly.start_date < judged_from:
                starts[row] = min(anomaly.start_date, starts.get(row, judged_from))
    earlier = tx.expectations.load_outside(starts) if starts else {}
    verdicts = {}
    for each in examined:
        judged, replaced = found[each.account.id], each.replaced
        changed = replaced.change.changed_dates
        before = _before(replaced, judged, earlier.get(each.account.id, ()))
        now = [
            Expectation(service, currency, day)
            for currency, one in judged.items()
            for service, days in one.days.items()
            for day in days
        ]
        verdicts[each.account.id] = Verdict(
            changes=_changes(each, judged, before, each.end(today), rule),
            expectations=[*(one for one in before if one.day.usage_date in changed), *now],
            known=each.known,
            history=[currency for currency, one in judged.items() if one.is_history],
        )
    return verdicts


def _changes(
    each: Examined,
    judged: Mapping[str, Judged],
    before: Sequence[Expectation],
    today: date,
    rule: Rule,
) -> list[AnomalyChange]:
    known: defaultdict[tuple[str, str | None], list[Anomaly]] = defaultdict(list)
    for anomaly in each.known:
        known[anomaly.currency, anomaly.service].append(anomaly)
    anomalous = {
        (currency, service)
        for currency, one in judged.items()
        for service, days in one.days.items()
        if any(day.reason for day in days)
    }
    changes: list[AnomalyChange] = []
    for currency, service in sorted(anomalous | known.keys(), key=lambda key: (key[0], key[1] or "")):
        one, mine = judged[currency], known[currency, service]
        days = days_to_judge(one.touched, mine, rule, end=today)
        series = None
        if service is not None:
            of_earlier_nights = [day for *series_of, day in before if series_of == [service, currency]]
            both = [*of_earlier_nights, *one.days.get(service, ())]
            series = JudgedSeries(days.start, anomalous_days(both, today=today, rule=rule))
        judgement = Judgement(
            scope=Scope(
                account_id=each.account.id,
                aws_account_id=each.account.aws_account_id,
                service=service,
            ),
            currency=currency,
            start=one.touched.start,
            days=days,
            today=today,
            rule=rule,
        )
        changes += judge_series(series, mine, judgement)
    return changes


def _before(each: Replaced, judged: Mapping[str, Judged], stored: Iterable[Expectation]) -> list[Expectation]:
    """Return what earlier nights said of the days before those that were judged now, and what these cost now.

    A restatement that is too small to be learned changes no judgement, but the amounts of an anomaly.
    """
    found = []
    for service, currency, day in stored:
        one = judged.get(currency)
        # The totals are those of another detector.
        if service is None or one is None or day.usage_date >= one.touched.start:
            continue
        if day.usage_date in each.change.changed_dates and one.costs:
            actual = one.costs.get(service, {}).get(day.usage_date, ZERO)
            found.append(Expectation(service, currency, restated_day(day, actual)))
        else:
            found.append(Expectation(service, currency, day))
    return found
