"""What the commands that answer share: who answers and why, and that the sinks hear of it."""

import getpass
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import click

from costbatch.cli.context import Context
from costbatch.cli.options import Text
from costbatch.domain.plural import many
from costbatch.errors import StorageError

if TYPE_CHECKING:
    from costbatch.bootstrap import Bootstrap

F = TypeVar("F", bound=Callable[..., object])


def author_option(command: F) -> F:
    """Add ``--author NAME`` to a command; without it, it is the user of the operating system."""
    return click.option(
        "--author", default=_os_user, metavar="NAME", help="Your name.  [default: the user of the system]"
    )(command)


def reason_option(*, required: bool) -> Callable[[F], F]:
    """Add ``--reason TEXT`` to a command."""
    if required:
        return click.option("--reason", required=True, type=Text(), help="Why.")
    return click.option("--reason", default="", metavar="TEXT", help="Why.")


@contextmanager
def answering(context: Context) -> Iterator["Bootstrap"]:
    """Return the use cases, and deliver at the end what the answer has raised.

    Neither a sink nor the database changes the exit status then: the answer is stored, and the next run
    delivers what waits.
    """
    bootstrap = context.bootstrap()
    # Made before the answer: a sink that cannot be built is refused before anything is stored.
    events = bootstrap.events()
    yield bootstrap
    try:
        delivered = events.deliver_answers()
    except StorageError as error:
        click.echo(f"Stored; not delivered yet, the next run tries again. {error}", err=True)
        return
    for sink, result in delivered.items():
        if result.given_up:
            what = f"{many(result.given_up, 'event')} to {sink}"
            again = f"`costbatch events replay --state dead --sink {sink}` delivers again"
            click.echo(f"Given up: {what}; {again}. {result.problem}", err=True)
        if result.problem and (result.waiting or not result.given_up):
            click.echo(f"Not delivered to {sink} yet; the next run tries again. {result.problem}", err=True)


def _os_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # In a container the user has a number, but no name.
        return f"uid {os.getuid()}"
