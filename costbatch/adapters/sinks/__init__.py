"""Where events are delivered, one file for each type of sink. SINKS is the only list of them."""

from collections.abc import Iterable
from importlib import import_module

from costbatch.adapters.sinks.base import ConfiguredSink, Context
from costbatch.config.sinks import SinkConfig

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
    return [sink_type(config.kind).build(config, context) for config in configs]
