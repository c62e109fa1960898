"""Where events are delivered, one file for each type of sink. SINKS is the only list of them."""

from collections.abc import Iterable
from importlib import import_module

from costbatch.adapters.sinks.base import ConfiguredSink, Context
from costbatch.config.sinks import SinkConfig
from costbatch.errors import ConfigError

# Imported by name when a sink of the type is configured: botocore and apprise are slow to load.
SINKS = {
    "log": "costbatch.adapters.sinks.log:LogSink",
    "webhook": "costbatch.adapters.sinks.webhook:WebhookSink",
    "sns": "costbatch.adapters.sinks.sns:SnsSink",
    "alertmanager": "costbatch.adapters.sinks.alertmanager:AlertmanagerSink",
    "notify": "costbatch.adapters.sinks.notify:NotifySink",
}


def sink_type(kind: str) -> type[ConfiguredSink]:
    """Import and return the class of a type of sink."""
    module, _, name = SINKS[kind].partition(":")
    found: type[ConfiguredSink] = getattr(import_module(module), name)
    return found


def make_sinks(configs: Iterable[SinkConfig], context: Context) -> list[ConfiguredSink]:
    """Return the sinks.

    Raises:
        ConfigError: a sink needs a package that is not installed.

    """
    sinks = []
    for config in configs:
        try:
            found = sink_type(config.kind)
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"The sink {config.name} needs the Python package {error.name}, which is not installed; use "
                "the image, or run `pip install '.[notify]'` in the clone of costbatch."
            ) from error
        sinks.append(found.build(config, context))
    return sinks
