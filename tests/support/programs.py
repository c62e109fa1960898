"""Fixtures for programs that some tests run: promtool and kubernetes-validate."""

import sys
from pathlib import Path

import pytest

from tests.support.machine import program, unavailable


@pytest.fixture(scope="session")
def kubernetes_validate() -> Path:
    """Return the path of kubernetes-validate, which is installed beside this Python."""
    path = Path(sys.executable).with_name("kubernetes-validate")
    if not path.exists():
        unavailable("kubernetes-validate is not installed in this environment.")
    return path


@pytest.fixture(scope="session")
def promtool() -> str:
    """Return the path of promtool."""
    return program("promtool")
