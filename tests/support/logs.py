"""The log as tests find it: plain, and as it was before a test that configures it."""

import logging
from collections.abc import Iterator

import pytest
import structlog

from costbatch import logs


def reset_logs() -> None:
    """Print tracebacks as the program does: those of structlog's defaults take seconds for large results."""
    plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.reset_defaults()
    structlog.configure(processors=[*structlog.get_config()["processors"][:-1], plain])


@pytest.fixture(autouse=True)
def clean_logs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave no registered secret, run or handler behind."""
    monkeypatch.setattr(logs, "_secrets", {})
    monkeypatch.setattr(logs, "_run_fields", {})
    handlers, level = list(logging.getLogger().handlers), logging.getLogger().level
    yield
    logging.getLogger().handlers[:] = handlers
    logging.getLogger().setLevel(level)
    reset_logs()
