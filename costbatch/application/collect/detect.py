"""After costs were replaced: judges the days, saves anomalies and expectations, and returns the events."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from costbatch.application.collect.detector import Detector, Night, Replaced, Verdict
from costbatch.application.collect.series import DAYS_AT_ONCE, load_trend
from costbatch.application.ports import Transaction
from costbatch.domain.accounts import Account
from costbatch.domain.anomalies import (
    Anomaly,
    AnomalyChange,
    AnomalyState,
    ChangeKind,
    announced_since,
)
from costbatch.domain.answers import Answer, Standing, as_told, newly_answered, reminder_due
from costbatch.domain.costs import CostColumns
from costbatch.domain.deliveries import EventQuery
from costbatch.domain.detection import Rule, comparable_service_totals
from costbatch.domain.events import (
    Event,
    EventType,
    anomaly_answered,
    anomaly_event,
    anomaly_reminder,
    dormant_account_charged,
    service_first_charged,
)
from costbatch.domain.first_charges import (
    FirstCharge,
    FirstChargePolicy,
    find_awakenings,
    find_first_charges,
)
from costbatch.domain.overrides import RuleOf
from costbatch.domain.periods import ONE_DAY, DateRange


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """What follows from the costs of a batch of accounts, whichever detector judges them.

    rule: which costs are compared, and when an anomaly is over. rule_of: says what is at the level of an
    answer. remind_days: a reminder is due each time that an anomaly has lasted this many days more; None:
    never.
    """

    detector: Detector
    rule: Rule
    rule_of: RuleOf
    first_charges: FirstChargePolicy
    remind_days: int | None = None

    def detect(self, tx: Transaction, replaced: Sequence[Replaced], night: Night) -> dict[int, list[Event]]:
        """Judge what each collection touched and save what changed; return events by account row."""
        verdicts = self.detector.judge(tx, replaced, night)
        for verdict in verdicts.values():
            for change in verdict.changes:
                tx.anomalies.save(change.anomaly, run_id=night.run_id, now=night.now)
        tx.expectations.save({row: each.expectations for row, each in verdicts.items()})
        # An account whose anomalies have not changed has nothing to report.
        telling = [row for row, verdict in verdicts.items() if verdict.changes]
        answers = tx.answers.load(telling) if telling else {}
        news = self._first_charges(tx, replaced, night)
        for each in replaced:
            row = each.account.id
            events = news.setdefault(row, [])
            events += self._announce(tx, each, verdicts[row], answers.get(row, []), night)
            events += self._awakenings(tx, each, night)
        return news

    def _announce(
        self, tx: Transaction, each: Replaced, verdict: Verdict, answers: Sequence[Answer], night: Night
    ) -> list[Event]:
        """Return the events of the changes, and the reminders that are due.

        An anomaly raises no event if a first collection, a backfill or a memory that is learned again finds
        it long after its end, unless no ordinary run has read its days. Further changes of an anomaly that
        had an event raise events. An anomaly that an answer covers raises none.
        """
        if not verdict.changes:
            return []
        reads_history = night.is_backfill or not each.continues
        own_rule = self.rule_of(each.account)
        news_since = self._news_since(each, night)
        before = {anomaly.id: anomaly for anomaly in verdict.known}
        events = []
        for change in verdict.changes:
            anomaly, known = change.anomaly, before.get(change.anomaly.id)
            was_open = known is not None and known.state is AnomalyState.OPEN
            is_history = reads_history or anomaly.currency in verdict.history
            if is_history and anomaly.last_date < news_since and not was_open:
                continue
            told = as_told(change, known, answers, own_rule)
            if told is None:
                if answer := newly_answered(change, known, answers, own_rule):
                    how = Standing.SILENT if answer.silences else Standing.ACKNOWLEDGED
                    events.append(
                        anomaly_answered(anomaly, each.account, (None, answer), standing=how, now=night.now)
                    )
                continue
            trend = load_trend(tx, each.account, anomaly, each.stored, own_rule, today=night.today)
            events.append(anomaly_event(told, each.account, trend, run_id=night.run_id, now=night.now))
            if number := self._reminder(told, known):
                events.append(
                    anomaly_reminder(
                        anomaly, each.account, trend, number=number, run_id=night.run_id, now=night.now
                    )
                )
        return events

    def _news_since(self, each: Replaced, night: Night) -> date:
        """Return the first day that is news in history: not long over, or read by no ordinary night before.

        The next night sees nothing new of the days that this one reads. A first collection is all history,
        also if other days, apart from its own, are stored.
        """
        since, end = announced_since(night.today, self.rule_of(each.account)), each.progress.ordinary_end
        return min(since, end) if end and (night.is_backfill or each.continues) else since

    def _charges_told_since(self, each: Replaced, night: Night) -> date:
        """Return the first day whose first charge is reported: in a nightly run, any day that changed."""
        return self._news_since(each, night) if night.is_backfill else date.min

    def _reminder(self, told: AnomalyChange, before: Anomaly | None) -> int:
        """Return the number of the reminder that an anomaly has come to by costing on; 0 without one.

        A backfill reminds too: the night after it sees nothing new of the days that it read.
        """
        if self.remind_days is None or before is None or told.kind is not ChangeKind.UPDATED:
            return 0
        number = reminder_due(told.anomaly, every_days=self.remind_days)
        is_new = number > reminder_due(before, every_days=self.remind_days)
        return number if is_new and told.anomaly.state is AnomalyState.OPEN else 0

    def _first_charges(
        self, tx: Transaction, replaced: Sequence[Replaced], night: Night
    ) -> dict[int, list[Event]]:
        """Remember each service that is paid for, and return the events of those that are new.

        A first collection reads history, in which nothing is news.
        """
        read = [
            (each, each.fetched.changed_days) for each in replaced if each.fetched.changed_days is not None
        ]
        known = tx.first_charges.services([each.account.id for each, _ in read]) if read else {}
        events: dict[int, list[Event]] = {}
        found: dict[int, list[FirstCharge]] = {}
        for each, days in read:
            costs, row = each.fetched.costs, each.account.id
            mine = known.get(row, set())
            if isinstance(costs, CostColumns):
                has_new = any(service not in mine for service, _ in costs.keys)
                totals = comparable_service_totals(costs, days, self.rule) if has_new else {}
                found[row] = find_first_charges(totals, mine, self.first_charges)
            else:
                found[row] = self._first_stored_charges(tx, each.account, days, mine)
            if each.covered is not None:
                since = self._charges_told_since(each, night)
                events[row] = [
                    service_first_charged(charge, each.account, run_id=night.run_id, now=night.now)
                    for charge in found[row]
                    if charge.usage_date >= since
                ]
        tx.first_charges.add(found)
        return events

    def _first_stored_charges(
        self, tx: Transaction, account: Account, days: DateRange, known: set[str]
    ) -> list[FirstCharge]:
        """Return the first charges within days, some at a time: a long history has many services on each."""
        found: dict[str, FirstCharge] = {}
        for part in days.parts(DAYS_AT_ONCE):
            totals = tx.costs.service_totals(account, part, self.rule)
            found |= {
                each.service: each
                for each in find_first_charges(totals, known | found.keys(), self.first_charges)
            }
        return [found[service] for service in sorted(found)]

    def _awakenings(self, tx: Transaction, each: Replaced, night: Night) -> list[Event]:
        """Return the events of an account that is expected to cost nothing and begins to cost something."""
        changed = each.change.changed_dates
        is_dormant = each.account.aws_account_id in self.first_charges.dormant
        if not (is_dormant and changed) or each.covered is None:
            return []
        days = DateRange(min(changed) - ONE_DAY, each.stored.end_exclusive)
        totals = tx.costs.day_totals({each.account.id: days}, self.rule)[each.account.id]
        awakenings = EventQuery(
            types=[EventType.DORMANT_ACCOUNT_CHARGED.value], aws_account_ids=[each.account.aws_account_id]
        )
        charges = [event.cloudevent["data"]["charge"] for event in tx.outbox.find(awakenings, most=None)]
        told = {(charge["currency"], date.fromisoformat(charge["date"])) for charge in charges}
        since = self._charges_told_since(each, night)
        return [
            dormant_account_charged(total, each.account, run_id=night.run_id, now=night.now)
            for total in find_awakenings(totals, changed, told, self.first_charges)
            if total.usage_date >= since
        ]
