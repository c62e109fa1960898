"""The options that say who answers and why."""

import getpass
import os
from collections.abc import Callable
from typing import TypeVar

import click

F = TypeVar("F", bound=Callable[..., object])


def author_option(command: F) -> F:
    """Add ``--author NAME`` to a command; without it, it is the user of the operating system."""
    return click.option(
        "--author", default=_os_user, metavar="NAME", help="Who answers.  [default: the user of the system]"
    )(command)


def reason_option(*, required: bool) -> Callable[[F], F]:
    """Add ``--reason TEXT`` to a command."""
    if required:
        return click.option("--reason", required=True, metavar="TEXT", help="Why.")
    return click.option("--reason", default="", metavar="TEXT", help="Why.")


def _os_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # In a container the user has a number, but no name.
        return f"uid {os.getuid()}"
