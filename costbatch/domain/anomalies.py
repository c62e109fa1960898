"""The life cycle of an anomaly: detected, updated while its days settle, then resolved."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum
from uuid import UUID, uuid5

from costbatch.domain.costs import CostBasis
from costbatch.domain.detection import (
    ZERO,
    Contribution,
    Direction,
    Episode,
    JudgedDay,
    Reason,
    Rule,
    Severity,
    group_episodes,
)
from costbatch.domain.expectations import SeriesDay
from costbatch.domain.explanation import in_words
from costbatch.domain.money import to_cents
from costbatch.domain.periods import DateRange

# Ids are derived: the same anomaly has the same id however often a run is repeated.
_NAMESPACE = UUID("6c3f1d9e-5a0b-4f0e-9d2a-3b1c7a5e8f42")


# The days of a trend: enough to see what was normal before.
TREND_DAYS = 30


class AnomalyState(StrEnum):
    """The state of an anomaly."""

    OPEN = "open"
    RESOLVED = "resolved"


class Resolution(StrEnum):
    """Why an anomaly is no longer open."""

    ENDED = "ended"  # the days after it are normal again, or the baseline has caught up
    RESTATED = "restated"  # AWS corrected the days, or the rule changed: they no longer deviate
    MERGED = "merged"  # restated days joined it to an earlier anomaly
    REMOVED = "removed"  # its account was removed: no run judges its days any more


class ChangeKind(StrEnum):
    """What happened to an anomaly."""

    DETECTED = "detected"
    UPDATED = "updated"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a series belongs to: an account's total (``service`` None) or one of its services."""

    account_id: int
    aws_account_id: str
    service: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Anomaly:
    """One account, or one of its services, over consecutive days that deviate from their baseline.

    Amounts are sums over the anomalous days, in ``currency``; ``peak`` is the most extreme daily cost: the
    highest of a spike, the lowest of a drop. ``revision`` counts its changes from 1.
    lower, upper: the band in which these days would be ordinary. reason, score: of the first day, and of the
    day that stands out most. words: all of it in a sentence.
    """

    id: UUID
    account_id: int
    service: str | None
    direction: Direction
    state: AnomalyState
    severity: Severity
    start_date: date
    last_date: date
    currency: str
    cost_basis: CostBasis
    expected: Decimal
    actual: Decimal
    peak: Decimal
    explanation: tuple[Contribution, ...] = ()
    resolution: Resolution | None = None
    revision: int = 1
    lower: Decimal = ZERO
    upper: Decimal = ZERO
    score: Decimal = ZERO
    reason: Reason = Reason.DEVIATION
    words: str = ""

    @property
    def impact(self) -> Decimal:
        """The money difference: positive for a spike."""
        return self.actual - self.expected

    @property
    def deviation_ratio(self) -> Decimal | None:
        """The difference as a ratio of the expected amount; None if nothing was expected."""
        return self.impact / abs(self.expected) if self.expected else None

    @property
    def is_gone(self) -> bool:
        """Whether it has no days any more; it comes back only if no other anomaly matches its days."""
        return self.resolution in {Resolution.RESTATED, Resolution.MERGED}

    def includes(self, day: SeriesDay) -> bool:
        """Whether a day of its series is one of its anomalous days; ordinary ones between them are not.

        Of a day that was never judged, only where it lies is known.
        """
        if not self.start_date <= day.usage_date <= self.last_date:
            return False
        judged = day.judged
        return judged is None or (judged.is_outside and judged.direction is self.direction)

    def visible(self) -> tuple[object, ...]:
        """Return what a reader sees of it, amounts to the cent."""
        amounts = tuple(to_cents(each, self.currency) for each in (self.expected, self.actual))
        return (self.start_date, self.last_date, self.state, self.severity, self.resolution, *amounts)

    def reads_as(self, other: "Anomaly") -> bool:
        """Whether a reader sees no difference between the two."""
        return self.visible() == other.visible()


@dataclass(frozen=True, slots=True, kw_only=True)
class AnomalyFilter:
    """Which anomalies are wanted; what is empty does not restrict them.

    since: only those with a day on or after it. found_since: only those first found on it or later.
    active: only those of accounts that runs collect; no others can end.
    """

    states: Collection[AnomalyState] = ()
    severities: Collection[Severity] = ()
    aws_account_ids: Collection[str] = ()
    currencies: Collection[str] = ()
    since: date | None = None
    found_since: date | None = None
    active: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """The daily cost that leads up to the newest day; ``is_complete``: that day's cost has settled."""

    newest: date
    is_complete: bool
    days: tuple[SeriesDay, ...] = ()


