"""How a run ended, in one sentence: first and last for people, and last in a log whatever was printed."""

from collections import Counter

from costbatch.cli.output import many
from costbatch.domain.outcomes import CollectionState, RunStatus, StopReason
from costbatch.domain.reports import RunReport


def verdict(report: RunReport) -> str:
    """Return how the run ended."""
    accounts = many(len(report.collections), "account")
    unfinished = report.count(CollectionState.PENDING, CollectionState.COLLECTING)
    missing = len(report.collections) - report.count(CollectionState.COLLECTED)
    collected = f"COLLECTED {accounts}" if report.collections else "NOTHING TO DO: no account to collect"
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
    reasons = Counter(report.failures_by_kind)
    reasons.update(
        collection.skip_reason.value
        for collection in report.collections
        if collection.skip_reason and collection.state is CollectionState.SKIPPED
    )
    why = ", ".join(f"{number:,} {reason}" for reason, number in reasons.most_common())
    return verdict(report) + (f" ({why})" if why else "")
