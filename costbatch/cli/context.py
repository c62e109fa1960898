"""What every command is given: the clock, the environment, and the way to settings and use cases."""

import os
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import click

from costbatch.errors import ConfigError

if TYPE_CHECKING:
    # At run time both are imported when a command needs them, not by `--help`.
    from costbatch.bootstrap import Bootstrap
    from costbatch.config import Settings


def _utc_now() -> datetime:
    return datetime.now(tz=UTC)


def _wire(settings: "Settings", now: Callable[[], datetime]) -> "Bootstrap":
    from costbatch.bootstrap import Bootstrap  # noqa: PLC0415 - see the imports above

    return Bootstrap(settings=settings, now=now)


class Context(NamedTuple):
    """click's ``ctx.obj``; a test makes its own, with a fixed clock and a given environment.

    No dataclass: `--help` needs none, and would wait for the module.

    wire: builds the adapters and use cases.
    is_interactive: whether a person can be asked; None finds out from standard input.
    """

    environ: Mapping[str, str] = os.environ
    now: Callable[[], datetime] = _utc_now
    wire: Callable[["Settings", Callable[[], datetime]], "Bootstrap"] = _wire
    is_interactive: bool | None = None

    def settings(self, *, verbose: bool = False) -> "Settings":
        """Return the settings, with logging set up by them and their secrets masked in it.

        On a terminal the log holds errors only, unless it was asked for: verbose, or by a setting of its own.

        Raises:
            ConfigError: with every problem of the configuration.

        """
        from costbatch import logs  # noqa: PLC0415 - see the imports above
        from costbatch.bootstrap import read_settings  # noqa: PLC0415 - see the imports above

        settings = read_settings(self.environ)
        for secret in settings.secrets:
            logs.register_secret(secret)
        no_color = bool(self.environ.get("NO_COLOR"))
        is_asked = verbose or {"COSTBATCH_LOG_LEVEL", "COSTBATCH_LOG_FORMAT"} & settings.sources.keys()
        errors_only = not is_asked and sys.stderr.isatty()
        logs.configure(settings.log_level, settings.log_format, no_color=no_color, errors_only=errors_only)
        return settings

    def configure_logs(self) -> None:
        """Set up logging by the settings, or by the defaults where these are wrong."""
        from costbatch import logs  # noqa: PLC0415 - see the imports above

        try:
            self.settings()
        except ConfigError:
            logs.configure()

    def bootstrap(self) -> "Bootstrap":
        """Return the use cases, built from the settings."""
        return self.wire(self.settings(), self.now)

    def can_ask(self) -> bool:
        """Whether a person sits at standard input."""
        if self.is_interactive is not None:
            return self.is_interactive
        return sys.stdin is not None and sys.stdin.isatty()


pass_context = click.make_pass_decorator(Context, ensure=True)
