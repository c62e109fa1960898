"""The consoles on the two standard streams: colours and live display on a terminal only."""

import sys
from typing import TextIO

from rich.console import Console

# Wide enough for any row: what is piped must not be folded to some terminal's width.
_PIPED_WIDTH = 200


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to the exit status, as for everything else that prints; rich would end with status 1."""
        raise BrokenPipeError


def standard_output() -> Console:
    """Return the console on standard output, where results go."""
    return _console(sys.stdout)


def standard_error() -> Console:
    """Return the console on standard error, where progress goes."""
    return _console(sys.stderr)


def _console(stream: TextIO) -> Console:
    is_terminal = stream.isatty()
    return _Console(
        file=stream,
        force_terminal=is_terminal,
        color_system="auto" if is_terminal else None,
        width=None if is_terminal else _PIPED_WIDTH,
        highlight=False,
    )
