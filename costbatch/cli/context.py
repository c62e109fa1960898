"""What every command is given: the clock, the environment, and the way to settings and use cases."""

import errno
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from costbatch import logs
from costbatch.config import Settings
from costbatch.errors import ConfigError, CostbatchError

if TYPE_CHECKING:
    from costbatch.bootstrap import Bootstrap


def _wire(settings: Settings, now: Callable[[], datetime]) -> "Bootstrap":
    from costbatch.bootstrap import Bootstrap  # noqa: PLC0415 - a command's help must not load the adapters

    return Bootstrap(settings=settings, now=now)


@dataclass(frozen=True, slots=True)
class Context:
    """click's ``ctx.obj``; a test makes its own, with a fixed clock and a given environment.

    wire: builds the adapters and use cases.
    is_interactive: whether a prompt can be answered; None finds out from standard input.
    """

    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    now: Callable[[], datetime] = field(default=lambda: datetime.now(tz=UTC))
    wire: Callable[[Settings, Callable[[], datetime]], "Bootstrap"] = _wire
    is_interactive: bool | None = None

    def settings(self, *, verbose: bool = False) -> Settings:
        """Return the settings, and configure the log by them, with their secrets masked.

        On a terminal the log shows errors only, and the alerts of the sink ``log``, unless verbose or a log
        setting asks for more.

        Raises:
            ConfigError: with every problem of the configuration.

        """
        settings = Settings.from_environment(self.environ)
        for secret in settings.secrets:
            logs.register_secret(secret)
        no_color = bool(self.environ.get("NO_COLOR"))
        is_wanted = verbose or {"COSTBATCH_LOG_LEVEL", "COSTBATCH_LOG_FORMAT"} & settings.sources.keys()
        errors_only = not is_wanted and sys.stderr.isatty()
        logs.configure(settings.log_level, settings.log_format, no_color=no_color, errors_only=errors_only)
        return settings

    def configure_logs(self) -> None:
        """Configure the log by the settings, or by the defaults if the settings are invalid."""
        try:
            self.settings()
        except ConfigError:
            logs.configure()

    def bootstrap(self) -> "Bootstrap":
        """Return the use cases, built from the settings."""
        return self.wire(self.settings(), self.now)

    def can_ask(self) -> bool:
        """Whether a prompt can be answered on standard input."""
        if self.is_interactive is not None:
            return self.is_interactive
        return sys.stdin is not None and sys.stdin.isatty()


@contextmanager
def asking() -> Iterator[None]:
    """Ask on the terminal in the block; raise CostbatchError if it is gone.

    The error of reading has no file name, as that of standard output, for which it would be taken.
    """
    try:
        yield
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        raise CostbatchError(f"The terminal cannot be read: {error.strerror}.") from None


pass_context = click.make_pass_decorator(Context, ensure=True)
