"""How a run ended, in one sentence: first and last for people, and last in a log whatever was printed."""

from collections import Counter

from costbatch.cli.output import many
from costbatch.domain.outcomes import CollectionState, RunStatus, StopReason
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
        RunStatus.STOPPED: f"STOPPED{at}: {unfinished:,} of {accounts} unfinished; the same run key goes on",
        RunStatus.RUNNING: f"STILL RUNNING elsewhere: {unfinished:,} of {accounts} unfinished",
    }
    return sentences[report.run.status]


def closing_sentence(report: RunReport) -> str:
    """Return how the run ended and why accounts were not collected, the most frequent reason first."""
    reasons: Counter[str] = Counter(report.headline["failures"])
    reasons.update({reason.value: number for reason, number in report.tally.skips.items()})
    why = ", ".join(f"{number:,} {reason}" for reason, number in reasons.most_common())
    return verdict(report) + (f" ({why})" if why else "")
