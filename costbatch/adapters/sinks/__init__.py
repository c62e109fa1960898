"""Where events are delivered, one file for each kind of sink. SINKS is the only list of their names."""

from costbatch.adapters.sinks.base import ConfiguredSink
from costbatch.adapters.sinks.log import LogSink
from costbatch.config import Settings

# A new kind of sink is a file in this folder and an entry here.
SINKS: dict[str, type[ConfiguredSink]] = {sink.name: sink for sink in (LogSink,)}


def make_sinks(settings: Settings) -> list[ConfiguredSink]:
    """Return the sinks that the settings name, each once; the names must be checked already."""
    return [SINKS[name].from_settings(settings) for name in settings.sinks]
