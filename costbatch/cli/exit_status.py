"""Every exit status, and the one place where errors become one."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import IntEnum
from typing import Self

import click

from costbatch.domain.excerpt import excerpt_words
from costbatch.errors import ConfigError, CostbatchError


class ExitStatus(IntEnum):
    """How a command ended, for Kubernetes and for scripts."""

    sentence: str

    OK = 0, "Success. For a run of a job: all or some accounts were done, or there were none."
    TOTAL_FAILURE = (
        1,
        (
            "No account of a run was done, the database was lost, a check, a delivery or pruning "
            "failed, the output could not be written, or an unexpected error occurred."
        ),
    )
    USAGE = 2, "The command line or the configuration is wrong; a retry cannot help."
    PARTIAL_FAILURE = 3, "Some accounts failed and --fail-on is partial."
    INTERRUPTED = 130, "Stopped by Ctrl-C: in order by the first, at once by the second."
    OUTPUT_CLOSED = 141, "The reader of the output closed it, as `head` does."
    TERMINATED = (
        143,
        "Stopped by SIGTERM or the deadline: in order, or at once by a second SIGTERM.",
    )

    def __new__(cls, value: int, sentence: str) -> Self:
        """Make a member that is its number and has its sentence."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.sentence = sentence
        return member


# No space, no quota, a file too large, and a broken disk or terminal.
_NOT_WRITTEN = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


@contextmanager
def output_errors_to_exit_statuses() -> Iterator[None]:
    """End the command if standard output cannot be written; every other error passes.

    Raises:
        Exit: with the status.

    """
    try:
        yield
        if sys.stdout:
            sys.stdout.flush()  # here, where an error can still be handled
    except BrokenPipeError:
        _discard_output()
        raise click.exceptions.Exit(ExitStatus.OUTPUT_CLOSED) from None
    except OSError as error:
        # An error of opening another file names it. One of writing or reading never does: other files are
        # written with `writing`, the terminal is read with `asking`, and standard error never fails.
        if error.errno not in _NOT_WRITTEN or error.filename is not None:
            raise
        _discard_output()
        _print_errors(f"Standard output could not be written: {error.strerror}.")
        raise click.exceptions.Exit(ExitStatus.TOTAL_FAILURE) from None


def _discard_output() -> None:
    """Let Python, which flushes standard output at exit, not complain about what is left of it."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def errors_to_exit_statuses(ctx: click.Context) -> Iterator[None]:
    """End the command with the status and the sentences of the error that leaves the block."""
    try:
        with output_errors_to_exit_statuses():
            yield
    except click.ClickException as error:
        # click quotes what was typed, which may be a secret in the wrong place.
        error.message = _redact(excerpt_words(error.message))  # type: ignore[misc] # final only by its hint
        raise
    except click.exceptions.Exit:
        raise
    except ConfigError as error:
        _print_errors(*error.problems)
        ctx.exit(ExitStatus.USAGE)
    except CostbatchError as error:
        _print_errors(str(error))
        ctx.exit(ExitStatus.TOTAL_FAILURE)
    except (KeyboardInterrupt, click.Abort):
        # On a new line, because a prompt may be waiting.
        click.echo("\nInterrupted.", err=True)
        ctx.exit(ExitStatus.INTERRUPTED)
    except Exception:  # noqa: BLE001 - the last resort: no command may end without a sentence
        _report_unexpected(ctx)
        ctx.exit(ExitStatus.TOTAL_FAILURE)


def _print_errors(*sentences: str) -> None:
    for sentence in sentences:
        click.echo(f"Error: {_redact(sentence)}", err=True)


def _redact(sentence: str) -> str:
    from costbatch.logs import redact  # noqa: PLC0415 - `--help` must not load the log library

    return redact(sentence)


def _report_unexpected(ctx: click.Context) -> None:
    from costbatch.cli.context import Context  # noqa: PLC0415 - as in _redact
    from costbatch.logs import get_logger  # noqa: PLC0415 - as in _redact

    context = ctx.obj if isinstance(ctx.obj, Context) else Context()
    context.configure_logs()
    get_logger(__name__).exception("unexpected_error", command=ctx.invoked_subcommand)
    _print_errors("costbatch stopped because of an unexpected error; the log line above has the traceback.")
