"""The cost job: reads each account's window from the cost source, stores what differs, detects anomalies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from typing_extensions import override

from costbatch.application.collect.detect import Detection
from costbatch.application.collect.detector import Night, Replaced
from costbatch.application.collect.plan import check_days, window_of
from costbatch.application.collect.report import brief_report
from costbatch.application.jobs.job import Job, Result
from costbatch.application.ownership import save_proven
from costbatch.application.ports import Clock, Spend, Transaction
from costbatch.application.sources import CostSource
from costbatch.domain.absence import Vanished, may_vanish, weigh_absence
from costbatch.domain.anomalies import AnomalyState, announced_since
from costbatch.domain.answers import is_silent
from costbatch.domain.collection import COLLECT, CollectionRecord, CollectOptions
from costbatch.domain.costs import NO_DIGESTS, DayDigests, DayTotal, FetchedCosts
from costbatch.domain.credentials import Access
from costbatch.domain.events import Event, incident_detected
from costbatch.domain.incidents import find_incidents
from costbatch.domain.periods import DateRange, WindowPolicy, month_start, utc_day
from costbatch.domain.runs import Failure, Outcome, Run, RunRequest, WorkItem
from costbatch.errors import ErrorKind
from costbatch.logs import get_logger

log = get_logger(__name__)

# To learn a year of an account takes longer than to store it; between transactions claims are renewed.
_ROWS_LEARNED = 30_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectTask:
    """What it takes to fetch one account: how to reach it, the days to read, and what is stored of them.

    digests: of what AWS last answered. totals: the cost of each day of the window, as it is stored.
    learns: the detector has to learn from all that is stored. catches_up: the days of missed nights are read.
    """

    access: Access
    window: DateRange
    digests: DayDigests
    totals: Sequence[DayTotal]
    learns: bool = False
    catches_up: bool = False


CollectResult = Result[CollectTask, FetchedCosts]


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectJob(Job[CollectTask, FetchedCosts]):
    """Collects the cost of accounts.

    vanished_ratio: the share of an account's stored days with cost that an answer may remove.
    """

    source: CostSource
    windows: WindowPolicy
    detection: Detection
    clock: Clock
    vanished_ratio: Decimal

    @property
    @override
    def name(self) -> str:
        return COLLECT

    @override
    def check(self, tx: Transaction, request: RunRequest, *, today: date) -> None:
        if days := CollectOptions.of(request).days_of(today):
            check_days(days, today=today, policy=self.windows)

    @override
    def begin(self, tx: Transaction, *, today: date) -> None:
        next_month = month_start(today, months_back=-1)
        tx.costs.prepare_months(DateRange(self.windows.earliest_day_on(today), next_month))

    @override
    def prepare(self, tx: Transaction, run: Run, items: Sequence[WorkItem]) -> Mapping[int, CollectTask]:
        options = CollectOptions.of(run.request)
        accesses = tx.accounts.load_accesses([item.account for item in items])
        windows = {}
        for item in items:
            window = window_of(item.progress, options, today=run.today, policy=self.windows)
            # After midnight a new month may have begun, and AWS has forgotten the run's oldest one.
            start = max(window.start, self.windows.earliest_day_on(utc_day(self.clock())))
            windows[item.account.id] = DateRange(min(start, window.last), window.end_exclusive)
        # A backfill compares every day with what is stored: it is how a person has that done. So does a run
        # that accepts what vanishes, or it would leave alone the days that were kept.
        compares_all = options.is_backfill or options.accept_vanished
        digests = {} if compares_all else tx.digests.load(windows)
        totals = tx.costs.day_totals({row: windows[row] for row in digests}, self.detection.rule)
        newest = {item.account.id: stored.last for item in items if (stored := item.progress.covered)}
        learners = self.detection.detector.learners(tx, [item.account for item in items], newest)
        return {
            item.id: CollectTask(
                access=accesses[item.account.id],
                catches_up=not options.is_backfill
                and windows[item.account.id].start < self.windows.first_day_read_on(run.today),
                window=windows[item.account.id],
                digests=digests.get(item.account.id, NO_DIGESTS),
                totals=totals.get(item.account.id, ()),
                # An account without cost has nothing to learn, tonight and every night.
                learns=item.account.id in learners
                and (item.progress.covered is None or bool(totals.get(item.account.id))),
            )
            for item in items
        }

    @override
    def work(self, item: WorkItem, task: CollectTask, spend: Spend) -> FetchedCosts:
        # Fewer days would leave a hole, and are all that AWS has of an account that was not read for long.
        may_be_shorter = item.progress.covered is None or task.catches_up
        return self.source.fetch(task.access, task.window, spend, task.digests, may_be_shorter=may_be_shorter)

    @override
    def size(self, value: FetchedCosts) -> int:
        return len(value.costs)

    @override
    def is_ordinary(self, request: RunRequest) -> bool:
        return not CollectOptions.of(request).is_backfill

    @override
    def weight(self, task: CollectTask, value: FetchedCosts) -> int:
        return max(self.size(value), _ROWS_LEARNED) if task.learns else self.size(value)

    @override
    def save(
        self, tx: Transaction, run: Run, results: Sequence[CollectResult], *, now: datetime
    ) -> list[Outcome]:
        options = CollectOptions.of(run.request)
        suspects = {
            result.account.id: result.value.window
            for result in results
            if not options.accept_vanished and may_vanish(result.value, result.task.digests)
        }
        stored = tx.costs.stored_days(suspects) if suspects else {}
        outcomes: list[Outcome] = []
        plausible: list[tuple[CollectResult, FetchedCosts]] = []
        for result in results:
            answer: FetchedCosts | Vanished = result.value
            if (row := result.account.id) in suspects:
                previous, ratio = result.task.digests, self.vanished_ratio
                answer = weigh_absence(result.value, stored[row], previous=previous, ratio=ratio)
            if isinstance(answer, Vanished):
                kind = ErrorKind.IMPLAUSIBLE_ANSWER
                outcomes.append(result.failed(Failure(kind=kind, message=f"{answer} {kind.advice}")))
            else:
                plausible.append((result, answer))
        return outcomes + self._store(tx, run, plausible, now) if plausible else outcomes

    @override
    def after(self, tx: Transaction, run: Run, *, now: datetime) -> Mapping[str, Any]:
        return brief_report(tx, run, rule_of=self.detection.rule_of, now=now).summary

    @override
    def closing_events(self, tx: Transaction, run: Run, *, now: datetime) -> Sequence[Event]:
        # Also of runs that ended without this and are not resumed: no other run would report theirs.
        if not (new := tx.anomalies.unchecked(run)):
            return ()
        accounts = {account.id: account for account in tx.accounts.list_all()}
        alike = tx.anomalies.alike(new)
        answers = tx.answers.load({each.account_id for each in alike})
        since, rule_of = announced_since(run.today, self.detection.rule), self.detection.rule_of
        # Once it is silent no more, such as after a planned change, it is news, and may begin an incident.
        silent = {
            each.id
            for each in alike
            if each.state is AnomalyState.OPEN
            and is_silent(each, answers.get(each.account_id, ()), rule_of(accounts[each.account_id]))
        }
        tx.anomalies.mark_checked(new - silent, now=now)
        incidents = find_incidents(alike, accounts, answers, new=new, since=since, rule_of=rule_of)
        return [incident_detected(incident, run_id=run.id, now=now) for incident in incidents]

    def _store(
        self, tx: Transaction, run: Run, results: Sequence[tuple[CollectResult, FetchedCosts]], now: datetime
    ) -> list[Outcome]:
        """Replace the windows, detect anomalies, and record what was done; return the outcomes."""
        is_backfill = CollectOptions.of(run.request).is_backfill
        fetched = {result.account.id: costs for result, costs in results}
        # What is kept is not in the answer, and counts when the days after it are judged.
        keeping = {row: costs.window for row, costs in fetched.items() if costs.days_kept}
        kept_totals = tx.costs.day_totals(keeping, self.detection.rule) if keeping else {}
        first = [result.account.id for result, _ in results if result.progress.covered is None]
        changes = tx.costs.replace_windows(run, fetched, first=first)
        progress = {
            result.account.id: result.progress.seeing(costs.hidden, costs.shown).extended(
                costs.window, is_ordinary=not is_backfill
            )
            for result, costs in results
        }
        replaced = [
            Replaced(
                account=result.account,
                progress=result.progress,
                fetched=costs,
                change=changes[result.account.id],
                totals=kept_totals.get(result.account.id, result.task.totals),
                shown_from=costs.shown_from,
                unknown=progress[result.account.id].unknown,
            )
            for result, costs in results
        ]
        night = Night(today=run.today, run_id=run.id, now=now, is_backfill=is_backfill)
        events = self.detection.detect(tx, replaced, night)
        tx.collections.save(
            {
                result.item.id: CollectionRecord(
                    window=costs.window,
                    rows_fetched=costs.rows,
                    change=changes[result.account.id],
                    days_kept=costs.days_kept,
                )
                for result, costs in results
            }
        )
        # A backfill's days are not a night's: what was answered last is no longer what is stored.
        tx.digests.replace(
            {
                result.account.id: None if is_backfill else (result.item.id, costs.digests)
                for result, costs in results
            }
        )
        save_proven(tx, [result.task.access for result, _ in results], now=now)
        return [
            result.succeeded(
                progress=progress[result.account.id],
                events=events[result.account.id],
                warnings={"stored_days_kept": {"days": costs.days_kept}} if costs.days_kept else {},
            )
            for result, costs in results
        ]
