"""Returns what a command shows on a terminal of a given width."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from contextlib import suppress

from tests.support.fork_server import fork_server
from tests.support.harness import Harness


def look(harness: Harness, *args: str, columns: int = 80) -> str:
    """Return what a command prints on a terminal of this width, without colours."""
    return without_colors(look_in_color(harness, *args, columns=columns, NO_COLOR="1"))


def without_colors(shown: str) -> str:
    """Return a text without the escape sequences of a terminal."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)


def look_in_color(harness: Harness, *args: str, columns: int = 80, **variables: str) -> str:
    """Return what a command prints on a terminal of this width, with its escape sequences."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    # Without COLUMNS it is the terminal that says how wide it is.
    environ = harness.process_environ(
        **{"TERM": "xterm", "NO_COLOR": "", "COLUMNS": "", "LINES": "", **variables}
    )
    process = fork_server().start(args, environ, stdout=theirs, stderr=subprocess.DEVNULL)
    os.close(theirs)
    shown = b""
    # Reading fails when the last process that has the terminal is gone.
    with process, suppress(OSError):
        while part := os.read(ours, 65_536):
            shown += part
    os.close(ours)
    return shown.decode().replace("\r\n", "\n")
