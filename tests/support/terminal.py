"""Runs a command on a real terminal: output, keys and the size of the screen."""

import fcntl
import os
import pty
import re
import struct
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from time import monotonic, sleep

from tests.support.harness import Harness

MOST_SECONDS = 30
HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"


class Terminal:
    """One command on a terminal of 24 lines and 80 columns; ``screen`` is everything that was printed."""

    def __init__(self, harness: Harness, *args: str, **environ: str) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.process = harness.start_on(theirs, *args, **{"TERM": "xterm-256color", **environ})
        os.close(theirs)
        self.screen = ""
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def lines(self) -> list[str]:
        """The lines that were printed, without what steers the terminal and without empty ones."""
        plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.screen)
        return [line.strip() for line in re.split(r"[\r\n]+", plain) if line.strip()]

    def press_ctrl_c(self) -> None:
        """Type what a terminal turns into SIGINT."""
        os.write(self._ours, b"\x03")

    def until(self, text: str) -> None:
        """Wait until a text is on the screen."""
        deadline = monotonic() + MOST_SECONDS
        while text not in self.screen:
            assert monotonic() < deadline, f"no {text!r} in {self.screen!r}"
            sleep(0.02)

    def wait(self) -> int:
        """Wait for the end and return the exit status."""
        status = self.process.wait(MOST_SECONDS)
        self._reader.join(MOST_SECONDS)
        return status

    def close(self) -> None:
        """End what is left."""
        self.process.kill()
        self.process.wait()
        self._reader.join()
        os.close(self._ours)

    def _read(self) -> None:
        # Reading fails when the last process that has the terminal is gone.
        try:
            while part := os.read(self._ours, 65536):
                self.screen += part.decode(errors="replace").replace("\r\n", "\n")
        except OSError:
            pass


@contextmanager
def terminal(harness: Harness, *args: str, **environ: str) -> Iterator[Terminal]:
    """Run a command on a terminal while the block runs."""
    shown = Terminal(harness, *args, **environ)
    try:
        yield shown
    finally:
        shown.close()
