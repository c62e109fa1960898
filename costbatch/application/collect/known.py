"""The anomalies that are known near the days that a collection touched, and the days to judge again."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

from costbatch.application.collect.detector import Replaced
from costbatch.application.ports import Transaction
from costbatch.domain.accounts import Account
from costbatch.domain.anomalies import Anomaly, judged_from
from costbatch.domain.detection import Direction, Rule
from costbatch.domain.periods import ONE_DAY, DateRange


@dataclass(slots=True)
class Examined:
    """One account to examine: the days that may read differently now, and its anomalies near them."""

    replaced: Replaced
    touched: DateRange
    known: list[Anomaly] = field(default_factory=list)

    @property
    def account(self) -> Account:
        """The account."""
        return self.replaced.account

    def end(self, today: date) -> date:
        """Return the end of the days that can have been collected, whatever the days of an anomaly say.

        The days are judged as of this day: a run that is resumed late is of an older one than what is stored.
        """
        return max(today, self.replaced.stored.end_exclusive)


def load_known(tx: Transaction, accounts: Sequence[Examined], rule: Rule) -> None:
    """Load every anomaly of the touched days and after, and of the days of those that reach back."""
    earliest = {each.account.id: each.touched.start for each in accounts}
    while earliest:
        near = tx.anomalies.load_near({row: day - rule.merge_window for row, day in earliest.items()})
        further: dict[int, date] = {}
        for each in accounts:
            row = each.account.id
            if row not in earliest:
                continue
            each.known = near.get(row, [])
            groups: defaultdict[tuple[str, str | None, Direction], list[Anomaly]] = defaultdict(list)
            for anomaly in each.known:
                groups[anomaly.currency, anomaly.service, anomaly.direction].append(anomaly)
            start = each.touched.start
            first = min((judged_from(group, start, rule) for group in groups.values()), default=start)
            if first < earliest[row]:
                further[row] = first
        earliest = further


def days_to_judge(touched: DateRange, known: Sequence[Anomaly], rule: Rule, *, end: date) -> DateRange:
    """Return the touched days, and those before ``end`` of every known anomaly that reaches into or out."""
    start = min([touched.start, *(anomaly.start_date for anomaly in known)])
    end_exclusive = touched.end_exclusive
    for anomaly in sorted(known, key=lambda anomaly: anomaly.start_date):
        if anomaly.start_date < end_exclusive + rule.merge_window:
            end_exclusive = max(end_exclusive, min(anomaly.last_date + ONE_DAY, end))
    return DateRange(start, end_exclusive)