@dataclass(frozen=True, slots=True)
class AnomalyChange:
    """An anomaly as it is now, what happened to it, and its episode (None: it has no days any more)."""

    kind: ChangeKind
    anomaly: Anomaly
    episode: Episode | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What one judgement is about: the scope, the currency, the days, and the rule as of ``today``.

    start: the first day whose cost may have changed. days: begin earlier if a known anomaly does.
    first_day: where the series begins, once it is known.
    """

    scope: Scope
    currency: str
    start: date
    days: DateRange
    today: date
    rule: Rule
    first_day: date = date.min


@dataclass(frozen=True, slots=True)
class JudgedSeries:
    """The days of a series that a rule has judged. first_day: where the series begins."""

    first_day: date
    days: Sequence[JudgedDay]


def judge_series(
    judged: JudgedSeries | None, known: Sequence[Anomaly], judgement: Judgement
) -> list[AnomalyChange]:
    """Compare a series as it is judged now with its known anomalies, and return what changed.

    judged: None: the series is no longer judged; what is known of it is closed.
    known: the anomalies of the scope in the currency that lie in the days, or within the merge window.
    """
    anomalous, start = list[JudgedDay](), judgement.days.start
    if judged is not None:
        # Days before the first one cannot be judged.
        start = max(start, min(judged.first_day, judgement.days.last))
        judgement = replace(judgement, first_day=judged.first_day)
        anomalous = [day for day in judged.days if day.reason]
    changes: list[AnomalyChange] = []
    for direction in Direction:
        mine = [anomaly for anomaly in known if anomaly.direction is direction]
        first = judged_from(mine, judgement.start, judgement.rule)
        days = DateRange(max(first, start), judgement.days.end_exclusive)
        here = [each for each in anomalous if each.direction is direction and each.usage_date in days]
        episodes = group_episodes(here, judgement.rule)
        changes += reconcile(mine, episodes, judgement=replace(judgement, days=days))
    return changes


def reconcile(
    existing: Sequence[Anomaly], episodes: Sequence[Episode], *, judgement: Judgement
) -> list[AnomalyChange]:
    """Compare known anomalies with the episodes found now, all of one direction; return what changed."""
    changes: list[AnomalyChange] = []
    window = judgement.rule.merge_window
    unmatched = sorted(existing, key=lambda anomaly: (anomaly.is_gone, anomaly.start_date))
    for episode in episodes:
        first, last = episode.start - window, episode.last + window
        matching = [known for known in unmatched if known.start_date <= last and known.last_date >= first]
        unmatched = [known for known in unmatched if known not in matching]
        changes += _changes_of_episode(episode, matching, judgement)
    for known in unmatched:
        changes += _close(known, _why_gone(known, judgement))
    return changes


def close_of_removed(existing: Iterable[Anomaly]) -> list[AnomalyChange]:
    """Return the ends of the open anomalies of an account that is removed.

    If it is added again and one continues, it is open again.
    """
    still_open = [known for known in existing if known.state is AnomalyState.OPEN]
    return [change for known in still_open for change in _close(known, Resolution.REMOVED)]


def judged_from(known: Sequence[Anomaly], start: date, rule: Rule) -> date:
    """Return the first day to judge if the days from ``start`` on may have changed.

    Open anomalies, and those that the merge window chains to these days, are judged from their beginning.
    """
    first = min([start, *(each.start_date for each in known if each.state is AnomalyState.OPEN)])
    for each in sorted(known, key=lambda anomaly: anomaly.last_date, reverse=True):
        if each.last_date >= first - rule.merge_window:
            first = min(first, each.start_date)
    return first


def _changes_of_episode(
    episode: Episode, matching: Sequence[Anomaly], judgement: Judgement
) -> Iterable[AnomalyChange]:
    if not matching:
        found = _describe(_first_seen(episode, judgement), episode, judgement)
        yield AnomalyChange(ChangeKind.DETECTED, found, episode)
        if found.state is AnomalyState.RESOLVED:
            yield AnomalyChange(ChangeKind.RESOLVED, replace(found, revision=found.revision + 1), episode)
        return
    known, *merged = matching
    now = _describe(known, episode, judgement)
    if not now.reads_as(known):
        kind = ChangeKind.UPDATED
        if now.state is AnomalyState.RESOLVED and known.state is AnomalyState.OPEN:
            kind = ChangeKind.RESOLVED
        elif now.state is AnomalyState.OPEN and known.is_gone:
            # A receiver that gets new anomalies only has received nothing about these days.
            kind = ChangeKind.DETECTED
        yield AnomalyChange(kind, replace(now, revision=known.revision + 1), episode)
    for other in merged:
        yield from _close(other, Resolution.MERGED)


def _first_seen(episode: Episode, judgement: Judgement) -> Anomaly:
    scope = judgement.scope
    identity = "/".join(
        # With the day of the judgement: restatements can move an anomaly away from its first day, and a
        # later one that begins there must not get the same id.
        [
            scope.aws_account_id,
            scope.service or "",
            judgement.currency,
            episode.direction,
            f"{episode.start}",
            f"{judgement.today}",
        ]
    )
    return Anomaly(
        id=uuid5(_NAMESPACE, identity),
        account_id=scope.account_id,
        service=scope.service,
        direction=episode.direction,
        state=AnomalyState.OPEN,
        severity=Severity.LOW,
        start_date=episode.start,
        last_date=episode.last,
        currency=judgement.currency,
        cost_basis=judgement.rule.cost_basis,
        expected=episode.expected,
        actual=episode.actual,
        peak=episode.peak,
    )


def _describe(known: Anomaly, episode: Episode, judgement: Judgement) -> Anomaly:
    """Return ``known`` with the days and amounts of the episode."""
    state, resolution = AnomalyState.OPEN, None
    if has_ended(episode.last, today=judgement.today, rule=judgement.rule):
        state, resolution = AnomalyState.RESOLVED, Resolution.ENDED
    baseline_days = judgement.rule.days_of_baseline(episode.start, judgement.first_day)
    return replace(
        known,
        state=state,
        resolution=resolution,
        severity=judgement.rule.severity(episode.actual - episode.expected, judgement.currency),
        start_date=episode.start,
        last_date=episode.last,
        currency=judgement.currency,
        cost_basis=judgement.rule.cost_basis,
        expected=episode.expected,
        actual=episode.actual,
        peak=episode.peak,
        lower=episode.lower,
        upper=episode.upper,
        score=episode.score,
        reason=episode.reason,
        words=in_words(episode, judgement.currency, baseline_days=baseline_days),
    )


def is_visible_part(of_service: Decimal, of_total: Decimal) -> bool:
    """Whether what moved one service can be what moved the total: it is a tenth of it or more."""
    return 10 * abs(of_service) >= abs(of_total)


def has_ended(last_date: date, *, today: date, rule: Rule) -> bool:
    """Whether enough settled days after ``last_date`` are normal for the anomaly to be over."""
    return last_date + timedelta(days=rule.merge_gap_days) < rule.last_settled_day(today)


def announced_since(today: date, rule: Rule) -> date:
    """Return the earliest last day of an anomaly that is not over yet."""
    return rule.last_settled_day(today) - timedelta(days=rule.merge_gap_days)


def _why_gone(known: Anomaly, judgement: Judgement) -> Resolution | None:
    """Return why an anomaly without an episode is over; None if these days do not tell."""
    if known.last_date < judgement.days.start:
        is_over = has_ended(known.last_date, today=judgement.today, rule=judgement.rule)
        return Resolution.ENDED if is_over else None
    return Resolution.RESTATED if known.start_date < judgement.days.end_exclusive else None


def _close(known: Anomaly, resolution: Resolution | None) -> Iterable[AnomalyChange]:
    is_open = known.state is AnomalyState.OPEN
    # Of one that is already resolved, only this can change: its days may turn out not to deviate.
    is_news = is_open or (not known.is_gone and resolution is not Resolution.ENDED)
    if resolution is None or not is_news:
        return
    closed = replace(known, state=AnomalyState.RESOLVED, resolution=resolution, revision=known.revision + 1)
    yield AnomalyChange(ChangeKind.RESOLVED if is_open else ChangeKind.UPDATED, closed)
