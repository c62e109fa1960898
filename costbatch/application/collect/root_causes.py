"""After a run: asks Cost Explorer which regions and usage types are behind its large anomalies.

One paid request for each, counted and capped as those of the run. An anomaly is asked about once, and once
more on another night if that failed. No error here changes the status of the run.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Event as Signal

from costbatch.application.collect.series import load_trend
from costbatch.application.jobs.budget import ApiBudget, Meter
from costbatch.application.jobs.retry import in_transaction
from costbatch.application.ports import Clock, Database, Transaction
from costbatch.application.sources import CauseSource
from costbatch.domain.accounts import AccountStatus, Progress
from costbatch.domain.anomalies import Anomaly, AnomalyFilter, AnomalyState
from costbatch.domain.answers import answer_to
from costbatch.domain.causes import RootCause, find_root_cause, question_of
from costbatch.domain.collection import COLLECT
from costbatch.domain.credentials import Access
from costbatch.domain.detection import Rule
from costbatch.domain.events import anomaly_explained
from costbatch.domain.money import Limit
from costbatch.domain.overrides import RuleOf
from costbatch.domain.periods import DateRange
from costbatch.domain.routing import Route
from costbatch.domain.runs import Run
from costbatch.errors import AccountError, BudgetSpent, ErrorKind
from costbatch.logs import get_logger

log = get_logger(__name__)

_MOST_ATTEMPTS = 2
# Other processes of the run ask about the others meanwhile; what one of them left is for another night.
_PAUSE = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class _Case:
    """An anomaly without a root cause, and how to reach its account."""

    anomaly: Anomaly
    access: Access
    stored: DateRange


@dataclass(frozen=True, slots=True, kw_only=True)
class RootCauses:
    """Finds the root causes of open anomalies without an answer.

    rule: which costs are compared. rule_of: says what is at the level of an answer. minimum: the smallest
    difference worth a request, by currency. most_requests: the cap of the whole run.
    """

    database: Database
    source: CauseSource
    rule: Rule
    rule_of: RuleOf
    minimum: Limit
    routes: tuple[Route, ...]
    clock: Clock
    most_requests: int | None = None
    stop: Signal = field(default_factory=Signal)

    def find(self, run: Run) -> None:
        """Ask about each anomaly of the run's accounts that is large enough, the largest first.

        Raises:
            StorageError: the database is lost; what was found is stored.

        """
        cases = in_transaction(self.database, lambda tx: list(self._cases(tx, run)))
        for place, case in enumerate(cases):
            if self.stop.is_set() or not self._find_one(run, case):
                log.warning("root_causes_left_out", anomalies=len(cases) - place)
                return

    def _cases(self, tx: Transaction, run: Run) -> Iterator[_Case]:
        asked = AnomalyFilter(states=[AnomalyState.OPEN], aws_account_ids=run.request.aws_account_ids)
        large = [
            each
            for each in tx.anomalies.list_matching(asked)
            if abs(each.impact) >= self.minimum.of(each.currency)
        ]
        settled = tx.causes.settled([each.id for each in large], most_attempts=_MOST_ATTEMPTS)
        unknown = [each for each in large if each.id not in settled]
        if not unknown:
            return
        rows = {each.account_id for each in unknown}
        answers, progress = tx.answers.load(rows), tx.progress.load(COLLECT, rows)
        accounts = [each for each in tx.accounts.list_all([AccountStatus.ACTIVE]) if each.id in rows]
        accesses = tx.accounts.load_accesses(accounts)
        for each in unknown:
            access, stored = accesses.get(each.account_id), _readable(progress.get(each.account_id))
            if access is None or stored is None:
                continue
            rule = self.rule_of(access.account)
            if answer_to(each, answers.get(each.account_id, ()), rule) is None:
                yield _Case(each, access, stored)

    def _find_one(self, run: Run, case: _Case) -> bool:
        """Ask about one anomaly; return whether there is money for the next one."""
        anomaly, about = case.anomaly, _about(case)
        budget = ApiBudget(self.most_requests)

        def claim(tx: Transaction) -> bool:
            budget.learn(tx.items.api_requests(run))
            return not budget.is_spent and tx.causes.claim(
                anomaly.id, now=self.clock(), pause=_PAUSE, most_attempts=_MOST_ATTEMPTS
            )

        is_claimed = in_transaction(self.database, claim)
        if budget.is_spent:
            log.warning("api_cost_cap_reached", **about)
            return False
        if not is_claimed:
            return True
        meter = Meter(budget)
        found, problem = self._ask(case, meter)
        meter.close()

        def save(tx: Transaction) -> None:
            tx.causes.save(anomaly.id, found, problem=problem)
            tx.items.add_requests(run, anomaly.account_id, meter.requests, unanswered=meter.unanswered)
            if found and found.causes:
                account = case.access.account
                trend = load_trend(tx, account, anomaly, case.stored, self.rule, today=run.today)
                event = anomaly_explained(anomaly, account, trend, found, run_id=run.id, now=self.clock())
                tx.outbox.append([event], self.routes, account_id=anomaly.account_id, run_id=run.id)

        in_transaction(self.database, save)
        if problem:
            log.warning("root_cause_not_found", **about, reason=problem)
        else:
            log.info("root_cause_found", **about, causes=len(found.causes) if found else 0)
        return True

    def _ask(self, case: _Case, meter: Meter) -> tuple[RootCause | None, str | None]:
        """Return the root cause, or why it is not known; no error here makes the account fail."""
        question = question_of(case.anomaly, self.rule.excluded_record_types)
        try:
            amounts = self.source.fetch_causes(case.access, question, meter)
        except (AccountError, BudgetSpent) as error:
            return None, str(error)
        except Exception:
            log.exception("root_cause_crashed", **_about(case))
            return None, ErrorKind.INTERNAL.advice
        return find_root_cause(amounts, question, case.anomaly.direction), None


def _readable(progress: Progress | None) -> DateRange | None:
    """Return the days that are stored of an account that does not fail."""
    return progress.covered if progress and progress.failing is None else None


def _about(case: _Case) -> dict[str, str]:
    return {"aws_account_id": case.access.account.aws_account_id, "anomaly_id": str(case.anomaly.id)}
