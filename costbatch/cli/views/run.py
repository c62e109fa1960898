"""How a run of any job ended: its headline, why accounts failed, and how to continue it."""

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby

from rich.text import Text

from costbatch.cli.views.page import Page
from costbatch.domain.plural import many
from costbatch.domain.reports import JobWords, RunReport
from costbatch.domain.runs import (
    UNFINISHED,
    ItemRecord,
    ItemState,
    RunRequest,
    RunStatus,
    SkipReason,
    StopReason,
)

STATE_STYLES = {
    ItemState.SUCCEEDED: "green",
    ItemState.FAILED: "bold red",
    ItemState.SKIPPED: "yellow",
    ItemState.PENDING: "yellow",
    ItemState.RUNNING: "yellow",
}
STATUS_STYLES = {
    RunStatus.COMPLETED: "bold green",
    RunStatus.PARTIAL: "bold black on yellow",
    RunStatus.FAILED: "bold white on red",
    RunStatus.STOPPED: "bold black on yellow",
    RunStatus.RUNNING: "bold yellow",
}
_SKIP_SENTENCES = {
    SkipReason.API_COST_CAP: "The run reached its cap on API cost; the next run collects them.",
    SkipReason.NOT_ACTIVE: "Paused or removed after the run started.",
}


def print_accounts(
    report: RunReport,
    page: Page,
    *,
    texts: Sequence[str],
    numbers: Sequence[str],
    rows: Sequence[tuple[ItemRecord, Iterable[str | Text]]],
) -> None:
    """Print the accounts that the report lists, and how many more there are.

    texts, numbers: the titles of the job's own columns, between the account and the time. rows: each account
    with its values in these columns.
    """
    if rows:
        table = page.account_table()
        for name in texts:
            table.add_column(name, no_wrap=True)
        for name in (*numbers, "Time\n(s)"):
            table.add_column(name, justify="right", no_wrap=True)
        for item, values in rows:
            time = "-" if item.duration_seconds is None else f"{item.duration_seconds:,.1f}"
            table.add_row(item.aws_account_id, page.name(item.name), *values, time)
        page.show(table)
    if hidden := report.counts.count() - len(rows):
        page.blank()
        page.line(f"{many(hidden, 'account')} {report.words.done} and not listed.", "green")


def nothing_planned(words: JobWords, resumes: str | None) -> str:
    """Return why a dry run shows no accounts. resumes: the key of the run that it resumes."""
    why = "there are no active accounts"
    if resumes is not None:
        why = f"run {resumes} has no active accounts left"
    return f"Nothing to {words.name}: {why}."


def outcomes(report: RunReport) -> list[str]:
    """Return how many accounts ended in which way."""
    numbers = report.summary["accounts"].items()
    return [f"{n:,} {name.replace('_', ' ')}" for name, n in numbers if name != "total" and n]


def headline(report: RunReport) -> str:
    """Return how the run ended, for the accounts that were not paused or removed meanwhile."""
    counts, name, done = report.counts, report.words.name, report.words.done
    total = counts.count() - counts.not_active
    accounts = many(total, "account")
    unfinished = counts.count(*UNFINISHED)
    succeeded = counts.count(ItemState.SUCCEEDED)
    missing = total - succeeded
    match report.run.status:
        case RunStatus.COMPLETED:
            if not succeeded:
                return f"NOTHING TO DO: there are no accounts to {name}"
            return f"{done.upper()} {many(succeeded, 'account')}"
        case RunStatus.PARTIAL:
            return f"PARTIAL: {missing:,} of {accounts} NOT {done.upper()}"
        case RunStatus.FAILED:
            return f"FAILED: 0 of {accounts} {done}"
        case RunStatus.STOPPED:
            at = " at its deadline" if report.run.stopped_by is StopReason.DEADLINE else ""
            return f"STOPPED{at}: {unfinished:,} of {accounts} not finished"
        case RunStatus.RUNNING:
            return f"STILL RUNNING in another process: {unfinished:,} of {accounts} not finished"


def closing_sentence(report: RunReport, resume: str | None = None) -> str:
    """Return how the run ended and why accounts were left out, the most frequent reason first.

    resume: the command that continues it, to be named if it was stopped.
    """
    reasons: Counter[str] = Counter(report.summary["failures"])
    skips = report.counts.skips.items()
    reasons.update({each.value: number for each, number in skips if each is not SkipReason.NOT_ACTIVE})
    why = ", ".join(f"{number:,} {reason}" for reason, number in reasons.most_common())
    sentence = headline(report) + (f" ({why})" if why else "")
    is_named = resume and report.run.status is RunStatus.STOPPED
    return f"{sentence}. To continue: {resume}" if is_named else sentence


def resume_command(key: str, request: RunRequest, options: Sequence[str] = ()) -> str:
    """Return the command that continues a stopped run; options: the job's own."""
    words = ["costbatch", request.job, "--run-key", key, *options]
    for aws_account_id in request.aws_account_ids:
        words += ["--account", aws_account_id]
    return shlex.join(words)


def print_problems(problems: Iterable[tuple[str, str, ItemRecord]], page: Page) -> None:
    """Print why accounts failed, were skipped or are incomplete: each reason once, with its accounts.

    problems: a label, a sentence, and the account.
    """
    ordered = sorted((label, sentence, item.aws_account_id, item.name) for label, sentence, item in problems)
    for (label, sentence), group in groupby(ordered, key=lambda problem: problem[:2]):
        accounts = [f"{aws_account_id} {name}" for _, _, aws_account_id, name in group]
        style = "bold red" if label.startswith("failed") else "bold yellow"
        page.blank()
        page.line(f"{label} ({many(len(accounts), 'account')})", style)
        page.line(", ".join(accounts), indent=2)
        page.line(sentence, indent=2)


def problem_of(item: ItemRecord) -> tuple[str, str] | None:
    """Return a label and a sentence if the account failed or was skipped."""
    if item.failure and item.state is ItemState.FAILED:
        return f"failed: {item.failure.kind.value}", item.failure.message
    if item.skip_reason and item.state is ItemState.SKIPPED:
        return f"skipped: {item.skip_reason.value}", _SKIP_SENTENCES[item.skip_reason]
    return None


def print_end(report: RunReport, page: Page) -> None:
    """Print again how a run ended that did not complete: at the end, where the reader's eye is."""
    if report.run.status is not RunStatus.COMPLETED:
        page.blank()
        page.line(f" {closing_sentence(report)} ", STATUS_STYLES[report.run.status])
