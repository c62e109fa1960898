"""Checks the records of past runs: the newest run, accounts without recent data, undelivered events."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from costbatch.application.doctor.findings import LONG, Finding, ok, warning
from costbatch.application.doctor.ports import DatabaseHealth, NewestRun, SinkHealth
from costbatch.application.ports import Database
from costbatch.domain.accounts import NO_PROGRESS, Account, AccountStatus, failing_since_added
from costbatch.domain.collect_report import WORDS as COLLECT_WORDS
from costbatch.domain.collection import COLLECT
from costbatch.domain.deliveries import Backlog
from costbatch.domain.discover_report import WORDS as DISCOVER_WORDS
from costbatch.domain.discovery import DISCOVER
from costbatch.domain.periods import ONE_DAY, utc_day
from costbatch.domain.plural import many
from costbatch.domain.reports import JobWords
from costbatch.domain.runs import ItemState, RunStatus, SkipReason

_MOST_SHOWN = 5
# A job that one need not run counts as switched off after this; before, it may as well be broken.
_SWITCHED_OFF = timedelta(days=30)
_LEFT_OUT = (
    "The cap on API cost left accounts out. The next run begins with them; if it leaves them out night after "
    "night, raise COSTBATCH_MAX_API_COST_USD, or run once with a larger --max-api-cost."
)
_STATES = (
    ItemState.SUCCEEDED,
    ItemState.FAILED,
    ItemState.SKIPPED,
    ItemState.PENDING,
    ItemState.RUNNING,
)


def check_newest_run(health: DatabaseHealth, now: datetime) -> Finding:
    """Check how the newest run of the cost job over all accounts ended."""
    run = health.newest_run(COLLECT)
    if run is None:
        return warning(
            "There has been no run over all accounts yet.",
            "Wait for the first night, or start one: "
            "`kubectl create job --from=cronjob/costbatch costbatch-manual-$(date +%s)`.",
        )
    return _judge(
        run, COLLECT_WORDS, "Run `costbatch accounts list` to see which accounts failed and why.", now
    )


def check_newest_discovery(health: DatabaseHealth, now: datetime) -> Finding:
    """Check how the newest run of the discovery job over all accounts ended, if it is used."""
    run = newest_used(health, DISCOVER, now)
    if run is None:
        return ok(f"Discovery is not in use: {_unused(DISCOVER_WORDS)}")
    on_failure = (
        "The check `discovery` says which accounts failed and why, as does `costbatch accounts show ID`."
    )
    return _judge(run, DISCOVER_WORDS, on_failure, now, is_optional=True)


def check_job(database: Database, health: DatabaseHealth, words: JobWords, now: datetime) -> Finding:
    """Check a job that has no checks of its own: how its newest run ended, and which accounts fail."""
    run = newest_used(health, words.name, now)
    if run is None:
        return ok(f"The job is not in use: {_unused(words)}")
    on_failure = "`costbatch accounts show ID` says why an account fails."
    newest = _judge(run, words, on_failure, now, is_optional=True)
    with database.transaction() as tx:
        progress = tx.progress.load(words.name)
        active = tx.accounts.list_all([AccountStatus.ACTIVE])
    states = [(each, failing_since_added(each, progress.get(each.id, NO_PROGRESS))) for each in active]
    failing = [(account, why) for account, why in states if why]
    if not failing:
        return newest
    found = [newest.found, f"{len(failing):,} of {many(len(active), 'active account')} not {words.done}."]
    found += _first([f"{account}: {why.kind} since {_instant(why.since)}." for account, why in failing])
    advice = [newest.advice, _advice([why.kind for _, why in failing[:_MOST_SHOWN]], words)]
    return warning("\n".join(found), "\n".join(filter(None, advice)))


def newest_used(health: DatabaseHealth, job: str, now: datetime) -> NewestRun | None:
    """Return the newest run over all accounts of a job that one need not run; None if it is not in use."""
    # With options, too: its CronJob may have some, so that no run is without.
    run = health.newest_run(job, any_options=True)
    return run if run is not None and now - run.started_at <= _SWITCHED_OFF else None


def _unused(words: JobWords) -> str:
    days = _SWITCHED_OFF.days
    return f"there has been no run of `costbatch {words.name}` over all accounts in {days} days."


def _how_it_ends(run: NewestRun, now: datetime) -> str:
    """Return how a warning about a job ends that may have been switched off after its newest run."""
    if now - run.started_at <= LONG:
        return ""
    days = _SWITCHED_OFF.days
    return f"If you switched it off, it counts as not in use {days} days after its last run."


def _first(lines: Sequence[str]) -> list[str]:
    """Return the first lines, and how many more there are."""
    more = len(lines) - _MOST_SHOWN
    return [*lines[:_MOST_SHOWN], *([f"And {more:,} more."] if more > 0 else [])]


def _judge(
    run: NewestRun, words: JobWords, on_failure: str, now: datetime, *, is_optional: bool = False
) -> Finding:
    numbers = ((run.accounts.get(state), words.state(state)) for state in _STATES)
    counts = ", ".join(f"{number:,} {word}" for number, word in numbers if number)
    ended = f" and ended {_instant(run.finished_at)}" if run.finished_at else ""
    found = (
        f"The newest run over all accounts started {_instant(run.started_at)}{ended}; "
        f"it is {run.status} ({counts or 'no accounts'})."
    )
    if run.status is RunStatus.RUNNING and now - run.started_at > ONE_DAY:
        advice = "It appears to have crashed. The next run picks up the remaining accounts; find the cause."
    elif run.status in {RunStatus.FAILED, RunStatus.PARTIAL}:
        reasons = [_LEFT_OUT] if run.left_out else []
        if run.accounts.get(ItemState.FAILED) or not reasons:
            reasons.insert(0, on_failure)
        advice = "\n".join(reasons)
    elif run.status is RunStatus.STOPPED:
        advice = "It was stopped early. The next run picks up the remaining accounts; give the Job more time."
    elif now - run.started_at > LONG:
        advice = "That is more than 2 days ago. Check that the CronJob is active and can start pods."
    else:
        return ok(found)
    return warning(found, f"{advice} {_how_it_ends(run, now) if is_optional else ''}".strip())


def check_accounts(database: Database, health: DatabaseHealth, now: datetime) -> Finding:
    """Check that every active account was collected recently and does not fail; a new one has time."""
    with database.transaction() as tx:
        progress = tx.progress.load(COLLECT)
        active = tx.accounts.list_all([AccountStatus.ACTIVE])
    if not active:
        return warning(
            "No account is active, so runs have nothing to do.",
            "Register one with `costbatch accounts add`, or resume one with `costbatch accounts resume`.",
        )
    run = health.newest_run(COLLECT)
    left_out = run.left_out if run else ()
    late: list[tuple[str, str | None]] = []
    new = 0
    for account in active:
        known = progress.get(account.id, NO_PROGRESS)
        failing, end = failing_since_added(account, known), known.ordinary_end
        is_collected = end is not None and utc_day(now) - end <= LONG
        if failing is not None or not (is_collected or _is_new(account, now)):
            last = f"collected up to {end - ONE_DAY}" if end else "never collected"
            why, kind = "no failure is recorded", None
            if failing:
                why, kind = f"{failing.kind} since {_instant(failing.since)}", failing.kind
            elif account.id in left_out:
                why, kind = "left out by the cap on API cost", SkipReason.API_COST_CAP
            late.append((f"{account}: {last}; {why}.", kind))
        else:
            new += not is_collected
    lines = []
    if late:
        lines.append(f"{len(late):,} of {many(len(active), 'active account')} failing or not collected.")
    elif new < len(active):
        lines.append(f"{many(len(active) - new, 'active account')}, all collected within the last 2 days.")
    if new:
        lines.append(f"{many(new, 'account')}, added within the last 2 days and not collected yet.")
    lines += _first([line for line, _ in late])
    found, kinds = "\n".join(lines), [kind for _, kind in late[:_MOST_SHOWN]]
    return warning(found, _advice(kinds, COLLECT_WORDS)) if late else ok(found)


def _is_new(account: Account, now: datetime) -> bool:
    """Whether it was added, perhaps again after it was removed, so lately that it has time."""
    return account.created_at is not None and now - account.created_at <= LONG


def _advice(kinds: Sequence[str | None], words: JobWords) -> str:
    """Return what to do about these kinds of failure; None: of an account without a recorded failure."""
    failures = [kind for kind in dict.fromkeys(kinds) if kind not in {None, SkipReason.API_COST_CAP}]
    advice = [f"{kind}: {words.advice_for(kind)}" for kind in failures]
    if SkipReason.API_COST_CAP in kinds:
        advice.append(_LEFT_OUT)
    if None in kinds:
        advice.append("Accounts without a recorded failure were in no run: check that the CronJob runs.")
    return "\n".join(advice)


def check_discovered(database: Database, health: DatabaseHealth, now: datetime) -> Finding:
    """Check that every active account was discovered recently, in all its regions, if discovery is used."""
    # What is stored may be of a try with one account, or from before discovery was switched off.
    run = newest_used(health, DISCOVER, now)
    if run is None:
        return ok(f"Discovery is not in use: {_unused(DISCOVER_WORDS)}")
    # Then nothing was discovered since, which the check of that run warns of; here only what failed counts.
    is_stale = now - run.started_at > LONG
    with database.transaction() as tx:
        progress, stored = tx.progress.load(DISCOVER), tx.resources.discoveries()
        active = tx.accounts.list_all([AccountStatus.ACTIVE])
    unread = health.unread_regions(DISCOVER, now - LONG)
    late: list[tuple[str, list[str | None]]] = []
    new = 0
    for account in active:
        known = stored.get(account.id)
        failing = failing_since_added(account, progress.get(account.id, NO_PROGRESS))
        is_discovered = known is not None and now - known.discovered_at <= LONG
        if failing is not None or not (is_stale or is_discovered or _is_new(account, now)):
            last = f"discovered {_instant(known.discovered_at)}" if known else "never discovered"
            why = f"{failing.kind} since {_instant(failing.since)}" if failing else "no failure is recorded"
            late.append((f"{account}: {last}; {why}.", [failing.kind if failing else None]))
        elif regions := unread.get(account.id):
            names = ", ".join(f"{region} ({kind})" for region, kind in sorted(regions.items()))
            late.append((f"{account}: not read for more than 2 days: {names}.", [*regions.values()]))
        else:
            new += not is_discovered
    lines = []
    if late:
        of_all = f"{len(late):,} of {many(len(active), 'active account')}"
        lines.append(f"{of_all} not discovered, or not in every region.")
    elif is_stale:
        return ok("No account fails; there has been no run over all accounts in 2 days.")
    elif new < len(active):
        lines.append(f"{many(len(active) - new, 'active account')}, all discovered within the last 2 days.")
    if new and not is_stale:
        lines.append(f"{many(new, 'account')}, added within the last 2 days and not discovered yet.")
    lines += _first([line for line, _ in late])
    found, kinds = "\n".join(lines), [kind for _, kinds in late[:_MOST_SHOWN] for kind in kinds]
    advice = filter(None, [_advice(kinds, DISCOVER_WORDS), _how_it_ends(run, now)])
    return warning(found, "\n".join(advice)) if late else ok(found)


def check_events(health: DatabaseHealth, now: datetime, sinks: Sequence[str]) -> Finding:
    """Check that no event has been undelivered for more than a day, nor given up; describe every sink."""
    known = {each.sink: each for each in health.sinks()}
    found = [known.get(sink, SinkHealth(sink=sink)) for sink in sinks]
    gone = [each for each in known.values() if each.sink not in sinks and each.backlog != Backlog()]
    lines = "\n".join(map(_describe_sink, [*found, *gone])) or "No sink is configured."
    advice = [
        "Check that the receiver is reachable: `costbatch events test NAME` says what it answers."
        for each in found
        # An event from the future is from a clock that was ahead: how long it has waited is not known.
        if each.oldest_at is not None and abs(now - each.oldest_at) > ONE_DAY
    ][:1]
    if any(each.backlog.dead for each in found):
        advice.append("Deliver what was given up again: `costbatch events replay --state dead`.")
    advice += [
        f"{each.sink} is not configured any more: add it to COSTBATCH_SINKS or its file, "
        f"or run `costbatch events discard {each.sink}`."
        for each in gone
    ]
    return warning(lines, "\n".join(advice)) if advice else ok(lines)


def _describe_sink(sink: SinkHealth) -> str:
    last = (
        f"last accepted an event {_instant(sink.last_success_at)}" if sink.last_success_at else "never used"
    )
    waiting = []
    if sink.oldest_at is not None:
        since = _instant(sink.oldest_at)
        waiting.append(f"{many(sink.backlog.pending, 'event')} undelivered, the oldest since {since}")
    if sink.backlog.dead:
        waiting.append(f"{many(sink.backlog.dead, 'event')} given up")
    error = f"; last error: {sink.last_error.rstrip('.')}" if sink.last_error else ""
    return f"{sink.sink}: {'; '.join([last, *waiting])}{error}."


def _instant(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M} UTC"
