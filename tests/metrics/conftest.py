"""A real Pushgateway on a loopback port, and promtool."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator

import pytest
import requests

_START_SECONDS = 10


def binary(*names: str) -> str:
    """Return the path of the first of these programs; without any, skip, or fail where CI promises them."""
    path = next((found for name in names if (found := shutil.which(name))), None)
    if path is None:
        sentence = f"{names[0]} is not installed on this machine."
        if os.environ.get("CI") == "true":
            pytest.fail(sentence)
        pytest.skip(sentence)
    return path


@pytest.fixture(scope="session")
def promtool() -> str:
    """Return the path of promtool."""
    return binary("promtool")


@pytest.fixture
def gateway_url() -> Iterator[str]:
    """Run a Pushgateway that keeps nothing, and return its address."""
    program = binary("prometheus-pushgateway", "pushgateway")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [program, f"--web.listen-address={address}", "--persistence.file=", "--log.level=error"]
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
