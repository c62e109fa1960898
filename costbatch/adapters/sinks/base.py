"""What every kind of sink has besides the port: a name, and a way to be built from the settings."""

from abc import abstractmethod
from typing import ClassVar, Self

from costbatch.application.ports import Sink
from costbatch.config import Settings


class ConfiguredSink(Sink):
    """A sink that COSTBATCH_SINKS can name."""

    name: ClassVar[str]

    @classmethod
    @abstractmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return the sink; raise ConfigError if one of its settings is missing."""
