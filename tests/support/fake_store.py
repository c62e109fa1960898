"""A database in memory with everything that a run writes; a transaction that fails changes nothing."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from threading import Lock
from typing import cast
from uuid import UUID

from typing_extensions import override

from costbatch.application.ports import Transaction
from costbatch.application.replay import PastAnomalies, PastExpectations
from costbatch.domain.accounts import Account
from costbatch.domain.anomalies import Anomaly, AnomalyFilter, AnomalyState
from costbatch.domain.answers import Answer
from costbatch.domain.arrival import DayArrival
from costbatch.domain.causes import RootCause
from costbatch.domain.compared_costs import ONE_WEEK, Change, ComparedCost
from costbatch.domain.costs import DayDigests, DayTotal, FetchedCosts, StoredChange, StoredDay
from costbatch.domain.deliveries import Backlog, Delivery, DeliveryState, EventQuery, StoredEvent
from costbatch.domain.detection import Rule, Severity
from costbatch.domain.events import RUN_ENDINGS, Event, EventType
from costbatch.domain.expectations import Expectation
from costbatch.domain.first_charges import FirstCharge
from costbatch.domain.periods import ONE_DAY, DateRange
from costbatch.domain.routing import Route, is_follow_up
from costbatch.domain.runs import Run
from costbatch.errors import ConfigError
from tests.support.factories import NOW, CostRow, make_account, rows_of
from tests.support.fake_runs import FakeCollections, FakeItems, FakeRuns
from tests.support.fakes import FakeAccounts, FakeMemories, FakeProgress

# Account row, day, service, record type, currency.
RowKey = tuple[int, date, str, str, str]


@dataclass
class FakeCosts:
    """The daily costs.

    ``refuses``: the error with which an account's rows are not taken. ``first``: the accounts that were
    stored as never collected.
    """

    # By account row and day, so that to read some days of one account does not read all.
    days: dict[int, dict[date, dict[RowKey, CostRow]]] = field(default_factory=dict)
    prepared: list[DateRange] = field(default_factory=list)
    refuses: dict[int, Exception] = field(default_factory=dict)
    first: set[int] = field(default_factory=set)

    @property
    def rows(self) -> dict[RowKey, CostRow]:
        """All rows, by key."""
        return {key: row for of_account in self.days.values() for key, row in _joined(of_account).items()}

    def copy(self) -> "FakeCosts":
        """Return what a transaction works on; the rows of a day are replaced, and never changed."""
        days = {row: dict(of_account) for row, of_account in self.days.items()}
        return FakeCosts(days, list(self.prepared), self.refuses, set(self.first))

    def prepare_months(self, days: DateRange) -> None:
        """Note the days that room was made for."""
        self.prepared.append(days)

    def replace_windows(
        self, run: Run, fetched: Mapping[int, FetchedCosts], *, first: Collection[int] = ()
    ) -> dict[int, StoredChange]:
        """Make the changed days of each account equal to what was fetched."""
        self.first |= set(first)
        return {
            row: self._replace(row, costs.changed_days, rows_of(costs.costs))
            for row, costs in fetched.items()
        }

    def _replace(self, account_id: int, days: DateRange | None, rows: Sequence[CostRow]) -> StoredChange:
        if days is None:
            return StoredChange()
        if account_id in self.refuses:
            raise self.refuses[account_id]
        new: dict[date, dict[RowKey, CostRow]] = {}
        for row in rows:
            key = (account_id, row.usage_date, row.service, row.record_type, row.currency)
            new.setdefault(row.usage_date, {})[key] = row
        stored = self.days.setdefault(account_id, {})
        before, after = _joined(_within(stored, days)), _joined(new)
        inserted, deleted = after.keys() - before.keys(), before.keys() - after.keys()
        updated = {key for key in after.keys() & before.keys() if after[key] != before[key]}
        self.days[account_id] = {day: of_day for day, of_day in stored.items() if day not in days} | new
        changed = frozenset(key[1] for key in inserted | updated | deleted)
        return StoredChange(
            inserted=len(inserted), updated=len(updated), deleted=len(deleted), changed_dates=changed
        )

    def stored_days(self, days_of: Mapping[int, DateRange]) -> dict[int, list[StoredDay]]:
        """Return, by account row, what is stored of each day in each currency."""
        stored: dict[int, list[StoredDay]] = {}
        for row_id, days in days_of.items():
            of_day: dict[tuple[date, str], list[CostRow]] = {}
            for row in _joined(_within(self.days.get(row_id, {}), days)).values():
                of_day.setdefault((row.usage_date, row.currency), []).append(row)
            stored[row_id] = [
                StoredDay(
                    day,
                    currency,
                    len(rows),
                    sum((row.unblended for row in rows), Decimal(0)),
                    any(row.unblended or row.amortized for row in rows),
                )
                for (day, currency), rows in of_day.items()
            ]
        return stored

    def first_days(self, currencies_of: Mapping[int, Collection[str]]) -> dict[tuple[int, str], date]:
        """Return, by account row and currency, the first day with cost."""
        first: dict[tuple[int, str], date] = {}
        for row_id, currencies in currencies_of.items():
            missing = set(currencies)
            for day, of_day in sorted(self.days.get(row_id, {}).items()):
                found = missing.intersection(row.currency for row in of_day.values())
                first |= {(row_id, currency): day for currency in found}
                missing -= found
                if not missing:
                    break
        return first

    def day_totals(self, days_of: Mapping[int, DateRange], rule: Rule) -> dict[int, list[DayTotal]]:
        """Return, by account row, the comparable cost of each day with cost."""
        return {row: self._totals(row, days, rule) for row, days in days_of.items()}

    def service_totals(self, account: Account, days: DateRange, rule: Rule) -> dict[str, list[DayTotal]]:
        """Return the comparable cost of each day, by service."""
        sums: dict[str, dict[tuple[date, str], Decimal]] = {}
        for row in self._compared(account.id, days, rule):
            of_service = sums.setdefault(row.service, {})
            total = (row.usage_date, row.currency)
            of_service[total] = of_service.get(total, Decimal(0)) + row.unblended
        return {name: _day_totals(sums[name]) for name in sorted(sums)}

    def service_totals_of(
        self, days_of: Mapping[int, DateRange], rule: Rule
    ) -> dict[int, dict[str, list[DayTotal]]]:
        """Return, by account row, the comparable cost of each day, by service."""
        return {row: self.service_totals(make_account(row), days, rule) for row, days in days_of.items()}

    def cost_of_day(self, day: date, rule: Rule) -> list[tuple[str, str, Decimal]]:
        """Return (12-digit account id, currency, comparable cost) of every account on one day."""
        window = DateRange(day, day + ONE_DAY)
        accounts = {row: make_account(row) for row in sorted(self.days)}
        return [
            (account.aws_account_id, total.currency, total.amount)
            for account in accounts.values()
            for total in self._totals(account.id, window, rule)
        ]

    def cost_by_day(
        self, days: DateRange, rule: Rule, *, by_account: bool, aws_account_ids: Collection[str] = ()
    ) -> list[tuple[str, DayTotal]]:
        """Return the comparable cost of each day of all accounts together."""
        assert not by_account
        sums: Counter[tuple[date, str]] = Counter()
        for account in self.days:
            if aws_account_ids and make_account(account).aws_account_id not in aws_account_ids:
                continue
            for day, currency, amount in self._totals(account, days, rule):
                sums[day, currency] += amount  # type: ignore[assignment] # a Counter of Decimals
        return [("", DayTotal(day, currency, Decimal(amount))) for (day, currency), amount in sums.items()]

    def compared_costs(
        self, run: Run, days: DateRange, rule: Rule, *, most: int | None
    ) -> list[ComparedCost]:
        """Return what each account with rows cost on one day, the largest first; the others are left out."""
        amounts = [
            {(row, currency): amount for row, currency, amount in self.cost_of_day(day, rule)}
            for day in (days.last, days.last - ONE_DAY, days.last - ONE_WEEK)
        ]
        costs = [
            ComparedCost(
                currency=currency,
                accounts=1,
                amount=amount,
                estimated=any(row.estimated for row in self.rows.values() if row.usage_date == days.last),
                aws_account_id=aws_account_id,
                name=make_account(int(aws_account_id)).name,
                from_day_before=self._change(amount, amounts[1].get((aws_account_id, currency))),
                from_week_before=self._change(amount, amounts[2].get((aws_account_id, currency))),
            )
            for (aws_account_id, currency), amount in amounts[0].items()
        ]
        return sorted(costs, key=lambda cost: (cost.currency, -cost.amount))[:most]

    def _change(self, amount: Decimal, before: Decimal | None) -> Change | None:
        return None if before is None else Change(before, amount - before)

    def _totals(self, row_id: int, days: DateRange, rule: Rule) -> list[DayTotal]:
        sums: dict[tuple[date, str], Decimal] = {}
        for row in self._compared(row_id, days, rule):
            total = (row.usage_date, row.currency)
            sums[total] = sums.get(total, Decimal(0)) + row.unblended
        return _day_totals(sums)

    def _compared(self, row_id: int, days: DateRange, rule: Rule) -> Iterator[CostRow]:
        for of_day in _within(self.days.get(row_id, {}), days).values():
            yield from (row for row in of_day.values() if row.record_type not in rule.excluded_record_types)


def _within(
    stored: Mapping[date, dict[RowKey, CostRow]], days: DateRange
) -> dict[date, dict[RowKey, CostRow]]:
    return {day: of_day for day, of_day in stored.items() if day in days}


def _joined(days: Mapping[date, dict[RowKey, CostRow]]) -> dict[RowKey, CostRow]:
    return {key: row for of_day in days.values() for key, row in of_day.items()}


def _day_totals(sums: Mapping[tuple[date, str], Decimal]) -> list[DayTotal]:
    return [DayTotal(day, currency, amount) for (day, currency), amount in sums.items()]


@dataclass
class FakeDigests:
    """The digests of what was answered last, by account row."""

    rows: dict[int, DayDigests] = field(default_factory=dict)

    def copy(self) -> "FakeDigests":
        """Return what a transaction works on."""
        return FakeDigests(dict(self.rows))

    def load(self, windows: Mapping[int, DateRange]) -> dict[int, DayDigests]:
        """Return the digests of each account that has any."""
        return {row: known for row, known in self.rows.items() if row in windows}

    def replace(self, digests: Mapping[int, tuple[int, DayDigests] | None]) -> None:
        """Store or delete digests."""
        for row, each in digests.items():
            if each is None:
                self.rows.pop(row, None)
            else:
                self.rows[row] = each[1]


@dataclass
class FakeAnomalies(PastAnomalies):
    """The anomalies by id, the run that first found each, and when; and those that an ended run told."""

    found_by: dict[UUID, UUID] = field(default_factory=dict)
    found_at: dict[UUID, datetime] = field(default_factory=dict)
    told: set[UUID] = field(default_factory=set)

    def copy(self) -> "FakeAnomalies":
        """Return what a transaction works on."""
        return FakeAnomalies(dict(self.rows), dict(self.found_by), dict(self.found_at), set(self.told))

    @override
    def save(self, anomaly: Anomaly, *, run_id: UUID | None, now: datetime) -> None:
        before = self.rows.get(anomaly.id)
        PastAnomalies.save(self, anomaly, run_id=run_id, now=now)
        if run_id and (before is None or (before.is_gone and anomaly.state is AnomalyState.OPEN)):
            self.found_by[anomaly.id] = run_id
            self.found_at[anomaly.id] = now
            self.told.discard(anomaly.id)

    def find(self, prefix: str) -> list[Anomaly]:
        """Return the anomalies whose id begins so."""
        return sorted(
            (row for row in self.rows.values() if str(row.id).startswith(prefix)), key=lambda row: row.id
        )

    def list_matching(self, wanted: AnomalyFilter) -> list[Anomaly]:
        """Return the anomalies that match: the severest first, within a currency the largest impact."""
        found = [
            row
            for row in self._of(wanted.aws_account_ids)
            if (not wanted.states or row.state in wanted.states)
            and (not wanted.severities or row.severity in wanted.severities)
            and (not wanted.currencies or row.currency in wanted.currencies)
            and (wanted.since is None or row.last_date >= wanted.since)
            and (wanted.found_since is None or self.found_at[row.id].date() >= wanted.found_since)
        ]
        severities = list(Severity)
        return sorted(
            found, key=lambda row: (-severities.index(row.severity), row.currency, -abs(row.impact), row.id)
        )

    def detected_by(self, run_id: UUID) -> set[UUID]:
        """Return the ids of the anomalies that a run was the first to find."""
        return {anomaly for anomaly, run in self.found_by.items() if run == run_id}

    def unchecked(self, run: Run) -> set[UUID]:
        """Return the anomalies for which nobody looked for incidents, as if no other process worked."""
        return set(self.found_by) - self.told

    def mark_checked(self, anomaly_ids: Collection[UUID], *, now: datetime) -> None:
        """Record that incidents of these anomalies were looked for."""
        self.told |= set(anomaly_ids)

    def alike(self, anomaly_ids: Collection[UUID]) -> list[Anomaly]:
        """Return these, and all that began on the same days, in order."""
        days = {self.rows[each].start_date for each in anomaly_ids}
        return [row for _, row in sorted(self.rows.items()) if row.start_date in days]

    def counts(self, aws_account_ids: Collection[str] = ()) -> dict[tuple[str, str, str], int]:
        """Return how many anomalies there are by (state, severity, currency), of these accounts if given."""
        rows = self._of(aws_account_ids)
        return dict(Counter((row.state.value, row.severity.value, row.currency) for row in rows))

    def _of(self, aws_account_ids: Collection[str]) -> list[Anomaly]:
        rows = {make_account(row.account_id).aws_account_id: row.account_id for row in self.rows.values()}
        wanted = {rows.get(aws_account_id) for aws_account_id in aws_account_ids or rows}
        return [row for row in self.rows.values() if row.account_id in wanted]


@dataclass
class FakeAnswers:
    """The answers, and who withdrew those that no longer count."""

    anomalies: FakeAnomalies = field(default_factory=FakeAnomalies)
    rows: list[Answer] = field(default_factory=list)
    withdrawn: dict[int | None, tuple[str, str, datetime]] = field(default_factory=dict)

    def copy(self, anomalies: FakeAnomalies) -> "FakeAnswers":
        """Return what a transaction works on."""
        return FakeAnswers(anomalies, list(self.rows), dict(self.withdrawn))

    def add(self, answer: Answer) -> Answer:
        """Add an answer; return it with its id."""
        self.rows.append(replace(answer, id=len(self.rows) + 1))
        return self.rows[-1]

    def load(self, account_ids: Collection[int] | None = None) -> dict[int, list[Answer]]:
        """Return the answers that count by account row, the oldest first."""
        found: dict[int, list[Answer]] = {}
        for answer in self.rows:
            if answer.id not in self.withdrawn and (account_ids is None or answer.account_id in account_ids):
                found.setdefault(answer.account_id, []).append(self._as_stored(answer))
        return found

    def withdraw(self, answers: Collection[Answer], *, author: str, reason: str, now: datetime) -> None:
        """Let answers no longer count."""
        for answer in answers:
            self.withdrawn.setdefault(answer.id, (author, reason, now))

    def given(self, account_ids: Collection[int]) -> dict[int, list[Answer]]:
        """Return every answer by account row, also those that no longer count, the oldest first."""
        found: dict[int, list[Answer]] = {}
        for answer in self.rows:
            if answer.account_id in account_ids:
                found.setdefault(answer.account_id, []).append(self._as_stored(answer))
        return found

    def _as_stored(self, answer: Answer) -> Answer:
        about = self.anomalies.rows.get(answer.anomaly_id) if answer.anomaly_id else None
        is_gone = about is not None and about.is_gone
        _, _, withdrawn_at = self.withdrawn.get(answer.id, ("", "", None))
        return replace(answer, anomaly_is_gone=is_gone, withdrawn_at=withdrawn_at)


@dataclass
class FakeExpectations(PastExpectations):
    """The expectations by account row, day, service and currency; ``written`` counts the writes."""

    written: int = 0

    def copy(self) -> "FakeExpectations":
        """Return what a transaction works on."""
        return FakeExpectations(dict(self.rows), self.written)

    @override
    def save(self, expectations: Mapping[int, Sequence[Expectation]]) -> None:
        for row, of_account in expectations.items():
            for service, currency, judged in of_account:
                self.written += self.rows.get((row, judged.usage_date, service, currency)) != judged
        PastExpectations.save(self, expectations)


@dataclass
class FakeCauses:
    """No root causes: nothing that is tested with it asks for any."""

    def find(self, _: UUID) -> RootCause | None:
        """Return none."""
        return None


@dataclass
class FakeFirstCharges:
    """The services that accounts have paid for."""

    rows: dict[tuple[int, str], FirstCharge] = field(default_factory=dict)

    def copy(self) -> "FakeFirstCharges":
        """Return what a transaction works on."""
        return FakeFirstCharges(dict(self.rows))

    def services(self, account_ids: Collection[int]) -> dict[int, set[str]]:
        """Return the services by account row; an account without any is missing."""
        found: dict[int, set[str]] = {}
        for row, service in self.rows:
            if row in account_ids:
                found.setdefault(row, set()).add(service)
        return found

    def add(self, charges: Mapping[int, Sequence[FirstCharge]]) -> None:
        """Add services by account row; one that is there already is left as it is."""
        for row, mine in charges.items():
            for charge in mine:
                self.rows.setdefault((row, charge.service), charge)


@dataclass(frozen=True)
class Posted:
    """One event on its way to one sink; its ordering key is the account's."""

    event: Event
    sink: str
    ordering_key: int
    retry_at: datetime
    state: DeliveryState = DeliveryState.PENDING
    attempts: int = 0
    refusals: int = 0
    delivered_at: datetime | None = None
    reason: str | None = None
    claimed_by: str | None = None
    claim_token: UUID | None = None
    claimed_until: datetime | None = None


