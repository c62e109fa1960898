"""The adaptive detector: a service's day against what its own past leads one to expect. Pure, deterministic.

One ``Detector`` per account and currency is shown each morning once, in order, and judges the days that it
saw then. It never sees a later day, so a longer history changes no earlier judgement.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from math import exp, inf, log, sqrt

from costbatch.domain.adaptive_answers import Allowance, Lesson, excused_ages, open_day
from costbatch.domain.adaptive_growth import find_leak
from costbatch.domain.adaptive_outage import OUTAGE, find_outage
from costbatch.domain.adaptive_past import LIKE, SETTLE_DAYS, WEEK, Band, Mark, floats, median
from costbatch.domain.adaptive_rule import AdaptiveRule, Excuse, Judgement, Sensitivity
from costbatch.domain.detection import Reason
from costbatch.domain.expectation import History
from costbatch.domain.job_services import runs_jobs

_NEWEST_FIRST = range(SETTLE_DAYS + 1)
# Days whose median is the account's daily cost.
_TOTAL_DAYS = 14
# An account needs this many days before a service that appears in it is news.
_ESTABLISHED_DAYS = 14
# A series needs this many days before one of them is judged.
_YOUNG_DAYS = 18
# Weeks whose largest deviations show how far the series usually varies, and from when two of them count.
_PEAK_WEEKS, _FIRST_WEEKS, _MATURE_WEEKS, _YEAR_WEEKS = 17, 3, 9, 52
# Services that burst: the second largest surprise is this large; a single day must then be twice as large.
_BURST, _BURST_MARGIN, _HEAVIEST_TAIL = 0.25, 2.0, 2.5
# As many other services that move by as much, or this part as much, make it the account's movement; a fee
# many times as large on the same day does not.
_ACCOUNT_WIDE, _SAME_MOVE, _SAME_GROWTH = 2, 0.4, 0.5
# A rise of as many times the level, or growth to as many times it, is reported even if other services of the
# account move too: no campaign multiplies all costs by so much.
_NO_CAMPAIGN = 3
# An account that begins grows as a whole, and to many times what it cost first.
_BEGINNING_DAYS = 100
# From a level below the usual one, a rise takes this many times the evidence.
_FROM_LOW = 1.7
# If there were this many earlier anomalies as large, they are usual for the service.
_NATURE = 2
_DORMANT_DAYS, _DORMANT_PAYMENTS = 28, 3
# An earlier fee is at least this part of a similar one. The first often covers part of a month, and those of
# a new account grow; from this many charges on, the size is the usual one.
_SAME_CHARGE, _FIRST_CHARGE, _CHARGES = 0.75, 0.3, 3
# A job this many times as large as any within a year is reported, once this many weeks are known.
_BEYOND_JOBS, _JOB_WEEKS = 2.5, 20


# Times the evidence that an alarm takes.
_EVIDENCE = {Sensitivity.LOW: 1.5, Sensitivity.MEDIUM: 1.2, Sensitivity.HIGH: 0.9}


@dataclass(frozen=True, slots=True)
class _Found:
    """A day that stands out: its age, why, and the evidence as a part of what an alarm takes."""

    age: int
    reason: Reason | None
    strength: float
    excuse: Excuse | None = None
    expected: float | None = None


@dataclass(slots=True)
class State:
    """Everything that a detector has learned: from the mornings up to that after day ``newest``.

    totals: what the account's newest settled days cost.
    """

    newest: date | None = None
    mornings: int = 0
    totals: list[float] = field(default_factory=list)
    histories: dict[str, History] = field(default_factory=dict)


class Detector:
    """Judges the services of one account in one currency, morning by morning, and keeps its state."""

    def __init__(
        self,
        rule: AdaptiveRule,
        currency: str,
        state: State | None = None,
        answered: Sequence[Allowance] = (),
    ) -> None:
        self._rule = rule
        self._answered = answered
        self._currency = currency
        self.state = state or State()
        self._floor = float(rule.floor_of(currency))
        self._evidence = _EVIDENCE[rule.sensitivity]
        self._account, self._runs_jobs = 0.0, False
        # By day, the newest one last: the cost from which a new service is news.
        self._news: list[float] = []
        self._moves: tuple[list[float], ...] = ()
        self._active: list[History] = []

    def judge(self, newest: date, readings: Mapping[str, Sequence[Decimal | float]]) -> list[Judgement]:
        """Return a judgement of each of the newest three days of each service that ever cost anything.

        readings: by service what its newest days cost as read this morning: ``newest``, the day before it,
        and the day before that, which is final. A service that is left out cost nothing.

        Raises:
            ValueError: the morning does not follow the last one.

        """
        state, histories = self.state, self.state.histories
        if state.newest is not None and newest != state.newest + timedelta(days=1):
            raise ValueError(f"the morning of {newest} does not follow that of {state.newest}")
        state.newest = newest
        state.mornings += 1
        # Rounded as they are remembered, so that a replay judges the same.
        seen = {service: floats([*map(float, amounts)]) for service, amounts in readings.items()}
        for service in sorted(seen.keys() - histories.keys()):
            if any(seen[service]):
                histories[service] = self._begin(newest, seen[service])
        nothing = floats([0.0] * len(_NEWEST_FIRST))
        days = {service: seen.get(service, nothing) for service in histories}
        # In one order: a sum of floats depends on it.
        ordered = [days[name] for name in sorted(days)]
        totals = [sum(each[age] for each in ordered) for age in reversed(_NEWEST_FIRST)]
        answered = [each for each in self._answered if each.counts_on(newest)]
        final = newest - timedelta(days=SETTLE_DAYS)
        is_known = all(each.lesson is not Lesson.UNKNOWN or each.first != final for each in answered)
        if is_known or not state.totals:
            state.totals = [*state.totals[1 - _TOTAL_DAYS :], totals[0]]
        self._account = median(state.totals)
        self._news = [self._visible_part(total) for total in totals]
        allowed = {
            service: [each for each in answered if each.service in {None, service}]
            for service in (histories if answered else ())
        }
        for service, history in histories.items():
            open_day(history, newest, days[service], allowed.get(service, ()))
        self._compare_services(days)
        judged = []
        for service, history in histories.items():
            last_rise, last_drop = history.last_rise, history.last_drop
            self._runs_jobs = runs_jobs(service)
            found = self._find(history, days[service])
            if service in allowed:
                ages = excused_ages(history, newest, days[service], allowed[service])
                found = [each for each in found if each.age not in ages]
                found += [_Found(age, None, 0.0, Excuse.ANSWERED) for age in ages]
                if not any(each.reason for each in found):
                    history.last_rise, history.last_drop = last_rise, last_drop
            judged += self._judge_days(service, newest, history, days[service], found)
        return judged

    @property
    def judges_from(self) -> date | None:
        """The day from which on services that cost something from the first morning on are judged.

        None: they are judged already, or nothing ever cost anything.
        """
        state, young = self.state, _YOUNG_DAYS + len(_NEWEST_FIRST)
        if state.newest is None or state.mornings >= young or not state.histories:
            return None
        return state.newest + timedelta(days=young - state.mornings)

    @staticmethod
    def _begin(newest: date, amounts: Sequence[float]) -> History:
        """Return the history of a service whose first cost is among the newest days."""
        first = max(age for age in _NEWEST_FIRST if amounts[age])
        history = History(newest - timedelta(days=first))
        for age in range(first, 0, -1):
            history.open_day(newest - timedelta(days=age))
        return history

    def _visible_part(self, total: float) -> float:
        """Return the cost from which a service is a visible part of the account's: the floor or more.

        total: of the day; it counts if the account cost next to nothing on a day of the last two weeks.
        """
        account = self._account if min(self.state.totals) > self._floor else max(self._account, total)
        share = self._rule.new_share * account * self._evidence
        return max(self._floor, min(share, float(self._rule.high_impact.of(self._currency))))

    def _compare_services(self, days: Mapping[str, Sequence[float]]) -> None:
        """Remember which services moved on each of the newest days, to tell one service from the account."""
        self._moves = tuple([] for _ in _NEWEST_FIRST)
        self._active = []
        for service, history in self.state.histories.items():
            if history.levels and history.levels[-1] > self._floor / 3:
                self._active.append(history)
            if history.is_sparse:
                continue
            for age in _NEWEST_FIRST[: len(history.bands)]:
                band = history.bands[-1 - age]
                if band is None or history.marks[-1 - age] == Mark.SET_ASIDE:
                    continue
                rise = days[service][age] - band.expected
                if rise > max(3 * band.noise * band.scale, 0.15 * band.expected, self._floor / 20):
                    self._moves[age].append(rise / band.scale)

    def _find(self, history: History, amounts: Sequence[float]) -> list[_Found]:
        if len(history.bands) < _YOUNG_DAYS + len(_NEWEST_FIRST):
            return self._find_new(history, amounts)
        if history.is_sparse:
            return self._find_bursts(history, amounts)
        found = self._find_spikes(history, amounts)
        is_told = any(each.reason for each in found)
        if is_told:
            history.last_rise = len(history.amounts)
        drop = self._find_drop(history, amounts)
        # Jobs come and go: what grows is their number.
        growth = None if is_told or self._runs_jobs else self._find_growth(history, amounts)
        return [*found, *(each for each in (drop, growth) if each)]

    def _find_new(self, history: History, amounts: Sequence[float]) -> list[_Found]:
        """Judge a service whose own past is too short to tell what is usual."""
        found = []
        for age in _NEWEST_FIRST[: len(history.bands)]:
            index = len(history.bands) - 1 - age
            least = self._least_news(history, index, amounts[age])
            if amounts[age] >= least:
                history.marks[index] = Mark.ANOMALOUS
                found.append(_Found(age, Reason.NEW_SERVICE, amounts[age] / least))
        return found

    def _least_news(self, history: History, index: int, amount: float) -> float:
        """Return the amount from which a day of a young service is reported.

        Never if the account began with the service, nor if an earlier day cost a quarter of it. So a trial of
        cents is reported when it costs money, a service that was reported for little is reported again when
        it costs much, and one that grows slowly is not reported.
        """
        if self.state.mornings - len(history.bands) < _ESTABLISHED_DAYS:
            return inf
        # The two days before it belong to the same beginning.
        before = history.amounts[: max(0, index - SETTLE_DAYS)]
        # A service that grows slowly can cost several times as much after three days.
        times = LIKE if len(before) >= len(_NEWEST_FIRST) else LIKE**2
        if before and max(before) >= amount / times:
            return inf
        return self._news[index - len(history.bands)]

    def _find_spikes(self, history: History, amounts: Sequence[float]) -> list[_Found]:
        """Judge rises from the oldest of the three days on: by each day, and by all of them together."""
        rule, found = self._rule, []
        excess, certainty = 0.0, 0.0
        for count, age in enumerate(reversed(_NEWEST_FIRST), 1):
            index = len(history.bands) - 1 - age
            band = history.bands[index]
            if band is None or history.marks[index] == Mark.SET_ASIDE:
                continue
            rise = amounts[age] - band.expected
            # A rise that lasts costs as much every day: the less a day usually varies, the more it counts.
            deviation = band.noise * band.scale
            excess += rise / deviation**2
            certainty += 1 / deviation**2
            if rise < max(self._floor, rule.minimum_ratio * band.expected):
                continue
            one_day = rise / (rule.noise_multiple * self._evidence * deviation)
            three_days = excess / sqrt(certainty) / (rule.sum_multiple * self._evidence)
            if one_day < 1 and (count == 1 or three_days < 1 or rise < 2 * deviation):
                continue
            strength = max(one_day, three_days)
            excuse = self._excuse(history, index, band, amounts, age)
            if excuse is None and strength < _FROM_LOW and history.is_low:
                # A level that varies is often a little below the usual one: a rise from it looks too large.
                excuse = Excuse.USUAL_LEVEL
            if excuse is None:
                history.marks[index] = Mark.ANOMALOUS
            elif excuse is Excuse.ACCOUNT_WIDE and history.marks[index] == Mark.NORMAL:
                history.marks[index] = Mark.SHARED
            found.append(_Found(age, None if excuse else Reason.SPIKE, strength, excuse))
        return found

    def _excuse(
        self, history: History, index: int, band: Band, amounts: Sequence[float], age: int
    ) -> Excuse | None:
        """Return what else explains a rise: the account, or the series' own past."""
        amount, rise = amounts[age], amounts[age] - band.expected
        before = min(len(history.amounts), index - SETTLE_DAYS)
        least, most = _SAME_MOVE * rise / band.scale, rise / band.scale / _SAME_MOVE
        moved = sum(1 for move in self._moves[age] if least < move < most)
        day_before = history.error_before(index, amounts[age:])
        excuse = None
        surprise = self._surprise(history, history.peaks, before, day_before)
        run = history.run(index, amounts[age:])
        if run > rise / band.scale / 2:
            # What lasts is no charge of one day, and is compared with what lasted.
            is_recurring = history.has_precedent(index, rise, lasting=True)
            usual_run = self._surprise(history, history.runs, before, day_before)
            surprise = 0.0 if run >= usual_run > 0 else surprise
            is_nature = False
        else:
            # One charge of an earlier month explains one day of this month.
            days = history.days_on_end(index, rise, amounts[age:])
            is_recurring = history.has_precedent(index, rise, days=days)
            is_recurring |= days == 1 and history.marks[index] == Mark.RECURRING
            surprise = max(surprise, self._bursts_of_a_year(history, before))
            is_nature = history.earlier_alarms(before, amount) >= _NATURE
        if moved > _ACCOUNT_WIDE and rise < _NO_CAMPAIGN * history.levels[before]:
            excuse = Excuse.ACCOUNT_WIDE
        elif is_recurring:
            excuse = Excuse.RECURRING
        elif rise < surprise * band.scale:
            excuse = Excuse.USUAL_SURPRISE
        elif history.is_return(index, before, amount) or amount < 1.1 * history.usual_top(index, before):
            excuse = Excuse.USUAL_LEVEL
        elif is_nature:
            excuse = Excuse.NATURE
        elif self._is_a_job(rise, day_before * band.scale) and not self._exceeds_jobs(
            history, before, band, rise
        ):
            excuse = Excuse.JOB
        return excuse

    def _is_a_job(self, rise: float, day_before: float) -> bool:
        """Whether it may be one job: a single day so far, and less than the account costs."""
        return self._runs_jobs and 2 * day_before < rise < self._account

    @staticmethod
    def _exceeds_jobs(history: History, before: int, band: Band, rise: float) -> bool:
        """Whether a rise is far larger than those of all jobs of a year."""
        week = before // WEEK
        largest = max(history.peaks[max(0, week - _YEAR_WEEKS) : week], default=0.0)
        return week >= _JOB_WEEKS and rise > _BEYOND_JOBS * largest * band.scale

    def _bursts_of_a_year(self, history: History, before: int) -> float:
        """Return the relative rise of one day that the largest weekly peaks of a year explain."""
        week = before // WEEK
        peaks = sorted(history.peaks[max(_FIRST_WEEKS, week - _YEAR_WEEKS) : week])
        if len(peaks) < _MATURE_WEEKS:
            return 0.0
        return max(self._rule.surprise_multiple * peaks[-2], _BURST_MARGIN * peaks[-3])

    def _surprise(self, history: History, weekly: Sequence[float], before: int, day_before: float) -> float:
        """Return the relative rise that the series' own weekly peaks do not explain.

        The heavier the tail of the peaks, the wider the margin; a service that bursts must burst for two days
        or twice as far.
        """
        week = before // WEEK
        first = week - _PEAK_WEEKS
        if week > _PEAK_WEEKS - 6:
            first = max(first, _FIRST_WEEKS)  # the weekdays were not known yet
        peaks = sorted(weekly[max(0, first) : week])
        if not peaks:
            return 0.0
        margin: float = self._rule.surprise_multiple * self._evidence
        if len(peaks) < _MATURE_WEEKS:
            unsure: float = 1.5 ** ((_MATURE_WEEKS - len(peaks)) / 6)
            return margin * unsure * peaks[-1]
        second, fifth = peaks[-2], peaks[-5]
        if fifth > 0:
            margin = min(_HEAVIEST_TAIL, max(margin, sqrt(second / fifth)))
        if second > max(_BURST, 4 * history.noise) and day_before < 0.7 * second:
            margin = max(margin, _BURST_MARGIN)
        return margin * second

    def _find_drop(self, history: History, amounts: Sequence[float]) -> _Found | None:
        """Find an outage, and remember it if nothing explains it."""
        outage = find_outage(history, amounts, self._rule, self._evidence, self._floor)
        if outage is None or outage.excuse is not None:
            return outage and _Found(SETTLE_DAYS, None, outage.strength, outage.excuse)
        history.marks[-1 - SETTLE_DAYS] = Mark.ANOMALOUS
        history.last_drop = len(history.amounts)
        return _Found(SETTLE_DAYS, Reason.DROP, outage.strength)

    def _find_growth(self, history: History, amounts: Sequence[float]) -> _Found | None:
        """Find a leak: growth over four weeks that continues, beyond what the series and the account do."""
        growth = find_leak(history, amounts, self._rule, self._evidence, self._floor)
        if growth is None:
            return None
        ratio, least, level_before = growth
        expected = level_before * history.weights[history.weekdays[-1 - SETTLE_DAYS]]
        if amounts[SETTLE_DAYS] <= expected:
            return None  # such as a weekend without cost: a day that shows the growth tells it
        grown = sum(1 for other in self._active if other.growth - 1 > _SAME_GROWTH * (ratio - 1))
        strength = (ratio - 1) / (least - 1)
        is_beginning = self.state.mornings < _BEGINNING_DAYS
        if grown > _ACCOUNT_WIDE and (ratio < _NO_CAMPAIGN or is_beginning):
            return _Found(SETTLE_DAYS, None, strength, Excuse.ACCOUNT_WIDE, expected)
        history.last_rise = len(history.amounts)
        return _Found(SETTLE_DAYS, Reason.GROWTH, strength, None, expected)

    def _find_bursts(self, history: History, amounts: Sequence[float]) -> list[_Found]:
        """Judge a service that is used now and then: by the sizes of its earlier bursts."""
        found = []
        for age in reversed(_NEWEST_FIRST):
            index, amount = len(history.bands) - 1 - age, amounts[age]
            if amount < 2 * self._floor:
                continue
            limit, reason = self._burst_limit(history, index, amount, amounts)
            # What has gone on for most of a week is no burst any more.
            week = history.amounts[max(0, index - SETTLE_DAYS - WEEK) : index - SETTLE_DAYS]
            limit = max(limit, (1 + self._rule.minimum_ratio) * median(week or [0.0]))
            if amount <= limit:
                continue
            excuse = None
            charges = sum(map(bool, history.amounts[:index]))
            part = _FIRST_CHARGE if charges < _CHARGES else _SAME_CHARGE
            if history.has_precedent(index, amount, size=(part, LIKE)):
                excuse = Excuse.RECURRING
            elif history.earlier_alarms(index, amount) >= _NATURE:
                excuse = Excuse.NATURE
            elif self._is_a_job(amount, history.amount_before(index, amounts[age:])):
                excuse = Excuse.JOB
            else:
                history.marks[index] = Mark.ANOMALOUS
            found.append(_Found(age, None if excuse else reason, amount / max(limit, self._floor), excuse))
        return found

    def _burst_limit(
        self, history: History, index: int, amount: float, amounts: Sequence[float]
    ) -> tuple[float, Reason]:
        settled = history.amounts[:index]
        paid = [each for each in settled if each > 0]
        pairs = zip(settled, history.marks, strict=False)
        usual = [each for each, mark in pairs if each > 0 and mark != Mark.ANOMALOUS][-60:]
        idle = settled[-_DORMANT_DAYS - SETTLE_DAYS : -SETTLE_DAYS]
        if index < _DORMANT_DAYS and sum(map(bool, settled[: index - SETTLE_DAYS])) < _DORMANT_PAYMENTS:
            return self._least_news(history, index, amount), Reason.NEW_SERVICE
        if len(paid) < _DORMANT_PAYMENTS or not any(idle):
            # Use that comes and goes is the nature of a service; one or two stints long ago are not.
            stints = sum(1 for old, new in pairwise([0.0, *settled[:-SETTLE_DAYS]]) if new and not old)
            if stints <= _NATURE:
                return max(2 * self._floor, self._news[index - len(history.bands)]), Reason.DORMANT_SERVICE
        top = max(usual, default=0.0)
        logs = [log(each) for each in paid[-60:]]
        middle = median(logs)
        spread = max(0.2, 1.4826 * median([abs(each - middle) for each in logs]))
        sizes = exp(middle + 2.6 * self._evidence * spread * (1 + 3 / len(logs)))
        limit = max(self._rule.burst_multiple * self._evidence * top, sizes)
        if top < amount <= limit:
            # Three days that together are larger than any three before are one burst that lasts.
            known = [*history.amounts, amounts[1], amounts[0]]
            three = sum(known[max(0, index - 2) : index + 1])
            before = settled[: max(0, index - 2)]
            largest = max((sum(before[i - 2 : i + 1]) for i in range(2, len(before))), default=0.0)
            if three > max(amount, 1.6 * self._evidence * largest):
                limit = top
        return max(limit, (1 + self._rule.minimum_ratio) * top), Reason.BURST

    def _judge_days(
        self, service: str, newest: date, history: History, amounts: Sequence[float], found: list[_Found]
    ) -> list[Judgement]:
        by_age = {each.age: each for each in sorted(found, key=lambda each: each.reason is not None)}
        judged = []
        for age in _NEWEST_FIRST[: len(history.bands)]:
            day, band = newest - timedelta(days=age), history.bands[-1 - age] or self._news[-1 - age]
            judged.append(self._judgement(service, day, amounts[age], band, by_age.get(age)))
        return judged

    def _judgement(
        self, service: str, day: date, actual: float, band: Band | float, found: _Found | None
    ) -> Judgement:
        """Return what is said of a day. band: for a new service, the cost from which it is news."""
        if isinstance(band, float):
            expected, margin = 0.0, band
        else:
            noise = self._rule.noise_multiple * self._evidence * band.noise * band.scale
            expected = band.expected
            margin = max(self._floor, self._rule.minimum_ratio * expected, noise)
        if found is not None and found.expected is not None:
            expected = found.expected
            if found.reason is not None and actual > expected:
                # Up to the growth that is ordinary, and not how far a day strays.
                margin = (actual - expected) / found.strength
        upper, lower = expected + margin, max(0.0, expected - max(margin, (1 - OUTAGE) * expected))
        distance = (
            (actual - expected) / margin
            if actual > expected
            else (expected - actual) / max(expected - lower, margin)
        )
        score = distance / (1 + distance)
        if found is not None and found.reason is not None:
            score = max(score, found.strength / (1 + found.strength), 0.5)
        elif found is not None:
            score = min(score, 0.49)
        return Judgement(
            service,
            day,
            expected,
            lower,
            upper,
            actual,
            score,
            found.reason if found else None,
            found.excuse if found else None,
        )
