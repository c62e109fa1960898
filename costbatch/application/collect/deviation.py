"""The detector ``deviation``: a day against the mean of the days before it. It remembers nothing.

Fetched costs are in memory. Other costs are loaded from the database, for all accounts together.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from typing_extensions import override

from costbatch.application.collect.detector import Detector, Night, Replaced, Verdict
from costbatch.application.collect.known import Examined, days_to_judge, load_known
from costbatch.application.collect.series import AccountSeries, SeriesRequest, load_series
from costbatch.application.ports import Transaction
from costbatch.domain.accounts import Account
from costbatch.domain.anomalies import AnomalyChange, JudgedSeries, Judgement, Scope, judge_series
from costbatch.domain.detection import Rule, Series, explain, judge_days
from costbatch.domain.expectations import Expectation
from costbatch.domain.periods import ONE_DAY, DateRange
from costbatch.logs import get_logger

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviationDetector(Detector):
    """Judges each account's total, and each of its services if the rule says so."""

    rule: Rule

    @override
    def judge(self, tx: Transaction, accounts: Sequence[Replaced], night: Night) -> dict[int, Verdict]:
        examined = [Examined(each, self._touched_days(each)) for each in accounts]
        load_known(tx, examined, self.rule)
        lookback = timedelta(days=self.rule.baseline_days)
        asked = []
        for each in examined:
            days = days_to_judge(each.touched, each.known, self.rule, end=each.end(night.today))
            replaced = each.replaced
            history = DateRange(max(days.start - lookback, replaced.stored.start), days.end_exclusive)
            asked.append(
                SeriesRequest(each.account, replaced.fetched, replaced.totals, history, replaced.unknown)
            )
        series = load_series(tx, asked, self.rule)
        return {
            each.account.id: self._verdict(each, series[each.account.id], each.end(night.today))
            for each in examined
        }

    @override
    def learners(
        self, tx: Transaction, accounts: Collection[Account], newest: Mapping[int, date]
    ) -> set[int]:
        return set()

    def _verdict(self, each: Examined, series_of: AccountSeries, today: date) -> Verdict:
        """Judge each currency by itself, as if the account had no other one."""
        currencies = {*series_of.totals, *(anomaly.currency for anomaly in each.known)}
        changes: list[AnomalyChange] = []
        expectations: list[Expectation] = []
        for currency in sorted(currencies):
            known = [anomaly for anomaly in each.known if anomaly.currency == currency]
            days = days_to_judge(each.touched, known, self.rule, end=today)
            for service, series in self._series(each, series_of, currency).items():
                scope = Scope(
                    account_id=each.account.id,
                    aws_account_id=each.account.aws_account_id,
                    service=service,
                )
                judgement = Judgement(
                    scope=scope,
                    currency=currency,
                    start=each.touched.start,
                    days=days,
                    today=today,
                    rule=self.rule,
                )
                judged = None
                if series is not None:
                    judged = JudgedSeries(
                        series.first_day, judge_days(series, days, today=today, rule=self.rule)
                    )
                    # An anomaly that was edited by hand may reach beyond what is stored.
                    stored = each.replaced.stored
                    expectations += [
                        Expectation(service, currency, day) for day in judged.days if day.usage_date in stored
                    ]
                of_scope = [anomaly for anomaly in known if anomaly.service == service]
                changes += [
                    self._explained(change, series_of) for change in judge_series(judged, of_scope, judgement)
                ]
        if len(series_of.totals) > 1:
            self._log_unjudged(each, series_of)
        return Verdict(changes=changes, expectations=expectations, known=each.known)

    def _series(
        self, each: Examined, series_of: AccountSeries, currency: str
    ) -> dict[str | None, Series | None]:
        """Return the total, each service by the rule, and None for what is known and no longer judged."""
        found: dict[str | None, Series | None] = {
            anomaly.service: None for anomaly in each.known if anomaly.currency == currency
        }
        stored = each.replaced.stored
        found[None] = series_of.totals.get(currency) or Series(currency, stored.start, {})
        if self.rule.per_service:
            found.update(series_of.services(currency))
        return found

    def _log_unjudged(self, each: Examined, series_of: AccountSeries) -> None:
        """Log which currencies of an account are not judged, if it has others that are."""
        fetched = each.replaced.fetched
        last = fetched.window.last
        young = [series for series in series_of.totals.values() if series.baseline(last, self.rule) is None]
        for series in series_of.totals.values() if len(young) < len(series_of.totals) else ():
            about = {"aws_account_id": each.account.aws_account_id, "currency": series.currency}
            if series.last_day is not None and series.last_day in each.touched:
                log.warning("currency_replaced", **about, last_day=str(series.last_day))
            elif series in young and any(series.amounts.values()):
                judged_from = series.first_day + timedelta(days=max(self.rule.minimum_history_days, 1))
                log.warning("currency_not_judged_yet", **about, judged_from=str(judged_from))

    def _touched_days(self, replaced: Replaced) -> DateRange:
        """Return the days whose judgement may differ from the last one's.

        New and restated days, those that have one of them in their baseline, and those that were
        not settled when the account was judged before.
        """
        window, stored = replaced.fetched.window, replaced.stored
        newest = window.last
        if replaced.covered is not None:
            newest = min(newest, replaced.covered.end_exclusive)
        start = min([newest - timedelta(days=self.rule.settle_days + 1), *replaced.change.changed_dates])
        end_exclusive = window.end_exclusive + timedelta(days=self.rule.baseline_days)
        return DateRange(max(start, replaced.judged_from), min(end_exclusive, stored.end_exclusive))

    def _explained(self, change: AnomalyChange, series_of: AccountSeries) -> AnomalyChange:
        """Name the services behind a change of the account's total."""
        if change.episode is None or change.anomaly.service is not None:
            return change
        episode, lookback = change.episode, timedelta(days=self.rule.baseline_days)
        days = DateRange(episode.start - lookback, episode.last + ONE_DAY)
        explanation = explain(episode, series_of.services(change.anomaly.currency, days), rule=self.rule)
        return replace(change, anomaly=replace(change.anomaly, explanation=explanation))
