"""Every exit status, and the one place where errors become one."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import IntEnum
from typing import Self

import click

from costbatch.cli.context import Context
from costbatch.domain.excerpt import excerpt_words
from costbatch.errors import ConfigError, CostbatchError


class ExitStatus(IntEnum):
    """How a command ended, for Kubernetes and for scripts."""

    sentence: str

    OK = 0, "Done; for collect: every account was collected, or some of them, or there was none."
    TOTAL_FAILURE = 1, "No account was collected, the database was lost, or an unexpected error stopped it."
    USAGE = 2, "The command line or the configuration is wrong; trying again cannot help."
    PARTIAL_FAILURE = 3, "Some accounts failed, and --fail-on partial asks to treat that as a failure."
    INTERRUPTED = 130, "Stopped from the keyboard: by one Ctrl-C in order, by a second one at once."
    OUTPUT_CLOSED = 141, "The reader of the output went away, as `head` does."
    TERMINATED = (
        143,
        "Stopped by SIGTERM or its deadline after finishing what was in flight; by a second SIGTERM at once.",
    )

    def __new__(cls, value: int, sentence: str) -> Self:
        """Make a member that is its number and knows its sentence."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.sentence = sentence
        return member


@contextmanager
def errors_to_exit_statuses(ctx: click.Context) -> Iterator[None]:
    """End the command with the status and the sentences of the error that leaves the block."""
    try:
        yield
        if sys.stdout:
            sys.stdout.flush()  # here, where a reader that went away can still be noticed
    except click.ClickException as error:
        from costbatch.logs import redact  # noqa: PLC0415 - as in _complain

        # click quotes what was typed, which may be a secret in the wrong place.
        error.message = redact(excerpt_words(error.message))  # type: ignore[misc] # final only by its hint
        raise
    except click.exceptions.Exit:
        raise
    except ConfigError as error:
        _complain(*error.problems)
        ctx.exit(ExitStatus.USAGE)
    except CostbatchError as error:
        _complain(str(error))
        ctx.exit(ExitStatus.TOTAL_FAILURE)
    except (KeyboardInterrupt, click.Abort):
        # On a line of its own: a question may be waiting for its answer.
        with suppress(OSError):
            click.echo("\nInterrupted.", err=True)
        ctx.exit(ExitStatus.INTERRUPTED)
    except BrokenPipeError:
        _discard_output()
        ctx.exit(ExitStatus.OUTPUT_CLOSED)
    except Exception:  # noqa: BLE001 - the last net: nothing may end a command without a sentence
        _report_unexpected(ctx)
        ctx.exit(ExitStatus.TOTAL_FAILURE)


def _complain(*sentences: str) -> None:
    # Imported late: the start of `--help` must not pay for the log library.
    from costbatch.logs import redact  # noqa: PLC0415 - see above

    for sentence in sentences:
        click.echo(f"Error: {redact(sentence)}", err=True)


def _report_unexpected(ctx: click.Context) -> None:
    from costbatch.logs import get_logger  # noqa: PLC0415 - as in _complain

    context = ctx.obj if isinstance(ctx.obj, Context) else Context()
    context.configure_logs()
    get_logger(__name__).exception("unexpected_error", command=ctx.invoked_subcommand)
    _complain("costbatch stopped because of an unexpected error; the log line above holds its traceback.")


def _discard_output() -> None:
    """Point standard output at nothing, or Python complains about the lost reader when it exits."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
