"""What each detector would have raised on past mornings: replays the ledger, writes nothing."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Protocol, cast

from costbatch.application.collect.detect import Detector, Replaced
from costbatch.application.ledger import check_registered
from costbatch.application.ports import Database, Transaction
from costbatch.application.replay import PastCosts, PastTransaction, replay
from costbatch.domain.accounts import Account
from costbatch.domain.adaptive import Detector as AdaptiveDetector
from costbatch.domain.adaptive_rule import AdaptiveRule, Judgement
from costbatch.domain.anomalies import Anomaly
from costbatch.domain.backtest import AccountReplay, Alarm, BacktestReport, Contender
from costbatch.domain.detection import ZERO, Direction, Rule
from costbatch.domain.events import EventType
from costbatch.domain.expectation import SETTLE_DAYS
from costbatch.domain.ledger import AccountHistory, PastCollection
from costbatch.domain.money import to_cents
from costbatch.domain.periods import ONE_DAY, DateRange
from costbatch.logs import muted

_DETECTORS = "costbatch.application.collect"


class _Replayed(Protocol):
    """A detector that is shown one account's past nights in their order."""

    def see(self, night: PastCollection, replaced: Replaced) -> None:
        """Judge what one night stored."""

    def alarms(self) -> Iterator[Alarm]:
        """Return everything that was raised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtest:
    """Replays accounts one by one.

    Raises:
        ConfigError: the schema does not fit, or an account is not registered.
        StorageError: the database is unreachable.

    """

    database: Database
    rule: Rule
    adaptive_rule: AdaptiveRule

    def run(
        self,
        detectors: Sequence[Contender],
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
            # What the detectors log of a night was logged by that night.
            with muted(_DETECTORS):
                replays.append(self._replay(account, history, detectors, since))
        return BacktestReport(
            accounts=tuple(each for each in replays if each),
            detectors=tuple(detectors),
            gap=self.rule.merge_window,
        )

    def _replay(
        self,
        account: Account,
        history: AccountHistory,
        detectors: Sequence[Contender],
        since: date | None,
    ) -> AccountReplay | None:
        past = PastTransaction()
        replayed = [self._replayed(detector, past, account) for detector in detectors]
        nights = []
        for night, replaced in replay(account, history, past.costs):
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
            totals={currency: mine.sums for currency, mine in past.costs.totals.items()},
        )

    def _replayed(self, detector: Contender, past: PastTransaction, account: Account) -> _Replayed:
        match detector:
            case Contender.DEVIATION:
                return _Deviation(self.rule, past)
            case Contender.ADAPTIVE:
                return _Adaptive(self.rule, self.adaptive_rule, past.costs, account)


class _Deviation:
    """The default rule, by the code of the nights: what it finds has the ids that they gave it."""

    def __init__(self, rule: Rule, past: PastTransaction) -> None:
        self._rule, self._past = rule, past
        self._mornings: dict[str, date] = {}
        self._account = ""

    def see(self, night: PastCollection, replaced: Replaced) -> None:
        self._account = replaced.account.aws_account_id
        detector = Detector(
            rule=self._rule,
            today=night.today,
            run_id=night.run_id,
            now=datetime.combine(night.today, time(), UTC),
            is_backfill=night.is_backfill,
        )
        # A replay has the stores that the detector uses, and no others.
        events = detector.detect(cast("Transaction", self._past), [replaced])[replaced.account.id]
        for event in events:
            if event.type is EventType.ANOMALY_DETECTED:
                self._mornings[event.data["anomaly"]["id"]] = night.today

    def alarms(self) -> Iterator[Alarm]:
        for anomaly in self._past.anomalies.found.values():
            if morning := self._mornings.get(str(anomaly.id)):
                yield _alarm_of(anomaly, self._account, morning)


def _alarm_of(anomaly: Anomaly, aws_account_id: str, morning: date) -> Alarm:
    return Alarm(
        detector=Contender.DEVIATION,
        aws_account_id=aws_account_id,
        service=anomaly.service,
        currency=anomaly.currency,
        direction=anomaly.direction,
        morning=morning,
        start=anomaly.start_date,
        last=anomaly.last_date,
        impact=anomaly.impact,
        id=anomaly.id,
    )


class _Adaptive:
    """The adaptive detector: a morning for each day, read as the night saw it."""

    def __init__(self, rule: Rule, adaptive: AdaptiveRule, costs: PastCosts, account: Account) -> None:
        self._rule, self._adaptive, self._costs, self._account = rule, adaptive, costs, account
        self._detectors: dict[str, AdaptiveDetector] = {}
        self._newest: dict[str, date] = {}
        self._raised: defaultdict[tuple[str, str, Direction], dict[date, tuple[date, Judgement]]]
        self._raised = defaultdict(dict)

    def see(self, night: PastCollection, replaced: Replaced) -> None:  # noqa: ARG002 - the costs tell
        newest = night.today - ONE_DAY
        for currency, totals in self._costs.totals.items():
            if not totals.rows:
                continue
            detector = self._detectors.setdefault(currency, AdaptiveDetector(self._adaptive, currency))
            first = self._newest.get(currency, min(totals.rows) - ONE_DAY) + ONE_DAY
            if first > newest:
                continue
            services = {
                service: mine.sums for (service, of), mine in self._costs.services.items() if of == currency
            }
            for day in DateRange(first, newest + ONE_DAY):
                for judged in detector.judge(day, _readings(services, day)):
                    self._note(judged, currency, night.today)
            self._newest[currency] = newest

    def _note(self, judged: Judgement, currency: str, morning: date) -> None:
        if judged.reason is not None:
            direction = Direction.SPIKE if judged.actual > judged.expected else Direction.DROP
            days = self._raised[judged.service, currency, direction]
            days[judged.usage_date] = (days.get(judged.usage_date, (morning, judged))[0], judged)

    def alarms(self) -> Iterator[Alarm]:
        for (service, currency, direction), days in self._raised.items():
            run: list[date] = []
            for day in [*sorted(days), date.max]:
                if run and day - run[-1] > self._rule.merge_window:
                    gained = sum(days[each][1].actual - days[each][1].expected for each in run)
                    yield Alarm(
                        detector=Contender.ADAPTIVE,
                        aws_account_id=self._account.aws_account_id,
                        service=service,
                        currency=currency,
                        direction=direction,
                        morning=min(days[each][0] for each in run),
                        start=run[0],
                        last=run[-1],
                        impact=to_cents(Decimal(gained)),
                    )
                    run = []
                run.append(day)


def _readings(services: Mapping[str, Mapping[date, Decimal]], day: date) -> dict[str, list[Decimal]]:
    """Return what each service cost on a day and on the days before it that were not final yet."""
    days = [day - timedelta(days=age) for age in range(SETTLE_DAYS + 1)]
    return {
        service: [amounts.get(each, ZERO) for each in days]
        for service, amounts in services.items()
        if any(each in amounts for each in days)
    }
