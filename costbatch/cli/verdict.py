"""How a run ended, in one sentence: first and last for people, and last in a log whatever was printed."""

import shlex
from collections import Counter

from costbatch.cli.output import many
from costbatch.domain.outcomes import CollectionState, RunRequest, RunStatus, StopReason
from costbatch.domain.reports import RunReport


def verdict(report: RunReport) -> str:
    """Return how the run ended."""
    tally = report.tally
    accounts = many(tally.count(), "account")
    unfinished = tally.count(CollectionState.PENDING, CollectionState.COLLECTING)
    missing = tally.count() - tally.count(CollectionState.COLLECTED)
    collected = f"COLLECTED {accounts}" if tally.count() else "NOTHING TO DO: no account to collect"
    at = " at its deadline" if report.run.stopped_by is StopReason.DEADLINE else ""
    sentences = {
        RunStatus.COMPLETED: collected,
        RunStatus.PARTIAL: f"PARTIAL: {missing:,} of {accounts} NOT COLLECTED",
        RunStatus.FAILED: f"FAILED: NONE of {accounts} was collected",
        RunStatus.STOPPED: f"STOPPED{at}: {unfinished:,} of {accounts} not finished",
        RunStatus.RUNNING: f"STILL RUNNING elsewhere: {unfinished:,} of {accounts} unfinished",
    }
    return sentences[report.run.status]


def closing_sentence(report: RunReport) -> str:
    """Return how the run ended and why accounts were not collected, the most frequent reason first.

    Of a stopped run also the command that continues it.
    """
    reasons: Counter[str] = Counter(report.headline["failures"])
    reasons.update({reason.value: number for reason, number in report.tally.skips.items()})
    why = ", ".join(f"{number:,} {reason}" for reason, number in reasons.most_common())
    sentence = verdict(report) + (f" ({why})" if why else "")
    if report.run.status is not RunStatus.STOPPED:
        return sentence
    return f"{sentence}. To continue: {resume_command(report.run.key, report.run.request)}"


def resume_command(key: str, request: RunRequest) -> str:
    """Return the command that collects what a stopped run left: with its key goes what it was asked for."""
    words = ["costbatch", "collect", "--run-key", key]
    if (days := request.days) is not None:
        one_day = ["--date", str(days.start)]
        words += one_day if len(days) == 1 else ["--from", str(days.start), "--to", str(days.last)]
    for aws_account_id in request.aws_account_ids:
        words += ["--account", aws_account_id]
    if request.accept_vanished:
        words.append("--accept-vanished")
    return shlex.join(words)