def _is_before(event: Event, follow_up: Event) -> bool:
    """Whether an event was about the same anomaly, or about the failure that ends."""
    if "anomaly" in follow_up.data:
        return bool(event.data.get("anomaly", {}).get("id") == follow_up.data["anomaly"]["id"])
    whose, ends = (each.data.get("account", {}).get("aws_account_id") for each in (event, follow_up))
    is_of_job = event.data.get("job") == follow_up.data["job"]
    is_since = event.occurred_at >= datetime.fromisoformat(follow_up.data["failed"]["since"])
    return event.type is EventType.ACCOUNT_FAILED and is_since and whose == ends and is_of_job


@dataclass
class FakeOutbox:
    """The events in the order in which they were written, and their ways to the sinks.

    now: the clock by which deliveries wait.
    """

    events: list[Event] = field(default_factory=list)
    runs: dict[UUID, UUID | None] = field(default_factory=dict)
    posted: dict[tuple[UUID, str], Posted] = field(default_factory=dict)
    now: Callable[[], datetime] = lambda: NOW

    def copy(self) -> "FakeOutbox":
        """Return what a transaction works on."""
        return FakeOutbox(list(self.events), dict(self.runs), dict(self.posted), self.now)

    def append(
        self, events: Sequence[Event], routes: Sequence[Route], *, account_id: int | None, run_id: UUID | None
    ) -> None:
        """Add events for every sink whose filter takes them; one that is there already is left as it is."""
        for event in events:
            if event.id in self.runs:
                continue
            self.events.append(event)
            self.runs[event.id] = run_id
            for route in routes:
                refusal = route.filter.refusal(event)
                if refusal and not refusal.is_of_type and self._was_told(route.sink, event):
                    refusal = None
                self.posted[event.id, route.sink] = Posted(
                    event,
                    route.sink,
                    account_id or 0,
                    self.now(),
                    state=DeliveryState.FILTERED if refusal else DeliveryState.PENDING,
                    reason=refusal.reason if refusal else None,
                )

    def _was_told(self, sink: str, event: Event) -> bool:
        return is_follow_up(event) and any(
            posted.sink == sink
            and posted.state is not DeliveryState.FILTERED
            and _is_before(posted.event, event)
            for posted in self.posted.values()
        )

    def claim(self, sink: str, *, worker: str, token: UUID, most: int, lease: timedelta) -> list[Delivery]:
        """Claim up to so many deliveries of a sink that are due, oldest first by ordering key."""
        now = self.now()
        held, claimed = set[int](), list[Delivery]()
        for key, posted in list(self.posted.items()):
            if (
                posted.sink != sink
                or posted.state is not DeliveryState.PENDING
                or posted.ordering_key in held
            ):
                continue
            is_claimed = posted.claimed_until and posted.claimed_until > now
            if posted.retry_at > now or (is_claimed and posted.claim_token != token):
                held.add(posted.ordering_key)
            elif len(claimed) < most:
                claim = {"claimed_by": worker, "claim_token": token, "claimed_until": now + lease}
                self.posted[key] = replace(posted, **claim)  # type: ignore[arg-type]
                claimed.append(
                    Delivery(
                        event_id=posted.event.id,
                        sink=sink,
                        attempt=posted.attempts + 1,
                        refusals=posted.refusals,
                        ordering_key=posted.ordering_key,
                        run_id=self.runs[posted.event.id],
                        claim_token=token,
                        cloudevent=posted.event.to_cloudevent(),
                    )
                )
        return claimed

    def held_for(self, sink: str) -> timedelta | None:
        """Return how long until the first claim ends."""
        now = self.now()
        ends = [each.claimed_until for each in self.posted.values() if each.sink == sink]
        return min((end - now for end in ends if end and end > now), default=None)

    def release_dead(self, is_gone: Callable[[str], bool]) -> int:
        """End the claims of workers that are gone."""
        dead = {
            key: replace(posted, claimed_by=None, claim_token=None, claimed_until=None)
            for key, posted in self.posted.items()
            if posted.claimed_by and is_gone(posted.claimed_by)
        }
        self.posted |= dead
        return len(dead)

    def release(self, deliveries: Sequence[Delivery]) -> None:
        """End the claims."""
        for delivery in deliveries:
            self._update(delivery)

    def mark_delivered(self, deliveries: Sequence[Delivery], *, now: datetime) -> None:
        """Record that a sink took them."""
        for delivery in deliveries:
            self._update(
                delivery,
                state=DeliveryState.DELIVERED,
                delivered_at=now,
                attempts=delivery.attempt,
                reason=None,
            )

    def mark_failed(
        self, delivery: Delivery, reason: str, *, retry_after: timedelta | None, is_refused: bool = False
    ) -> None:
        """Record that a sink did not take one, and the pause before the next attempt."""
        later: dict[str, object] = {"state": DeliveryState.DEAD}
        if retry_after is not None:
            later = {"retry_at": self.now() + retry_after}
        counts = {"attempts": delivery.attempt, "refusals": delivery.refusals + is_refused}
        self._update(delivery, reason=reason, **counts, **later)

    def backlog(self) -> dict[str, Backlog]:
        """Return what is pending and given up, by sink."""
        states = Counter((posted.sink, posted.state) for posted in self.posted.values())
        found = {
            sink: Backlog(pending=states[sink, DeliveryState.PENDING], dead=states[sink, DeliveryState.DEAD])
            for sink, _ in states
        }
        return {sink: each for sink, each in sorted(found.items()) if each != Backlog()}

    def count_pending(self) -> int:
        """Return how many deliveries are still to be made."""
        return sum(each.pending for each in self.backlog().values())

    def counts_of_run(self, run_id: UUID) -> dict[str, int]:
        """Return how many events of each type a run has written."""
        return dict(Counter(event.type.value for event in self.events if self.runs[event.id] == run_id))

    def endings_of_run(self, run_id: UUID) -> list[str]:
        """Return the statuses of the events that report the end of a run, oldest first."""
        mine = (event for event in self.events if self.runs[event.id] == run_id)
        return [event.data["run"]["status"] for event in mine if event.type in RUN_ENDINGS]

    def find(self, query: EventQuery, *, most: int | None) -> list[StoredEvent]:
        """Return the events of these types and accounts, newest first, without their deliveries."""
        found = [
            StoredEvent(
                id=event.id,
                type=event.type.value,
                subject=event.subject,
                occurred_at=event.occurred_at,
                cloudevent=event.to_cloudevent(),
            )
            for event in reversed(self.events)
            if event.type.value in query.types
            and event.data["account"]["aws_account_id"] in query.aws_account_ids
        ]
        return found[:most]

    def _update(self, delivery: Delivery, **values: object) -> None:
        key = (delivery.event_id, delivery.sink)
        if self.posted[key].claim_token == delivery.claim_token:
            ended = replace(self.posted[key], claimed_by=None, claim_token=None, claimed_until=None)
            self.posted[key] = replace(ended, **values)  # type: ignore[arg-type]


