"""After a run: asks Cost Explorer which regions and usage types are behind its large anomalies.

One paid request for each, or a few if the response is long, counted and capped as those of the run. An
anomaly is asked about once, and once more on another night if that failed and may succeed then. If the cap
cut the response short, that does not count: it is asked about again, after all others, on a few nights, until
the cap leaves enough for it. No error here changes the status of the run.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from costbatch.application.collect.series import load_trend
from costbatch.application.jobs.budget import ApiBudget, Meter
from costbatch.application.jobs.retry import in_transaction
from costbatch.application.jobs.stopping import StopConditions
from costbatch.application.ports import Clock, Database, Transaction
from costbatch.application.sources import CauseSource
from costbatch.domain.accounts import NO_PROGRESS, Account, AccountStatus
from costbatch.domain.anomalies import Anomaly, AnomalyFilter, AnomalyState
from costbatch.domain.answers import answer_to
from costbatch.domain.causes import CausePolicy, CutShort, RootCause, find_root_cause, question_of
from costbatch.domain.collection import COLLECT
from costbatch.domain.credentials import Access
from costbatch.domain.detection import Rule
from costbatch.domain.events import anomaly_explained
from costbatch.domain.periods import DateRange, utc_day
from costbatch.domain.routing import Route
from costbatch.domain.runs import Run, RunRequest
from costbatch.errors import AccountError, BudgetSpent, ErrorKind, ResponseTooLongError
from costbatch.logs import get_logger

log = get_logger(__name__)

_MOST_ATTEMPTS = 2
# A cap that leaves too little so often does so every night, and each pays for what it cuts short.
_MOST_NIGHTS_CUT_SHORT = 4
# Other processes of the run ask about the others meanwhile; what one of them left is for another night.
_PAUSE = timedelta(hours=1)
_NEVER = CutShort(0, datetime.min.replace(tzinfo=UTC))


class Unexplained(NamedTuple):
    """An anomaly whose root cause is to be asked for, its account, and the days that are stored of it.

    cut_short: on how many nights the cap cut the response short.
    """

    anomaly: Anomaly
    account: Account
    stored: DateRange
    cut_short: CutShort = _NEVER


def list_unexplained(tx: Transaction, request: RunRequest, policy: CausePolicy) -> list[Unexplained]:
    """Return the large open anomalies without an answer and a root cause of the accounts of a run.

    The most severe and largest first; last those whose response the cap cut short, which would take what the
    others need, the one asked about longest ago first. Of an account that fails nothing is asked.
    """
    asked = AnomalyFilter(states=[AnomalyState.OPEN], aws_account_ids=request.aws_account_ids, active=True)
    found = tx.anomalies.list_matching(asked)
    large = [each for each in found if abs(each.impact) >= policy.minimum.of(each.currency)]
    settled = tx.causes.settled([each.id for each in large], most_attempts=_MOST_ATTEMPTS)
    unknown = [each for each in large if each.id not in settled]
    if not unknown:
        return []
    rows = {each.account_id for each in unknown}
    answers, progress = tx.answers.load(rows), tx.progress.load(COLLECT, rows)
    accounts = {each.id: each for each in tx.accounts.list_all([AccountStatus.ACTIVE])}
    unexplained = []
    for each in unknown:
        account, known = accounts.get(each.account_id), progress.get(each.account_id, NO_PROGRESS)
        if account is None or known.covered is None or known.failing is not None:
            continue
        if answer_to(each, answers.get(account.id, ()), policy.rule_of(account)) is None:
            unexplained.append(Unexplained(each, account, known.covered))
    cut_short = tx.causes.cut_short([each.anomaly.id for each in unexplained])
    unexplained = [each._replace(cut_short=cut_short.get(each.anomaly.id, _NEVER)) for each in unexplained]
    return sorted(unexplained, key=lambda each: each.cut_short.asked_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class RootCauses:
    """Finds the root causes of open anomalies without an answer.

    rule: which costs are compared. stopping: when no more of them are asked about, because events wait.
    """

    database: Database
    source: CauseSource
    rule: Rule
    policy: CausePolicy
    routes: tuple[Route, ...]
    clock: Clock
    stopping: StopConditions

    def find(self, run: Run) -> None:
        """Ask about each anomaly of the run's accounts that is large enough, in the order of the list.

        Raises:
            StorageError: the database is lost; what was found is stored.

        """

        def load(tx: Transaction) -> list[tuple[Unexplained, Access]]:
            unexplained = list_unexplained(tx, run.request, self.policy)
            if unexplained:
                # One that was resumed after the run began has no item that could count its requests.
                counted = tx.items.listed_of(run, {each.account.id for each in unexplained})
                unexplained = [each for each in unexplained if each.account.id in counted]
            accesses = tx.accounts.load_accesses(list({each.account for each in unexplained}))
            return [(each, accesses[each.account.id]) for each in unexplained if each.account.id in accesses]

        cases = in_transaction(self.database, load, stop=self.stopping.signal)
        for place, (each, access) in enumerate(cases):
            if self.stopping.reason is not None or not self._find_one(run, each, access):
                log.warning("root_causes_left_out", anomalies=len(cases) - place)
                return

    def _find_one(self, run: Run, each: Unexplained, access: Access) -> bool:
        """Ask about one anomaly; return whether there is money for the next one."""
        anomaly, account = each.anomaly, each.account
        about = {"aws_account_id": account.aws_account_id, "anomaly_id": str(anomaly.id)}
        budget = ApiBudget(self.policy.most_requests)

        def claim(tx: Transaction) -> bool:
            budget.learn(tx.items.api_requests(run))
            return not budget.is_spent and tx.causes.claim(
                anomaly.id, now=self.clock(), pause=_PAUSE, most_attempts=_MOST_ATTEMPTS
            )

        is_claimed = in_transaction(self.database, claim, stop=self.stopping.signal)
        if budget.is_spent:
            log.warning("api_cost_cap_reached", **about)
            return False
        if not is_claimed:
            return True
        meter = Meter(budget)
        found, problem, attempts = self._ask(each, access, meter, about)
        meter.close()

        def save(tx: Transaction) -> None:
            is_again = self._was_cut_short_today(each)
            if not tx.causes.save(anomaly.id, found, problem=problem, attempts=attempts, is_again=is_again):
                # Done twice: the first commit succeeded, and only its answer was lost.
                return
            tx.items.add_requests(run, account.id, meter.requests, unanswered=meter.unanswered)
            current = self._unanswered(tx, each)
            if found and found.causes and current:
                trend = load_trend(tx, account, current, each.stored, self.rule, today=run.today)
                event = anomaly_explained(current, account, trend, found, run_id=run.id, now=self.clock())
                tx.outbox.append([event], self.routes, account_id=account.id, run_id=run.id)

        in_transaction(self.database, save)
        if not attempts:
            log.warning("api_cost_cap_reached", **about)
            return False
        if problem:
            log.warning("root_cause_not_found", **about, reason=problem)
        else:
            log.info("root_cause_found", **about, causes=len(found.causes) if found else 0)
        return True

    def _unanswered(self, tx: Transaction, each: Unexplained) -> Anomaly | None:
        """Return the anomaly as it is now; None if it was resolved or answered while AWS was asked.

        Its event would fire again what has ended.
        """
        answers = tx.answers.load([each.account.id]).get(each.account.id, ())
        rule = self.policy.rule_of(each.account)
        for current in tx.anomalies.find(str(each.anomaly.id)):
            if current.state is AnomalyState.OPEN and answer_to(current, answers, rule) is None:
                return current
        return None

    def _was_cut_short_today(self, each: Unexplained) -> bool:
        """Whether another run of this UTC day counts already, so that runs by hand give nothing up."""
        return utc_day(each.cut_short.asked_at) == utc_day(self.clock())

    def _ask(
        self, each: Unexplained, access: Access, meter: Meter, about: Mapping[str, str]
    ) -> tuple[RootCause | None, str | None, int]:
        """Return the root cause, or why it is not known, and as how many attempts that counts.

        All if another night will not know it either, none if the cap cut the response short. No error here
        makes the account fail.
        """
        anomaly = each.anomaly
        nights = each.cut_short.times + (0 if self._was_cut_short_today(each) else 1)
        question = question_of(anomaly, self.rule.excluded_record_types)
        try:
            amounts = self.source.fetch_causes(access, question, meter)
        except BudgetSpent as error:
            if nights < _MOST_NIGHTS_CUT_SHORT:
                return None, str(error), 0
            problem = f"The cap on paid requests cut the response short on {nights} nights"
            return None, f"{problem}; it is not asked for again.", _MOST_ATTEMPTS
        except AccountError as error:
            return None, str(error), _MOST_ATTEMPTS if isinstance(error, ResponseTooLongError) else 1
        except Exception:
            log.exception("root_cause_crashed", **about)
            return None, ErrorKind.INTERNAL.advice, 1
        return find_root_cause(amounts, question, anomaly.direction), None, 1
