"""The log as tests find it: plain, and as it was before whatever configures it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import pytest
import structlog

from costbatch import logs


def reset_logs() -> None:
    """Print tracebacks as the program does: those of structlog's defaults take seconds for large results."""
    plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.reset_defaults()
    structlog.configure(processors=[*structlog.get_config()["processors"][:-1], plain])


@contextmanager
def restored_logs() -> Iterator[None]:
    """Leave no handler, no registered secret and no run behind in this process."""
    root = logging.getLogger()
    handlers = list(root.handlers)
    levels = {each: each.level for each in (root, *map(logging.getLogger, ("costbatch", logs.EVENTS)))}
    with mock.patch.object(logs, "_secrets", {}), mock.patch.object(logs, "_run_fields", {}):
        try:
            yield
        finally:
            root.handlers[:] = handlers
            for logger, level in levels.items():
                logger.setLevel(level)
            reset_logs()


@pytest.fixture(autouse=True)
def clean_logs() -> Iterator[None]:
    """Leave nothing of a test's logs behind."""
    with restored_logs():
        yield
