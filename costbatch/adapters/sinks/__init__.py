"""Where events go, one file per kind of sink; here a configured name becomes a sink."""

from collections.abc import Sequence

from costbatch.adapters.sinks.log import LogSink
from costbatch.errors import ConfigError

# A new kind of sink is a file in this folder and an entry here.
SINKS = {LogSink.name: LogSink}


def make_sinks(names: Sequence[str]) -> list[LogSink]:
    """Return the sinks with these names, each once.

    Raises:
        ConfigError: one sentence for each name that no sink has.

    """
    unknown = [name for name in names if name not in SINKS]
    if unknown:
        known = ", ".join(SINKS)
        raise ConfigError(*(f"There is no sink named {name!r}; the sinks are: {known}." for name in unknown))
    return [SINKS[name]() for name in dict.fromkeys(names)]
