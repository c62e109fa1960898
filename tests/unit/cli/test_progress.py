"""The progress display: a bar for a person, nothing for a program, and whole log lines above the bar."""

import logging
from collections.abc import Iterator
from io import StringIO

import pytest
from rich.console import Console

from costbatch.cli.views.progress import QuietProgress, TerminalProgress, make_progress
from costbatch.domain.accounts import AccessMethod, Account, AccountStatus
from costbatch.domain.collect_report import WORDS

ACCOUNT = Account(
    id=1,
    aws_account_id="123456789012",
    name="[bold]one",
    status=AccountStatus.ACTIVE,
    access=AccessMethod.POD_IDENTITY,
)


def _terminal(stream: StringIO) -> Console:
    return Console(
        file=stream, force_terminal=True, force_interactive=True, width=100, color_system=None, _environ={}
    )


@pytest.fixture
def log_stream() -> Iterator[StringIO]:
    """A terminal's stream that the root logger writes to."""
    stream = StringIO()
    handler = logging.StreamHandler(stream)
    logging.getLogger().addHandler(handler)
    yield stream
    logging.getLogger().removeHandler(handler)


def test_a_terminal_gets_a_bar_and_a_pipe_gets_nothing() -> None:
    """Bars are for people who look."""
    assert isinstance(make_progress(_terminal(StringIO()), WORDS), TerminalProgress)
    assert isinstance(make_progress(Console(file=StringIO(), _environ={}), WORDS), QuietProgress)


def test_a_dumb_terminal_gets_nothing() -> None:
    """Where the cursor cannot move, every step would be one more line."""
    dumb = Console(file=StringIO(), force_terminal=True, _environ={"TERM": "dumb"})
    assert isinstance(make_progress(dumb, WORDS), QuietProgress)


def test_the_quiet_one_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """It fits the port and leaves both streams alone."""
    progress = QuietProgress(Console())
    progress.begin(3)
    progress.advance("collected", ACCOUNT)
    progress.end()
    progress.print("Stopping.")
    assert capsys.readouterr() == ("", "")


def test_the_bar_counts_each_outcome() -> None:
    """A person sees how many are done and how each ended."""
    stream = StringIO()
    progress = TerminalProgress(_terminal(stream), WORDS)
    progress.begin(3)
    for outcome in ("collected", "failed", "collected"):
        progress.advance(outcome, ACCOUNT)
    progress.end()
    assert "3/3 2 collected, 1 failed" in stream.getvalue()


def test_ending_twice_or_without_a_beginning_is_harmless() -> None:
    """A run that fails early ends the display as well."""
    progress = TerminalProgress(_terminal(StringIO()), WORDS)
    progress.end()
    progress.begin(1)
    progress.end()
    progress.end()


def test_a_log_line_appears_whole_above_the_bar(log_stream: StringIO) -> None:
    """While the bar is there, the log's handlers write through its console; afterwards as before."""
    progress = TerminalProgress(_terminal(log_stream), WORDS)
    progress.begin(2)
    logging.getLogger().warning("in the [red]middle")
    progress.end()
    written = log_stream.getvalue()
    erase_line = "\x1b[2K"
    before, _, after = written.partition("in the [red]middle\n")
    assert before.endswith(erase_line)
    assert "Collecting" in after
    logging.getLogger().warning("afterwards")
    assert log_stream.getvalue() == f"{written}afterwards\n"


def test_logs_that_go_elsewhere_are_left_alone(log_stream: StringIO) -> None:
    """Only what is drawn on the same stream can tear the bar."""
    progress = TerminalProgress(_terminal(StringIO()), WORDS)
    progress.begin(1)
    logging.getLogger().warning("elsewhere")
    assert log_stream.getvalue() == "elsewhere\n"
    progress.end()
