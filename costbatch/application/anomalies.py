"""The use cases of anomalies: list and show them, answer them, plan changes.

Each takes effect as a whole, in one transaction, or raises a ConfigError that says why it cannot.
"""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from difflib import get_close_matches
from typing import Any

from costbatch.application.collect.series import load_days
from costbatch.application.ports import Database, Transaction
from costbatch.application.selection import check_registered, find_account
from costbatch.domain.accounts import NO_PROGRESS, Account
from costbatch.domain.anomalies import Anomaly, AnomalyFilter, AnomalyState
from costbatch.domain.answers import (
    Answer,
    AnswerKind,
    Standing,
    answer_to,
    explain_standing,
    standing,
)
from costbatch.domain.causes import RootCause
from costbatch.domain.collection import COLLECT
from costbatch.domain.events import (
    anomaly_answered,
    anomaly_data,
    answer_data,
    cents,
    root_cause_data,
)
from costbatch.domain.excerpt import excerpt
from costbatch.domain.expectations import SeriesDay
from costbatch.domain.overrides import RuleOf
from costbatch.domain.periods import ONE_DAY, DateRange, instant, utc_day
from costbatch.domain.routing import Route
from costbatch.errors import ConfigError

_SHORTEST_PREFIX = 8
_PREFIX = re.compile(r"[0-9a-f-]+")
# Where a UUID has its dashes.
_GROUPS = (8, 4, 4, 4, 12)
_LONGEST_REMARK = 500
_LAST_DAY = date(2999, 12, 31)
# Enough to see what was usual, and whether it is over.
_DAYS_BEFORE, _DAYS_AFTER = timedelta(days=35), timedelta(days=14)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredAnomaly:
    """An anomaly with its account, how it stands, and one sentence on why.

    answer: the one that counts for it. answers: all that were given for its series and still count.
    """

    anomaly: Anomaly
    account: Account
    standing: Standing
    why: str
    answer: Answer | None = None
    answers: tuple[Answer, ...] = ()

    def to_document(self) -> dict[str, Any]:
        """Return the anomaly as JSON has it."""
        return {
            "aws_account_id": self.account.aws_account_id,
            "account_name": self.account.name,
            **anomaly_data(self.anomaly),
            "standing": self.standing.value,
            "why": self.why,
            "answer": answer_data(self.answer) if self.answer else None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownAnomaly:
    """An anomaly, the days of its series around it, as far as they are stored, and its root cause."""

    answered: AnsweredAnomaly
    trend: tuple[SeriesDay, ...]
    root_cause: RootCause | None = None

    def to_document(self) -> dict[str, Any]:
        """Return the anomaly as JSON has it."""
        currency = self.answered.anomaly.currency
        return {
            **self.answered.to_document(),
            "root_cause": root_cause_data(self.root_cause, currency) if self.root_cause else None,
            "trend": [
                {
                    "date": day.usage_date.isoformat(),
                    "actual": cents(day.actual, currency),
                    "expected": cents(day.judged.expected, currency) if day.judged else None,
                    "lower": cents(day.judged.lower, currency) if day.judged else None,
                    "upper": cents(day.judged.upper, currency) if day.judged else None,
                    "score": f"{day.judged.score:.2f}" if day.judged else None,
                    "is_anomalous": self.answered.anomaly.includes(day),
                }
                for day in self.trend
            ],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """Who answers, and why: one line each."""

    author: str
    reason: str = ""

    def __post_init__(self) -> None:
        for name, text in (("author", self.author), ("reason", self.reason)):
            if not text.isprintable() or len(text) > _LONGEST_REMARK:
                raise ConfigError(
                    f"The {name} must be one line of up to {_LONGEST_REMARK} printable characters."
                )
        if not self.author.strip():
            raise ConfigError("The author is empty; give a name with --author.")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answering:
    """What all use cases share. rule_of: says what is at the level of an answer. routes: where events go."""

    database: Database
    rule_of: RuleOf
    routes: Sequence[Route]
    now: Callable[[], datetime]

    @contextmanager
    def _telling(self, tx: Transaction, account: Account, remark: Remark) -> Iterator[None]:
        """Write an event for each open anomaly of the account that another answer counts for afterwards."""
        is_open = AnomalyFilter(states=[AnomalyState.OPEN], aws_account_ids=[account.aws_account_id])
        before = _answered(tx, tx.anomalies.list_matching(is_open), self.rule_of)
        yield
        after = _answered(tx, [each.anomaly for each in before], self.rule_of)
        events = [
            anomaly_answered(
                found.anomaly,
                account,
                (was.answer, found.answer),
                standing=found.standing,
                withdrawn=(remark.author, remark.reason),
                now=self.now(),
            )
            for was, found in zip(before, after, strict=True)
            if was.answer != found.answer
        ]
        tx.outbox.append(events, self.routes, account_id=account.id, run_id=None)

    def _transaction(self) -> AbstractContextManager[Transaction]:
        self.database.check_schema()
        return self.database.transaction()


@dataclass(frozen=True, slots=True, kw_only=True)
class Anomalies(_Answering):
    """The use cases of anomalies."""

    def list_anomalies(
        self, wanted: AnomalyFilter, standings: Collection[Standing] = ()
    ) -> list[AnsweredAnomaly]:
        """Return the anomalies that match, the most severe first; without standings, however they stand."""
        with self._transaction() as tx:
            check_registered(tx, wanted.aws_account_ids)
            found = _answered(tx, tx.anomalies.list_matching(wanted), self.rule_of)
        return [each for each in found if not standings or each.standing in standings]

    def show(self, prefix: str) -> ShownAnomaly:
        """Return the one anomaly whose id begins so, with the days around it."""
        with self._transaction() as tx:
            found = self._find(tx, prefix)
            anomaly, account = found.anomaly, found.account
            stored = tx.progress.load(COLLECT, [account.id]).get(account.id, NO_PROGRESS).covered
            start = anomaly.start_date - _DAYS_BEFORE
            end_exclusive = anomaly.last_date + ONE_DAY + _DAYS_AFTER
            trend: tuple[SeriesDay, ...] = ()
            if stored is not None and stored.overlaps(start, end_exclusive - ONE_DAY):
                days = DateRange(max(start, stored.start), min(end_exclusive, stored.end_exclusive))
                rule = replace(self.rule_of(account), cost_basis=anomaly.cost_basis)
                trend = load_days(tx, account, anomaly, days, rule)
            return ShownAnomaly(answered=found, trend=trend, root_cause=tx.causes.find(anomaly.id))

    def acknowledge(self, prefix: str, remark: Remark) -> AnsweredAnomaly:
        """Mark it as being worked on: no reminders, and no updates at this level."""
        return self._answer(prefix, AnswerKind.ACKNOWLEDGED, remark)

    def dismiss(self, prefix: str, remark: Remark) -> AnsweredAnomaly:
        """Mark it as not an anomaly: the series is silent at this level from now on."""
        return self._answer(prefix, AnswerKind.DISMISSED, remark)

    def expect(self, prefix: str, remark: Remark, *, until: date | None = None) -> AnsweredAnomaly:
        """Mark it as expected: the series is silent at this level, until a day if given."""
        if until is not None:
            _check_future("--until", until, utc_day(self.now()))
        return self._answer(prefix, AnswerKind.EXPECTED, remark, until=until)

    def reopen(self, prefix: str, remark: Remark) -> AnsweredAnomaly:
        """Withdraw the answers that were given for its series."""
        with self._transaction() as tx:
            found = self._find_locked(tx, prefix)
            given = [each for each in found.answers if each.is_about(found.anomaly)]
            if not given and found.answer is not None:
                raise ConfigError(
                    f"Anomaly {_short(found.anomaly)} is silent because of the planned change "
                    f"{found.answer.id}; remove it with `costbatch planned remove {found.answer.id}`."
                )
            if not given:
                raise ConfigError(f"Anomaly {_short(found.anomaly)} has no answer to withdraw.")
            with self._telling(tx, found.account, remark):
                tx.answers.withdraw(given, author=remark.author, reason=remark.reason, now=self.now())
            return _answered(tx, [found.anomaly], self.rule_of)[0]

    def _answer(
        self, prefix: str, kind: AnswerKind, remark: Remark, *, until: date | None = None
    ) -> AnsweredAnomaly:
        with self._transaction() as tx:
            found = self._find_locked(tx, prefix)
            anomaly, rule = found.anomaly, self.rule_of(found.account)
            if anomaly.state is AnomalyState.RESOLVED:
                raise ConfigError(
                    f"Anomaly {_short(anomaly)} is resolved already ({anomaly.resolution}); only an open one "
                    "can be answered. `costbatch anomalies list` shows them."
                )
            # A new answer takes the place of those at the same level, answers at others stay; but a second
            # dismissal must not narrow the first.
            replaced = [
                each
                for each in found.answers
                if each.is_about(anomaly)
                and each.covers(anomaly, rule)
                and not each.kind is kind is AnswerKind.DISMISSED
            ]
            now = self.now()
            is_acknowledged = kind is AnswerKind.ACKNOWLEDGED
            answer = Answer(
                kind=kind,
                account_id=anomaly.account_id,
                service=anomaly.service,
                currency=anomaly.currency,
                direction=anomaly.direction,
                level=anomaly.peak,
                start_date=anomaly.start_date if is_acknowledged else None,
                end_date=anomaly.last_date if is_acknowledged else until,
                anomaly_id=anomaly.id,
                reason=remark.reason,
                author=remark.author,
                created_at=now,
            )
            with self._telling(tx, found.account, remark):
                if replaced:
                    reason = f"replaced by: {kind.value}"
                    tx.answers.withdraw(replaced, author=remark.author, reason=reason, now=now)
                tx.answers.add(answer)
            return _answered(tx, [anomaly], self.rule_of)[0]

    def _find_locked(self, tx: Transaction, prefix: str) -> AnsweredAnomaly:
        """Return the anomaly as it stays until the transaction ends: no run saves its account meanwhile."""
        found = self._find(tx, prefix)
        _lock(tx, found.account)
        # Again, because a run may have changed it while the lock was waited for.
        return self._find(tx, prefix)

    def _find(self, tx: Transaction, prefix: str) -> AnsweredAnomaly:
        wanted = _normalised(prefix)
        found = tx.anomalies.find(wanted)
        if not found:
            raise ConfigError(
                f"No anomaly has the id {wanted}; `costbatch anomalies list --state all` shows them all."
            )
        if len(found) > 1:
            ids = ", ".join(str(each.id) for each in found)
            raise ConfigError(
                f"Several anomalies have an id that begins with {wanted}: {ids}. Give more of it."
            )
        return _answered(tx, found, self.rule_of)[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedChange:
    """A planned change with its account."""

    account: Account
    plan: Answer

    def to_document(self) -> dict[str, Any]:
        """Return the planned change as JSON has it."""
        return {
            "id": self.plan.id,
            "aws_account_id": self.account.aws_account_id,
            "account_name": self.account.name,
            "service": self.plan.service,
            "start_date": str(self.plan.start_date),
            "end_date": str(self.plan.end_date),
            "reason": self.plan.reason,
            "author": self.plan.author,
            "created_at": instant(self.plan.created_at),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedChanges(_Answering):
    """The use cases of changes that are announced before the fact."""

    def add(
        self, aws_account_id: str, days: DateRange, remark: Remark, *, service: str | None = None
    ) -> PlannedChange:
        """Announce that an account, or one of its services, will have unusual cost on these days."""
        _check_future("--to", days.last, utc_day(self.now()))
        with self._transaction() as tx:
            account = find_account(tx, aws_account_id, lock=True)
            plan = Answer(
                kind=AnswerKind.PLANNED,
                account_id=account.id,
                service=service,
                start_date=days.start,
                end_date=days.last,
                reason=remark.reason,
                author=remark.author,
                created_at=self.now(),
            )
            with self._telling(tx, account, remark):
                plan = tx.answers.add(plan)
        return PlannedChange(account=account, plan=plan)

    def note_on(self, change: PlannedChange) -> str:
        """Return a sentence if the account never paid for the planned service; else the empty string.

        It may be new; but a name with an error covers nothing, and nobody would see it.
        """
        service, account = change.plan.service, change.account
        if service is None:
            return ""
        with self._transaction() as tx:
            rows = [each.id for each in tx.accounts.list_all()]
            paid_for = tx.first_charges.services(rows)
        if service in paid_for.get(account.id, ()):
            return ""
        known = set[str]().union(*paid_for.values())
        if service in known:
            return f'Account {account} has not paid for a service named "{service}" yet.'
        lowered = {name.lower(): name for name in sorted(known)}
        close = " or ".join(f'"{lowered[name]}"' for name in get_close_matches(service.lower(), lowered))
        question = f"; did you mean {close}?" if close else "."
        return (
            f'No account has paid for a service named "{service}"{question} '
            "The name must be exactly that of Cost Explorer."
        )

    def list_changes(self) -> list[PlannedChange]:
        """Return the planned changes that were not removed, the first to begin on top."""
        with self._transaction() as tx:
            return sorted(
                _plans(tx), key=lambda change: (change.plan.start_date or _LAST_DAY, change.plan.id)
            )

    def remove(self, plan_id: int, remark: Remark) -> PlannedChange:
        """Let a planned change no longer count."""
        with self._transaction() as tx:
            _lock(tx, _find_plan(tx, plan_id).account)
            # Again, because it may have been removed while the lock was waited for.
            change = _find_plan(tx, plan_id)
            with self._telling(tx, change.account, remark):
                tx.answers.withdraw([change.plan], author=remark.author, reason=remark.reason, now=self.now())
            return change


def _lock(tx: Transaction, account: Account) -> None:
    """Lock an account before its answers change, as runs do before they save it.

    Or a run that judged it before the answer would tell of its anomalies after it, and an alert that was
    silenced would fire again.
    """
    find_account(tx, account.aws_account_id, lock=True)


def _find_plan(tx: Transaction, plan_id: int) -> PlannedChange:
    for change in _plans(tx):
        if change.plan.id == plan_id:
            return change
    raise ConfigError(f"There is no planned change {plan_id}; `costbatch planned list` shows them.")


def _plans(tx: Transaction) -> list[PlannedChange]:
    accounts = {account.id: account for account in tx.accounts.list_all()}
    return [
        PlannedChange(account=accounts[row], plan=answer)
        for row, answers in tx.answers.load().items()
        for answer in answers
        if answer.kind is AnswerKind.PLANNED
    ]


def _answered(tx: Transaction, found: Sequence[Anomaly], rule_of: RuleOf) -> list[AnsweredAnomaly]:
    """Return anomalies with their accounts and answers."""
    if not found:
        return []
    accounts = {account.id: account for account in tx.accounts.list_all()}
    answers = tx.answers.load({anomaly.account_id for anomaly in found})
    answered = []
    for anomaly in found:
        account, mine = accounts[anomaly.account_id], answers.get(anomaly.account_id, [])
        rule = rule_of(account)
        counting = answer_to(anomaly, mine, rule)
        answered.append(
            AnsweredAnomaly(
                anomaly=anomaly,
                account=account,
                standing=standing(anomaly, counting),
                why=explain_standing(anomaly, mine, rule),
                answer=counting,
                answers=tuple(mine),
            )
        )
    return answered


def _normalised(prefix: str) -> str:
    """Return the beginning of an id as the database writes it."""
    text = prefix.strip().lower()
    if not _PREFIX.fullmatch(text):
        raise ConfigError(f"{excerpt(prefix)} is not the id of an anomaly, such as 5e5909ac-76f1.")
    digits = text.replace("-", "")
    if len(digits) < _SHORTEST_PREFIX:
        raise ConfigError(
            f"{excerpt(prefix)} is not the id of an anomaly: "
            f"give at least its first {_SHORTEST_PREFIX} characters."
        )
    if len(digits) > sum(_GROUPS):
        raise ConfigError(f"{excerpt(prefix)} is longer than the id of an anomaly.")
    groups, start = [], 0
    for size in _GROUPS:
        groups.append(digits[start : start + size])
        start += size
    return "-".join(group for group in groups if group)


def _short(anomaly: Anomaly) -> str:
    return str(anomaly.id)[:_SHORTEST_PREFIX]


def _check_future(option: str, day: date, today: date) -> None:
    if day < today:
        raise ConfigError(f"{option} is {day}, which is in the past; give today ({today}) or a later day.")
    if day > _LAST_DAY:
        raise ConfigError(f"{option} is {day}; give a day up to {_LAST_DAY}.")
