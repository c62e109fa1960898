"""A real Pushgateway on a loopback port, and promtool."""

import subprocess
import time
from collections.abc import Iterator

import pytest
import requests

from tests.support.machine import free_port, program

_START_SECONDS = 10


@pytest.fixture(scope="session")
def promtool() -> str:
    """Return the path of promtool."""
    return program("promtool")


@pytest.fixture
def gateway_url() -> Iterator[str]:
    """Run a Pushgateway that keeps nothing, and return its address."""
    gateway = program("prometheus-pushgateway", "pushgateway")
    address = f"127.0.0.1:{free_port()}"
    command = [gateway, f"--web.listen-address={address}", "--persistence.file=", "--log.level=error"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_until_ready(f"http://{address}")
            yield f"http://{address}"
        finally:
            process.terminate()


def _wait_until_ready(url: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        try:
            if requests.get(f"{url}/-/ready", timeout=1).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.02)
    pytest.fail(f"The Pushgateway was not ready within {_START_SECONDS} seconds.")
