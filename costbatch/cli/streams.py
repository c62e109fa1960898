"""The standard streams as every command counts on them, however the program was started."""

import atexit
import os
import sys
from io import TextIOWrapper


def prepare_streams() -> None:
    """Open the standard streams that the starter has closed, and let the output take any text."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # The lowest free number is the closed stream's, and a connection must not get it.
            nowhere = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, open(nowhere, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - stays open
    if isinstance(sys.stdout, TextIOWrapper):
        # A name that the terminal's encoding does not know must not be an error after the work is done.
        sys.stdout.reconfigure(errors="replace")
    atexit.register(_give_up_lost_logs)


def _give_up_lost_logs() -> None:
    """Drop what nobody reads any more of standard error, or Python ends a good run with status 120."""
    try:
        sys.stderr.flush()
    except (OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
