"""The detector ``adaptive`` at night: what it remembers, the mornings that are new, and the anomalies.

Its memory is stored with the costs of each night. If it is missing, of another version, or no longer fits
the stored costs, it is learned from them again: morning by morning, as if each day had been complete at once.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import NamedTuple

from typing_extensions import override

from costbatch.application.collect.adaptive_verdicts import Judged, ServiceCosts, verdicts_of
from costbatch.application.collect.detector import Detector, Night, Replaced, Verdict
from costbatch.application.collect.series import DAYS_AT_ONCE, SeriesRequest, known_from, load_series
from costbatch.application.ports import Transaction
from costbatch.domain.accounts import Account
from costbatch.domain.adaptive_answers import Allowance, allowances, days_of_no_drop, unknown_days
from costbatch.domain.adaptive_days import (
    cleared_day,
    is_restated,
    judged_day,
)
from costbatch.domain.adaptive_memory import (
    Memory,
    MemoryUnreadableError,
    Recollection,
    mornings_of,
    version_of,
)
from costbatch.domain.adaptive_past import SETTLE_DAYS
from costbatch.domain.adaptive_rule import LEARNED_DAYS, AdaptiveRule
from costbatch.domain.answers import Answer
from costbatch.domain.costs import DayTotal
from costbatch.domain.detection import ZERO, JudgedDay, Rule, Series
from costbatch.domain.expectations import Expectation
from costbatch.domain.periods import ONE_DAY, DateRange
from costbatch.logs import get_logger

log = get_logger(__name__)

_SETTLING, _LEARNED = timedelta(days=SETTLE_DAYS), timedelta(days=LEARNED_DAYS)
# A currency without cost for so long, while another one had, is forgotten.
_QUIET = timedelta(days=35)
# If a memory does not know this many days that earlier nights stored, another detector judged meanwhile: what
# began and ended then is no news. Fewer can come late.
_UNKNOWN_DAYS = 7


class _Last(NamedTuple):
    """The last day to judge of a currency.

    away: days on which another one had replaced it: they are no zeros. spikes: days of these on which it cost
    much all the same.
    """

    day: date
    away: Collection[date] = ()
    spikes: Collection[date] = ()


@dataclass(frozen=True, slots=True)
class _Learning:
    """What is learned again of one account in one currency. costs: all that are stored.

    since: only days from here on may read differently; None: all of them.
    """

    each: Replaced
    currency: str
    costs: ServiceCosts
    answered: Sequence[Allowance]
    newest: date
    since: date | None

    def mornings(self, tx: Transaction, rule: Rule) -> DateRange | None:
        """The newest days of the mornings to replay; None if there is nothing to learn from."""
        first = min((day for by_day in self.costs.values() for day in by_day), default=None)
        if first is None or first > self.newest:
            return None
        start = max(self.each.stored.start, self.newest - _LEARNED)
        if first > start:
            first = known_from(tx, self.each.account, first, rule)
        return DateRange(max(first, start), self.newest + ONE_DAY)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptiveDetector(Detector):
    """Judges each service of each account. rule: which costs are compared, and when an anomaly is over."""

    rule: Rule
    adaptive: AdaptiveRule

    @override
    def judge(self, tx: Transaction, accounts: Sequence[Replaced], night: Night) -> dict[int, Verdict]:
        # A backfill of days apart from all others says nothing about what is usual now.
        judged = [each for each in accounts if each.continues or not night.is_backfill]
        memories: defaultdict[int, dict[str, Memory]] = defaultdict(dict)
        for (row, currency), memory in tx.memories.load([each.account.id for each in judged]).items():
            memories[row][currency] = memory
        # All accounts together, but for those that are learned again: these have a hundred times the rows.
        wanted = {
            each.account.id: _days_needed(each, memories[each.account.id].values())
            for each in judged
            if memories[each.account.id]
        }
        totals = tx.costs.service_totals_of(wanted, self.rule) if wanted else {}
        answers = tx.answers.given([each.account.id for each in judged])
        found = {
            each.account.id: self._judge_account(
                tx,
                each,
                memories[each.account.id],
                _by_currency([totals.get(each.account.id, {})]),
                answers.get(each.account.id, ()),
            )
            for each in judged
        }
        tx.memories.save(
            {
                (row, currency): one.memory
                for row, mine in found.items()
                for currency, one in mine.items()
                if one.memory is not None
            }
        )
        verdicts = {each.account.id: Verdict() for each in accounts}
        return verdicts | verdicts_of(tx, judged, found, today=night.today, rule=self.rule)

    @override
    def learners(
        self, tx: Transaction, accounts: Collection[Account], newest: Mapping[int, date]
    ) -> set[int]:
        rows = [account.id for account in accounts]
        known = tx.memories.versions(rows)
        return {row for row in rows if row not in known or self._is_outdated(known[row], newest.get(row))}

    def _is_outdated(self, versions: Mapping[str, tuple[str, date]], newest: date | None) -> bool:
        """Whether a memory is of other settings, or another detector has judged since then."""
        learned = max(last for _, last in versions.values())
        if newest is not None and (newest - learned).days > _UNKNOWN_DAYS:
            return True
        return any(version != self._version(currency) for currency, (version, _) in versions.items())

    def _judge_account(
        self,
        tx: Transaction,
        each: Replaced,
        memories: Mapping[str, Memory],
        costs: Mapping[str, ServiceCosts],
        answers: Sequence[Answer],
    ) -> dict[str, Judged]:
        """Judge each currency of an account by itself. costs: of the days that are new to the memories."""
        history = None if memories else self._load_history(tx, each)
        last_days = self._last_days(tx, each, memories, costs if history is None else history)
        found = {}
        for currency, (newest, away, spikes) in last_days.items():
            since, mine = None, costs.get(currency, {})
            answered = allowances(answers, currency, self.rule)
            answered += [*unknown_days({*each.unknown, *away}), *days_of_no_drop(spikes)]
            recollection = self._recollect(each, currency, memories.get(currency), mine, answered)
            if recollection is not None:
                since = self._restated_since(each, recollection, mine, newest)
            if recollection is None or since is not None:
                history = self._load_history(tx, each) if history is None else history
                mine = history.get(currency, {})
                learning = _Learning(each, currency, mine, answered, newest, since)
                found[currency] = self._learn_again(tx, learning)
            elif recollection.newest is not None and recollection.newest <= newest:
                first = recollection.newest + (ONE_DAY if recollection.newest < newest else timedelta(0))
                # A currency that another one replaced may have ended before the first day to judge.
                start, end = min(max(first - _SETTLING, each.judged_from), newest), newest + ONE_DAY
                touched = DateRange(start, end)
                days = self._walk(each, recollection, mine, DateRange(first, end), touched)
                memory = recollection.memory(self._version(currency))
                judges_from = recollection.judges_from
                found[currency] = Judged(touched, mine, days, memory, judges_from=judges_from)
            else:
                # The days after its last one, of which earlier nights judged some, are of another one now.
                touched = DateRange(min(newest + ONE_DAY, each.stored.last), each.stored.end_exclusive)
                _clear(tx, each, currency, touched)
                found[currency] = Judged(touched, mine)
        young = {currency: one.judges_from for currency, one in found.items() if one.judges_from}
        # Only if the account has others that are judged.
        for currency, day in sorted(young.items()) if len(young) < len(found) else ():
            about = {"aws_account_id": each.account.aws_account_id, "currency": currency}
            log.warning("currency_not_judged_yet", **about, judged_from=str(day))
        return found

    def _last_days(
        self,
        tx: Transaction,
        each: Replaced,
        memories: Mapping[str, Memory],
        costs: Mapping[str, ServiceCosts],
    ) -> dict[str, _Last]:
        """Return the last day to judge of each currency: of one that another replaced, the last with cost.

        A currency that was quiet for long is forgotten, and is judged only if AWS took cost of it back.
        """
        currencies = memories.keys() | costs.keys()
        if len(currencies) <= 1:
            return dict.fromkeys(currencies, _Last(each.stored.last))
        series = self._newest_series(tx, each)
        if not series:
            # Those that lasted to the end: none of them took the place of another.
            end = max((memory.newest for memory in memories.values()), default=None)
            lasted = [name for name, memory in memories.items() if memory.newest == end]
            return dict.fromkeys(lasted, _Last(each.stored.last))
        found = {}
        for currency in sorted(currencies & (series.keys() | memories.keys())):
            newest = memories[currency].newest if currency in memories else date.min
            if currency in series:
                found[currency] = _last_of(series[currency], each.stored.last, self.rule)
                ended = series[currency].last_day or each.stored.last
            else:
                # Its days would be read every night from its end on. If it comes back, it is learned again.
                tx.memories.forget(each.account.id, currency)
                since = self._gone_since(each, currency, memories[currency], costs.get(currency, {}))
                if since is None:
                    continue
                ended = since - ONE_DAY
                found[currency] = _Last(ended)
            is_news = ended >= each.stored.last - _SETTLING or any(
                day == ended or ended < day <= newest for day in each.change.changed_dates
            )
            if is_news and ended < each.stored.last:
                about = {"aws_account_id": each.account.aws_account_id, "currency": currency}
                log.warning("currency_replaced", **about, last_day=str(ended))
        return found

    def _newest_series(self, tx: Transaction, each: Replaced) -> dict[str, Series]:
        """Return the series of the currencies that were not quiet for long, with the level before that."""
        series: Mapping[str, Series] = {}
        quiet = each.stored.last - _QUIET
        for start in (quiet - timedelta(days=self.rule.baseline_days), each.stored.last - _LEARNED):
            days = DateRange(max(each.stored.start, start), each.stored.end_exclusive)
            asked = SeriesRequest(each.account, each.fetched, each.totals, days)
            series = load_series(tx, [asked], self.rule)[each.account.id].totals
            if not any(one.last_day and one.last_day < days.start for one in series.values()):
                break
            # One was replaced long ago, and costs something again: it is to be known when it ended.
        return {name: one for name, one in series.items() if any(day >= quiet for day in one.amounts)}

    def _recollect(
        self,
        each: Replaced,
        currency: str,
        memory: Memory | None,
        costs: ServiceCosts,
        answered: Sequence[Allowance],
    ) -> Recollection | None:
        """Return what is remembered; None if it is missing, out of date or of days before a gap."""
        if memory is None or memory.version != self._version(currency):
            return None
        if not (each.covered and each.continues):
            return None
        newest, last = memory.newest, each.covered.last
        # Most nights know all days, and need not look at what each cost.
        if (last - newest).days > _UNKNOWN_DAYS:
            unknown = {day for by_day in costs.values() for day in by_day if newest < day <= last}
            if len(unknown) > _UNKNOWN_DAYS:
                return None
        try:
            return Recollection(self.adaptive, currency, memory, answered)
        except MemoryUnreadableError as error:
            about = {"aws_account_id": each.account.aws_account_id, "currency": currency}
            log.warning("detector_memory_unreadable", **about, reason=str(error))
            return None

    def _restated_since(
        self, each: Replaced, recollection: Recollection, costs: ServiceCosts, newest: date
    ) -> date | None:
        """Return the first changed day that was learned with an amount far from what is stored now."""
        floor = self.adaptive.floor_of(recollection.currency)
        for day in sorted(each.change.changed_dates):
            learned = recollection.final_amounts(day)
            # The newest morning reads its own days anyway.
            if learned is None or not newest - _LEARNED <= day < newest - _SETTLING:
                continue
            for service in learned.keys() | costs.keys():
                actual = max(costs.get(service, {}).get(day, ZERO), ZERO)
                amount = learned.get(service, 0.0)
                if amount is not None and is_restated(amount, actual, floor):
                    return day
        return None

    def _gone_since(self, each: Replaced, currency: str, memory: Memory, costs: ServiceCosts) -> date | None:
        """Return the first changed day that is remembered with cost and has none any more."""
        recollection = self._recollect(each, currency, memory, costs, ())
        if recollection is None:
            return None
        with_cost = {day for by_day in costs.values() for day, amount in by_day.items() if amount}
        # The costs of days before these were not loaded.
        changed = {day for day in each.change.changed_dates if day >= each.stored.last - _LEARNED}
        return min(filter(recollection.has_cost, changed - with_cost), default=None)

    def _learn_again(self, tx: Transaction, learning: _Learning) -> Judged:
        """Replay all that is stored, some mornings at a time: a long history has many services on each.

        Of days that stay ordinary the expectations are saved at once, and only the others are held.
        """
        each, currency, costs = learning.each, learning.currency, learning.costs
        mornings = learning.mornings(tx, self.rule)
        start = learning.since or (mornings.start if mornings else learning.newest)
        touched = DateRange(max(start, each.stored.start), each.stored.end_exclusive)
        _clear(tx, each, currency, touched)
        if mornings is None:
            tx.memories.forget(each.account.id, currency)
            return Judged(touched)
        log.info(
            "detector_learns_again",
            aws_account_id=each.account.aws_account_id,
            currency=currency,
            days=len(mornings),
        )
        judged = Judged(touched, costs, is_history=learning.since is None)
        held: defaultdict[str, dict[date, JudgedDay]] = defaultdict(dict)
        for part in mornings.parts(DAYS_AT_ONCE):
            recollection = Recollection(self.adaptive, currency, judged.memory, learning.answered)
            settled = []
            for service, days in self._walk(each, recollection, costs, part, judged.touched).items():
                for day in days:
                    if day.reason or day.is_outside:
                        held[service][day.usage_date] = day
                    else:
                        held[service].pop(day.usage_date, None)
                        settled.append(Expectation(service, currency, day))
            tx.expectations.save({each.account.id: settled})
            judged.memory = recollection.memory(self._version(currency)).following(judged.memory)
            judged.judges_from = recollection.judges_from
        judged.days = {service: [*days.values()] for service, days in held.items() if days}
        return judged

    def _walk(
        self,
        each: Replaced,
        recollection: Recollection,
        costs: ServiceCosts,
        newest_days: DateRange,
        touched: DateRange,
    ) -> Mapping[str, Sequence[JudgedDay]]:
        """Show some mornings, named by their newest days; return what was said last of each day touched."""
        judged: defaultdict[str, list[JudgedDay]] = defaultdict(list)
        for one in recollection.walk(mornings_of(costs, newest_days), turn=each.account.id):
            if one.usage_date in touched:
                actual = costs.get(one.service, {}).get(one.usage_date, ZERO)
                judged[one.service].append(judged_day(one, actual))
        return judged

    def _version(self, currency: str) -> str:
        compared = self.rule.cost_basis, sorted(self.rule.excluded_record_types)
        return version_of(self.adaptive, currency, *compared)

    def _load_history(self, tx: Transaction, each: Replaced) -> Mapping[str, ServiceCosts]:
        days = DateRange(max(each.stored.start, each.stored.last - _LEARNED), each.stored.end_exclusive)
        row = each.account.id
        return _by_currency(
            tx.costs.service_totals_of({row: part}, self.rule)[row] for part in days.parts(DAYS_AT_ONCE)
        )


def _last_of(series: Series, newest: date, rule: Rule) -> _Last:
    """Return the last day to judge of a currency, by what it cost on the newest days."""
    if series.last_day is None:
        return _Last(newest, series.unknown)
    spikes = series.tail_spikes(rule).keys()
    last = max([series.last_day, *spikes])
    after = {*DateRange(series.last_day, last + ONE_DAY)} - {series.last_day}
    return _Last(last, {*series.unknown, *after} - spikes, spikes)


def _clear(tx: Transaction, each: Replaced, currency: str, touched: DateRange) -> None:
    """Clear what was said of these days.

    Those before the first cost of a service, or after the last one of a currency, are not judged again.
    """
    row = each.account.id
    cleared = [
        Expectation(service, currency, cleared_day(day))
        for service, mine, day in tx.expectations.load_outside({row: touched.start}).get(row, ())
        if service is not None and mine == currency and day.usage_date in touched
    ]
    tx.expectations.save({row: cleared})


def _days_needed(each: Replaced, memories: Iterable[Memory]) -> DateRange:
    """Return the days that a night with a memory looks at: the new ones, and those that were restated."""
    newest = each.stored.last
    oldest = [min(newest, memory.newest) - _SETTLING for memory in memories]
    changed = [day for day in each.change.changed_dates if day >= newest - _LEARNED]
    return DateRange(max(min([*oldest, *changed]), each.stored.start), each.stored.end_exclusive)


def _by_currency(parts: Iterable[Mapping[str, Sequence[DayTotal]]]) -> Mapping[str, ServiceCosts]:
    """Join the costs of each service, which come in parts that are let go one after the other."""
    found: dict[str, dict[str, dict[date, Decimal]]] = {}
    for totals in parts:
        for service, days in totals.items():
            for day, currency, amount in days:
                found.setdefault(currency, {}).setdefault(service, {})[day] = amount
    return found
