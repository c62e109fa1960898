"""The progress of a run: a bar on a terminal, nothing elsewhere."""

import logging
from collections import Counter
from typing import Any

from rich.console import Console
from rich.file_proxy import FileProxy
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from costbatch.domain.accounts import Account
from costbatch.domain.reports import JobWords


class QuietProgress:
    """Shows no bar, because there is no terminal or a dumb one."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def begin(self, total: int) -> None:
        """Do nothing."""

    def advance(self, outcome: str, account: Account) -> None:
        """Do nothing."""

    def end(self) -> None:
        """Do nothing."""

    def print(self, sentence: str) -> None:
        """Print a sentence on a terminal only."""
        if self._console.is_terminal:
            _print_unfolded(self._console, sentence)


class TerminalProgress:
    """A bar with the count of each outcome; log lines appear above it.

    The log's handlers hold the stream that the bar is drawn on. While it is shown they write through its
    console, because direct writes would garble it.
    """

    def __init__(self, console: Console, words: JobWords) -> None:
        self._console = console
        self._counts: Counter[str] = Counter()
        self._diverted: list[logging.StreamHandler[Any]] = []
        self._progress = Progress(
            TextColumn(words.doing.capitalize()),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[outcomes]}", markup=False),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            # Standard output may be a pipe: what is printed there must not appear on this terminal.
            redirect_stdout=False,
        )

    def begin(self, total: int) -> None:
        """Show an empty bar."""
        self._progress.add_task("", total=total, outcomes="")
        self._progress.start()
        stream = self._console.file
        for handler in logging.getLogger().handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream is stream:
                handler.setStream(FileProxy(self._console, stream))
                self._diverted.append(handler)

    def advance(self, outcome: str, account: Account) -> None:  # noqa: ARG002 - the port's signature
        """Count one account."""
        self._counts[outcome] += 1
        outcomes = ", ".join(f"{number:,} {name}" for name, number in sorted(self._counts.items()))
        self._progress.update(self._progress.task_ids[0], advance=1, outcomes=outcomes)

    def end(self) -> None:
        """Remove the bar; without one, do nothing."""
        while self._diverted:
            self._diverted.pop().setStream(self._console.file)
        self._progress.stop()

    def print(self, sentence: str) -> None:
        """Print a sentence, above the bar if it is shown."""
        _print_unfolded(self._console, sentence)


def _print_unfolded(console: Console, sentence: str) -> None:
    # A command to copy must stay on one line.
    console.print(sentence, markup=False, emoji=False, soft_wrap=True)


def make_progress(console: Console, words: JobWords) -> TerminalProgress | QuietProgress:
    """Return a display for a console on standard error: a bar if it can be drawn."""
    # is_interactive: a terminal, and not a dumb one that would print every step of the bar below the last.
    return TerminalProgress(console, words) if console.is_interactive else QuietProgress(console)