@dataclass
class FakeLedger:
    """What mornings saw, as a test says."""

    seen: list[DayArrival] = field(default_factory=list)

    def arrivals(
        self, days: DateRange, rule: Rule, *, aws_account_ids: Collection[str] = ()
    ) -> list[DayArrival]:
        """Return what mornings saw of these accounts."""
        return [each for each in self.seen if each.aws_account_id in aws_account_ids]


@dataclass
class FakeTables:
    """Everything that commits together."""

    accounts: FakeAccounts = field(default_factory=FakeAccounts)
    progress: FakeProgress = field(default_factory=FakeProgress)
    items: FakeItems = field(default_factory=FakeItems)
    run_rows: dict[str, Run] = field(default_factory=dict)
    costs: FakeCosts = field(default_factory=FakeCosts)
    ledger: FakeLedger = field(default_factory=FakeLedger)
    collections: FakeCollections = field(default_factory=FakeCollections)
    digests: FakeDigests = field(default_factory=FakeDigests)
    anomalies: FakeAnomalies = field(default_factory=FakeAnomalies)
    answers: FakeAnswers = field(default_factory=FakeAnswers)
    expectations: FakeExpectations = field(default_factory=FakeExpectations)
    memories: FakeMemories = field(default_factory=FakeMemories)
    first_charges: FakeFirstCharges = field(default_factory=FakeFirstCharges)
    causes: FakeCauses = field(default_factory=FakeCauses)
    outbox: FakeOutbox = field(default_factory=FakeOutbox)

    @property
    def runs(self) -> FakeRuns:
        """The runs, whose items are these."""
        return FakeRuns(self.items, self.run_rows)

    def copy(self) -> "FakeTables":
        """Return what a transaction works on."""
        accounts, progress, run_rows = self.accounts.copy(), self.progress.copy(), dict(self.run_rows)
        anomalies = self.anomalies.copy()
        return FakeTables(
            accounts=accounts,
            progress=progress,
            items=self.items.copy(accounts, progress),
            run_rows=run_rows,
            costs=self.costs.copy(),
            ledger=self.ledger,
            collections=self.collections.copy(),
            digests=self.digests.copy(),
            anomalies=anomalies,
            answers=self.answers.copy(anomalies),
            expectations=self.expectations.copy(),
            memories=self.memories.copy(),
            first_charges=self.first_charges.copy(),
            outbox=self.outbox.copy(),
        )


@dataclass
class FakeStore:
    """The database. ``faults`` are raised by the next transactions, one each; None lets one pass."""

    tables: FakeTables = field(default_factory=FakeTables)
    faults: list[Exception | None] = field(default_factory=list)
    schema_problem: str | None = None
    _lock: Lock = field(default_factory=Lock)

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Return a transaction."""
        return self._transaction()

    def check_schema(self) -> None:
        """Refuse to work where a test says so."""
        if self.schema_problem:
            raise ConfigError(self.schema_problem)

    @contextmanager
    def _transaction(self) -> Iterator[Transaction]:
        # One after the other: a run claims in a thread of its own.
        with self._lock:
            fault = self.faults.pop(0) if self.faults else None
            if fault:
                raise fault
            working = self.tables.copy()
            yield cast("Transaction", working)
            self.tables = working
