"""Gathers what a run did from the database, so that every process of the run tells the same."""

from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from costbatch.application.collect.series import load_amounts
from costbatch.application.forecast import forecast_totals
from costbatch.application.ports import Transaction
from costbatch.domain.anomalies import TREND_DAYS, Anomaly, AnomalyFilter, AnomalyState
from costbatch.domain.answers import Standing, answer_to, standing
from costbatch.domain.arrival import arrival_of, learned_days
from costbatch.domain.collect_report import AnomalyView, Collection, CollectReport
from costbatch.domain.compared_costs import CostSummary
from costbatch.domain.detection import Rule
from costbatch.domain.overrides import RuleOf
from costbatch.domain.periods import ONE_DAY, DateRange
from costbatch.domain.runs import Run

# A person reads the largest.
_MOST_ANOMALIES = 50
# With more accounts than this, a list of all is too long to read: only those that need attention are listed.
_MOST_ACCOUNTS = 40
# How a day arrives is learned from so much that it takes no time at night.
_LEARNED_ACCOUNTS, _LEARNED_DAYS = 10, 28


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """What a report contains in addition to the counts.

    every_account: each account and open anomaly, however many. costs: the cost of each account.
    forecasts: of the month, in total.
    """

    every_account: bool = False
    costs: bool = False
    forecasts: bool = False


def brief_report(tx: Transaction, run: Run, *, rule_of: RuleOf, now: datetime) -> CollectReport:
    """Return the counts of a run: enough for its event."""
    return CollectReport(
        run=tx.runs.load(run),
        counts=tx.items.counts(run),
        collected=tx.collections.counts(run),
        reported_at=now,
        # Its summary has the anomalies that it reported.
        event_counts=tx.outbox.counts_of_run(run.id),
        anomaly_counts=_standings(tx, run, rule_of),
    )


def full_report(
    tx: Transaction, run: Run, detail: Detail, *, rule: Rule, rule_of: RuleOf, now: datetime
) -> CollectReport:
    """Return everything about a run, with the open anomalies and what is asked for of single accounts."""
    report = brief_report(tx, run, rule_of=rule_of, now=now)
    told = [each for each in _open_anomalies(tx, run, rule_of) if each[1] is not Standing.SILENT]
    anomalies = told if detail.every_account else told[:_MOST_ANOMALIES]
    accounts = {account.id: account for account in tx.accounts.list_all()} if anomalies else {}
    detected = tx.anomalies.detected_by(run.id)
    asked = []
    for anomaly, _ in anomalies:
        end_exclusive = max(report.cost_date, anomaly.last_date) + ONE_DAY
        asked.append((anomaly, DateRange(end_exclusive - timedelta(days=TREND_DAYS), end_exclusive)))
    trends = load_amounts(tx, asked, rule)
    views = [
        AnomalyView(
            anomaly=anomaly,
            aws_account_id=accounts[anomaly.account_id].aws_account_id,
            account_name=accounts[anomaly.account_id].name,
            trend=trends[anomaly.id],
            is_new=anomaly.id in detected,
            standing=how,
        )
        for anomaly, how in anomalies
    ]
    most = None if detail.every_account else _MOST_ACCOUNTS
    collected_too = detail.every_account or report.counts.count() <= _MOST_ACCOUNTS
    records = tx.collections.of_run(run, kept_only=not collected_too)
    items = tx.items.records(run, succeeded_too=collected_too, also=records)
    return replace(
        report,
        collections=tuple(Collection(item=item, record=records.get(item.id)) for item in items),
        open_anomalies=tuple(views),
        cost_summary=_cost_summary(tx, report, rule, most=most),
        costs=tuple(tx.costs.cost_of_day(report.cost_date, rule)) if detail.costs else (),
        forecasts=tuple(forecast_totals(tx, run.today, rule)) if detail.forecasts else (),
    )


def _standings(tx: Transaction, run: Run, rule_of: RuleOf) -> dict[tuple[str, str, str], int]:
    """Return how many anomalies stand how, by (standing, severity, currency)."""
    counts = Counter(tx.anomalies.counts(run.request.aws_account_ids))
    for anomaly, how in _open_anomalies(tx, run, rule_of) if tx.answers.load() else ():
        if how is not Standing.OPEN:
            counts[Standing.OPEN.value, anomaly.severity.value, anomaly.currency] -= 1
            counts[how.value, anomaly.severity.value, anomaly.currency] += 1
    return dict(+counts)


def _open_anomalies(tx: Transaction, run: Run, rule_of: RuleOf) -> list[tuple[Anomaly, Standing]]:
    """Return the anomalies that are not over, the most severe first, and how each stands."""
    asked = run.request.aws_account_ids
    wanted = AnomalyFilter(states=[AnomalyState.OPEN], aws_account_ids=asked, active=True)
    found = tx.anomalies.list_matching(wanted)
    answers = tx.answers.load() if found else {}
    accounts = tx.accounts.list_all() if answers else ()
    rules = {account.id: rule_of(account) for account in accounts if account.id in answers}
    counting = {
        each.id: answer_to(each, answers[each.account_id], rules[each.account_id])
        for each in found
        if each.account_id in answers
    }
    return [(each, standing(each, counting.get(each.id))) for each in found]


def _cost_summary(tx: Transaction, report: CollectReport, rule: Rule, *, most: int | None) -> CostSummary:
    run = report.run
    summary = CostSummary(
        days=report.days,
        rule=rule,
        costs=tuple(tx.costs.compared_costs(run, report.days, rule, most=most)),
        is_settled=report.cost_date <= rule.last_settled_day(run.today),
    )
    largest = [cost.aws_account_id for cost in summary.costs if cost.aws_account_id][:_LEARNED_ACCOUNTS]
    if not (summary.is_incomplete and largest):
        return summary
    days = tx.ledger.arrivals(learned_days(run.today, _LEARNED_DAYS), rule, aws_account_ids=largest)
    currencies = sorted({cost.currency for cost in summary.costs})
    curves = [arrival_of(day for day in days if day.currency == currency) for currency in currencies]
    return replace(summary, arrivals=tuple(curve for curve in curves if curve))
