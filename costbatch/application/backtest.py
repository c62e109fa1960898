"""What each detector would have raised on past mornings: replays the ledger, writes nothing."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from typing import cast

from costbatch.application.collect.detect import Detection
from costbatch.application.collect.detector import Night, Replaced
from costbatch.application.ports import Database, Transaction
from costbatch.application.replay import PastAnswers, PastCosts, PastTransaction, replay
from costbatch.application.selection import check_registered
from costbatch.domain.accounts import NO_PROGRESS, Account, Progress
from costbatch.domain.anomalies import AnomalyFilter, announced_since
from costbatch.domain.backtest import AccountReplay, Alarm, Answered, BacktestReport, answered_anomalies
from costbatch.domain.collection import COLLECT
from costbatch.domain.detection import DetectorName, Rule
from costbatch.domain.events import EventType
from costbatch.domain.ledger import AccountHistory, PastCollection
from costbatch.domain.overrides import RuleOf
from costbatch.domain.periods import ONE_DAY, DateRange
from costbatch.logs import muted

_DETECTORS = "costbatch.application.collect"


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtest:
    """Replays accounts one by one. rule: which costs are compared. rule_of: which answer is to an anomaly.

    Raises:
        ConfigError: the schema does not fit, or an account is not registered.
        StorageError: the database is unreachable.

    """

    database: Database
    rule: Rule
    rule_of: RuleOf
    detections: Mapping[DetectorName, Detection]

    def run(
        self,
        detectors: Sequence[DetectorName],
        *,
        since: date | None = None,
        aws_account_ids: Sequence[str] = (),
    ) -> BacktestReport:
        """Return what each detector raised on the mornings from ``since`` on, of the accounts or of all."""
        self.database.check_schema()
        with self.database.transaction() as tx:
            check_registered(tx, aws_account_ids)
            accounts = [
                each
                for each in tx.accounts.list_all()
                if not aws_account_ids or each.aws_account_id in aws_account_ids
            ]
        replays = []
        for account in accounts:
            with self.database.transaction() as tx:
                history = tx.ledger.history(account, self.rule)
                answers = PastAnswers(tx.answers.given([account.id]))
                progress = tx.progress.load(COLLECT, [account.id]).get(account.id, NO_PROGRESS)
            # What the detectors log of a night was logged by that night.
            with muted(_DETECTORS):
                replayed = self._replay(account, history, answers, progress, detectors, since)
            if replayed is not None:
                with self.database.transaction() as tx:
                    replays.append(replace(replayed, answered=self._answered(tx, account, replayed)))
        return BacktestReport(
            accounts=tuple(replays),
            detectors=tuple(detectors),
            gap=self.rule.merge_window,
        )

    def _answered(self, tx: Transaction, account: Account, replayed: AccountReplay) -> tuple[Answered, ...]:
        """Return the anomalies of the replayed mornings on which people said whether they are real."""
        answers = tx.answers.load([account.id]).get(account.id, [])
        if not answers:
            return ()
        first, rule = replayed.mornings.start, self.rule_of(account)
        every = AnomalyFilter(aws_account_ids=[account.aws_account_id])
        # What a backfill found of days long before is history, of which nothing is raised.
        found = replace(every, found_since=first, since=announced_since(first, rule))
        ids = {each.id for each in tx.anomalies.list_matching(found)} | {each.id for each in replayed.alarms}
        mine = [each for each in tx.anomalies.list_matching(every) if each.id in ids]
        return tuple(answered_anomalies(mine, account.aws_account_id, answers, rule))

    def _replay(
        self,
        account: Account,
        history: AccountHistory,
        answers: PastAnswers,
        progress: Progress,
        detectors: Sequence[DetectorName],
        since: date | None,
    ) -> AccountReplay | None:
        costs = PastCosts()
        past = [PastTransaction(costs=costs, answers=answers) for _ in detectors]
        replayed = [
            _Replayed(name, self.detections[name], mine) for name, mine in zip(detectors, past, strict=True)
        ]
        nights = []
        for night, replaced in replay(account, history, costs, progress.unknown):
            nights.append(night.today)
            for each in replayed:
                each.see(night, replaced)
        # The first collection reads history, of which nothing is news.
        first = max(since or date.min, min(nights, default=date.max - ONE_DAY) + ONE_DAY)
        if not nights or max(nights) < first:
            return None
        alarms = [alarm for each in replayed for alarm in each.alarms() if alarm.morning >= first]
        return AccountReplay(
            aws_account_id=account.aws_account_id,
            name=account.name,
            mornings=DateRange(first, max(nights) + ONE_DAY),
            alarms=tuple(sorted(alarms, key=lambda each: (each.morning, each.start, each.detector))),
            totals={currency: mine.sums for currency, mine in costs.totals.items()},
        )


class _Replayed:
    """A detector that is shown one account's past nights in their order, by the code of the nights.

    What it finds has the ids that nights with it gave.
    """

    def __init__(self, name: DetectorName, detection: Detection, past: PastTransaction) -> None:
        self._name, self._detection, self._past = name, detection, past
        self._mornings: dict[str, date] = {}
        self._account = ""

    def see(self, night: PastCollection, replaced: Replaced) -> None:
        """Judge what one night stored."""
        self._account = replaced.account.aws_account_id
        judging = Night(
            today=night.today,
            run_id=night.run_id,
            now=datetime.combine(night.today, time(), UTC),
            is_backfill=night.is_backfill,
        )
        # A replay has the stores that the detectors use, and no others.
        events = self._detection.detect(cast("Transaction", self._past), [replaced], judging)
        for event in events[replaced.account.id]:
            if event.type is EventType.ANOMALY_DETECTED:
                self._mornings.setdefault(event.data["anomaly"]["id"], night.today)

    def alarms(self) -> Iterator[Alarm]:
        """Return everything that was raised."""
        for anomaly in self._past.anomalies.found():
            if morning := self._mornings.get(str(anomaly.id)):
                yield Alarm(
                    detector=self._name,
                    aws_account_id=self._account,
                    service=anomaly.service,
                    currency=anomaly.currency,
                    direction=anomaly.direction,
                    morning=morning,
                    start=anomaly.start_date,
                    last=anomaly.last_date,
                    impact=anomaly.impact,
                    id=anomaly.id,
                )
