"""Checks the records of past runs: the newest run, accounts without recent data, undelivered events."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from costbatch.application.doctor.findings import Finding, ok, warning
from costbatch.application.doctor.ports import DatabaseHealth, NewestRun
from costbatch.application.ports import Database
from costbatch.domain.accounts import NO_PROGRESS, Account, AccountStatus, Progress
from costbatch.domain.collection import COLLECT
from costbatch.domain.periods import ONE_DAY, utc_day
from costbatch.domain.plural import many
from costbatch.domain.runs import RunStatus
from costbatch.errors import ErrorKind

_LONG = timedelta(days=2)
_MOST_SHOWN = 5
_STATES = {
    "succeeded": "collected",
    "failed": "failed",
    "skipped": "skipped",
    "pending": "pending",
    "running": "collecting",
}


def check_newest_run(health: DatabaseHealth, now: datetime) -> Finding:
    """Check how the newest run over all accounts ended."""
    run = health.newest_run(COLLECT)
    if run is None:
        return warning(
            "There has been no run over all accounts yet.",
            "Wait for the first night, or start one: "
            "`kubectl create job --from=cronjob/costbatch costbatch-manual-$(date +%s)`.",
        )
    found = _describe(run)
    if run.status is RunStatus.RUNNING and now - run.started_at > ONE_DAY:
        return warning(
            found,
            "It appears to have crashed. The next run picks up the remaining accounts; find the cause.",
        )
    if run.status in {RunStatus.FAILED, RunStatus.PARTIAL}:
        return warning(found, "Run `costbatch accounts list` to see which accounts failed and why.")
    if run.status is RunStatus.STOPPED:
        return warning(
            found,
            "It was stopped early. The next run picks up the remaining accounts; give the Job more time.",
        )
    if now - run.started_at > _LONG:
        return warning(
            found, "That is more than 2 days ago. Check that the CronJob is active and can start pods."
        )
    return ok(found)


def _describe(run: NewestRun) -> str:
    numbers = ((run.accounts.get(state), word) for state, word in _STATES.items())
    counts = ", ".join(f"{number:,} {word}" for number, word in numbers if number)
    ended = f" and ended {_instant(run.finished_at)}" if run.finished_at else ""
    return (
        f"The newest run over all accounts started {_instant(run.started_at)}{ended}; "
        f"it is {run.status} ({counts or 'no accounts'})."
    )


def check_accounts(database: Database, now: datetime) -> Finding:
    """Check that every active account was collected recently."""
    with database.transaction() as tx:
        progress = tx.progress.load(COLLECT)
        active = [
            (account, progress.get(account.id, NO_PROGRESS))
            for account in tx.accounts.list_all([AccountStatus.ACTIVE])
        ]
    if not active:
        return warning(
            "No account is active, so runs have nothing to do.",
            "Register one with `costbatch accounts add`, or resume one with `costbatch accounts resume`.",
        )
    late = [each for each in active if _is_late(*each, now)]
    if not late:
        return ok(f"{many(len(active), 'active account')}, all collected within the last 2 days.")
    lines = [f"{len(late):,} of {many(len(active), 'active account')} not collected for more than 2 days."]
    shown = late[:_MOST_SHOWN]
    for account, done in shown:
        stored = f"stored up to {done.covered.last}" if done.covered else "never collected"
        if failing := done.failing:
            lines.append(f"{account}: {stored}; {failing.kind} since {_instant(failing.since)}.")
        else:
            lines.append(f"{account}: {stored}; no failure is recorded.")
    if len(late) > _MOST_SHOWN:
        lines.append(f"And {len(late) - _MOST_SHOWN:,} more.")
    kinds = dict.fromkeys(done.failing.kind for _, done in shown if done.failing)
    advice = [f"{kind}: {ErrorKind(kind).advice}" for kind in kinds]
    if any(done.failing is None for _, done in shown):
        advice.append("Accounts without a recorded failure were in no run: check that the CronJob runs.")
    return warning("\n".join(lines), "\n".join(advice))


def _is_late(account: Account, progress: Progress, now: datetime) -> bool:
    if progress.covered is not None:
        return utc_day(now) - progress.covered.end_exclusive > _LONG
    return account.created_at is not None and now - account.created_at > _LONG


def check_events(health: DatabaseHealth, now: datetime, sinks: Sequence[str]) -> Finding:
    """Check that no event has been undelivered for more than a day."""
    waiting = health.events_before(now - ONE_DAY)
    if not waiting:
        return ok("No event has been undelivered for more than a day.")
    found = "\n".join(
        f"{many(events.number, 'event')} undelivered to {events.sink} since {_instant(events.oldest_at)}"
        + (f"; last error: {events.last_error}" if events.last_error else ".")
        for events in waiting
    )
    gone = [events.sink for events in waiting if events.sink not in sinks]
    if gone:
        return warning(
            found, f"Events are no longer delivered to {', '.join(gone)}: add it to COSTBATCH_SINKS."
        )
    return warning(found, "Check that the receiver is reachable; the next run tries again.")


def _instant(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M} UTC"
