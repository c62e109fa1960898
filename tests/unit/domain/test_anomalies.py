"""The life of an anomaly in its single steps: what belongs together, what is over, what is gone."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from uuid import UUID

import pytest

from costbatch.domain.anomalies import (
    AnomalyState,
    ChangeKind,
    JudgedSeries,
    Judgement,
    Resolution,
    Scope,
    announced_since,
    close_of_removed,
    has_ended,
    judge_series,
    judged_from,
    reconcile,
)
from costbatch.domain.detection import Direction, Episode, JudgedDay, Rule, Severity
from costbatch.domain.expectations import SeriesDay
from tests.support.factories import day, days, make_anomaly, make_judged

RULE = Rule()
JUDGEMENT = Judgement(
    scope=Scope(account_id=1, aws_account_id="000000000001"),
    currency="USD",
    start=day(30),
    days=days(30, 60),
    today=day(60),
    rule=RULE,
)
OVER = make_anomaly(
    start_date=day(40), last_date=day(42), state=AnomalyState.RESOLVED, resolution=Resolution.ENDED
)


def episode(first: int, last: int, expected: int = 100, actual: int = 300) -> Episode:
    """Return an episode whose first and last day depart."""
    return Episode(tuple(make_judged(n, f"{expected}", f"{actual}") for n in sorted({first, last})))


def changes(*known_days: tuple[int, int], found: Episode | None = None) -> list[tuple[ChangeKind, int, int]]:
    """Hold open anomalies of these days against what was found; return each change with its days."""
    known = [
        make_anomaly(id=UUID(int=n), start_date=day(first), last_date=day(last))
        for n, (first, last) in enumerate(known_days, 1)
    ]
    return [
        (each.kind, (each.anomaly.start_date - day(0)).days, (each.anomaly.last_date - day(0)).days)
        for each in reconcile(known, [found] if found else [], judgement=JUDGEMENT)
    ]


@pytest.mark.parametrize(
    ("n", "judged", "is_included"),
    [
        (40, make_judged(40, "100", "300"), True),
        (41, make_judged(41, "100", "300", None), True),
        (41, make_judged(41, "100", "120", None), False),
        (42, make_judged(42, "100", "20"), False),
        (43, None, True),
        (44, make_judged(44, "100", "300"), False),
    ],
)
def test_of_its_days_an_anomaly_includes_those_outside_their_band_its_way(
    n: int, judged: JudgedDay | None, *, is_included: bool
) -> None:
    """Not the ordinary ones between them, nor those of a drop amid a spike; what was never judged counts.

    With the adaptive detector only its first days have a reason.
    """
    spike = make_anomaly(start_date=day(40), last_date=day(43))
    actual = judged.actual if judged else Decimal(100)
    assert spike.includes(SeriesDay(day(n), actual, judged)) is is_included


@pytest.mark.parametrize(
    ("first", "last", "is_new"),
    [(45, 55, False), (46, 58, True), (36, 41, False), (37, 38, False), (36, 37, True)],
)
def test_an_episode_within_reach_is_the_known_anomaly(first: int, last: int, *, is_new: bool) -> None:
    """Two ordinary days between are bridged on either side, three are not."""
    kinds = [each[0] for each in changes((41, 42), found=episode(first, last))]
    assert (kinds[0] is ChangeKind.DETECTED) is is_new


def test_an_anomaly_is_over_with_the_third_settled_ordinary_day() -> None:
    """Day 40 deviates, 41 to 43 do not, and 43 has settled on the morning of day 46."""
    assert [has_ended(day(40), today=day(n), rule=RULE) for n in (45, 46)] == [False, True]


def test_what_is_not_over_is_announced() -> None:
    """The earliest last day of an open anomaly is the first one that is announced."""
    since = announced_since(day(46), RULE)
    assert since == day(41)
    assert not has_ended(since, today=day(46), rule=RULE)


def test_a_drop_has_the_severity_of_its_difference() -> None:
    """Six hundred saved are medium, whatever the sum of both sides."""
    (change,) = reconcile([], [episode(58, 58, 900, 300)], judgement=JUDGEMENT)
    assert change.anomaly.severity is Severity.MEDIUM


def from_day(*known: tuple[int, int, AnomalyState], start: int = 50) -> date:
    """Return where judging begins, given these anomalies."""
    anomalies = [
        make_anomaly(id=UUID(int=n), start_date=day(first), last_date=day(last), state=state)
        for n, (first, last, state) in enumerate(known)
    ]
    return judged_from(anomalies, day(start), RULE)


def test_what_may_reach_into_the_changed_days_is_judged_from_its_beginning() -> None:
    """All that is open, what lies within the merge window, and what lies within that of those."""
    over, opened = AnomalyState.RESOLVED, AnomalyState.OPEN
    assert from_day() == day(50)
    assert from_day((40, 46, over)) == day(50)
    assert from_day((40, 47, over)) == day(40)
    assert from_day((20, 25, opened)) == day(20)
    assert from_day((30, 37, over), (40, 47, over)) == day(30)
    assert from_day((30, 36, over), (40, 47, over)) == day(40)
    assert from_day((60, 70, over)) == day(50)


@pytest.mark.parametrize(
    ("first", "last", "resolution"),
    [
        (30, 30, Resolution.RESTATED),
        (59, 59, Resolution.RESTATED),
        (29, 31, Resolution.RESTATED),
        (29, 29, Resolution.ENDED),
        (60, 60, None),
    ],
)
def test_why_an_anomaly_without_an_episode_is_gone(
    first: int, last: int, resolution: Resolution | None
) -> None:
    """In the judged days: AWS took it back; before them: over in time; after them: unknown."""
    known = make_anomaly(start_date=day(first), last_date=day(last))
    found = [each.anomaly.resolution for each in reconcile([known], [], judgement=JUDGEMENT)]
    assert found == ([resolution] if resolution else [])


def test_an_open_anomaly_before_the_judged_days_stays_open_until_it_is_over() -> None:
    """Unknown days do not end it early."""
    known = make_anomaly(start_date=day(29), last_date=day(29))
    assert reconcile([known], [], judgement=replace(JUDGEMENT, today=day(34))) == []


def test_two_anomalies_that_one_episode_joins_become_the_earlier_one() -> None:
    """It takes over all the days, here to their end; the later one is closed as merged."""
    assert changes((40, 41), (46, 47), found=episode(40, 47)) == [
        (ChangeKind.RESOLVED, 40, 47),
        (ChangeKind.RESOLVED, 46, 47),
    ]


def test_days_go_to_the_living_before_the_gone() -> None:
    """An anomaly that was restated or merged does not take the days of one that stands."""
    gone = make_anomaly(
        id=UUID(int=1),
        start_date=day(38),
        last_date=day(39),
        state=AnomalyState.RESOLVED,
        resolution=Resolution.RESTATED,
    )
    standing = make_anomaly(id=UUID(int=2), start_date=day(41), last_date=day(42))
    found = reconcile([gone, standing], [episode(41, 43)], judgement=JUDGEMENT)
    assert [(each.kind, each.anomaly.id.int) for each in found] == [(ChangeKind.RESOLVED, 2)]
    assert found[0].anomaly.resolution is Resolution.ENDED


def test_an_anomaly_that_is_over_changes_only_by_turning_out_to_be_none() -> None:
    """Taken back, it is updated once; what is gone never changes for want of an episode."""
    (change,) = reconcile([OVER], [], judgement=JUDGEMENT)
    assert (change.kind, change.anomaly.resolution) == (ChangeKind.UPDATED, Resolution.RESTATED)
    assert change.anomaly.revision == OVER.revision + 1
    long_ago = replace(OVER, start_date=day(10), last_date=day(12))
    for known in (change.anomaly, long_ago):
        assert reconcile([known], [], judgement=JUDGEMENT) == []


def test_an_anomaly_of_a_removed_account_goes_on_if_the_account_comes_back() -> None:
    """It opens again with its days, is over without an event, or turns out to be none."""
    known = make_anomaly(start_date=day(40), last_date=day(41))
    ended = make_anomaly(state=AnomalyState.RESOLVED, resolution=Resolution.ENDED)
    (change,) = close_of_removed([known, ended])
    assert (change.kind, change.anomaly.state) == (ChangeKind.RESOLVED, AnomalyState.RESOLVED)
    assert (change.anomaly.resolution, change.anomaly.revision) == (Resolution.REMOVED, known.revision + 1)
    judgement = replace(JUDGEMENT, today=day(43))
    (again,) = reconcile([change.anomaly], [episode(40, 42)], judgement=judgement)
    assert (again.kind, again.anomaly.state) == (ChangeKind.UPDATED, AnomalyState.OPEN)
    (none,) = reconcile([change.anomaly], [], judgement=JUDGEMENT)
    assert (none.kind, none.anomaly.resolution) == (ChangeKind.UPDATED, Resolution.RESTATED)
    long_ago = replace(change.anomaly, start_date=day(10), last_date=day(12))
    assert reconcile([long_ago], [], judgement=JUDGEMENT) == []


def test_what_is_judged_no_longer_is_closed() -> None:
    """Without a series every open anomaly of the scope ends, of either direction."""
    known = [
        make_anomaly(id=UUID(int=1)),
        make_anomaly(id=UUID(int=2), direction=Direction.DROP),
        replace(OVER, id=UUID(int=3), start_date=day(10), last_date=day(12)),
    ]
    found = judge_series(None, known, JUDGEMENT)
    assert sorted(each.anomaly.id.int for each in found) == [1, 2]
    assert {each.kind for each in found} == {ChangeKind.RESOLVED}


def test_the_deviation_is_a_ratio_and_nothing_where_nothing_was_expected() -> None:
    """A percentage is shown only if there is one."""
    assert make_anomaly(expected=Decimal(-100), actual=Decimal(-150)).deviation_ratio == Decimal("-0.5")
    assert make_anomaly(expected=Decimal(0)).deviation_ratio is None


@pytest.mark.parametrize(("first_day", "baseline"), [(31, "9 days"), (10, "30 days"), (39, "1 day")])
def test_a_young_account_is_compared_with_the_days_that_it_has(first_day: int, baseline: str) -> None:
    """The sentence names as many days as the mean covers."""
    judged = JudgedSeries(day(first_day), [make_judged(40, "100", "300")])
    (change,) = judge_series(judged, [], replace(JUDGEMENT, today=day(41)))
    assert f"from the mean of the {baseline} before" in change.anomaly.words
