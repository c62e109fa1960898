"""A real Pushgateway on a loopback port, open or behind a password."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.support.machine import free_port, program

PASSWORD = "planted-password"
# bcrypt of that password, at the lowest cost.
_USERS = "basic_auth_users:\n  me: $2b$04$abcdefghijklmnopqrstuuaalozgO24BBozvnT9Bl74og5BKuD1Fe\n"
_START_SECONDS = 10


@contextmanager
def serve_pushgateway(*options: str) -> Iterator[str]:
    """Run a Pushgateway that keeps nothing on disk for the time of a ``with`` block; give its address."""
    gateway = program("prometheus-pushgateway", "pushgateway")
    address = f"127.0.0.1:{free_port()}"
    command = [gateway, f"--web.listen-address={address}", "--persistence.file=", "--log.level=error"]
    with subprocess.Popen(
        [*command, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            _wait_until_it_answers(f"http://{address}")
            yield address
        finally:
            process.terminate()


def _wait_until_it_answers(url: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        try:
            requests.get(f"{url}/-/ready", timeout=1)
        except requests.ConnectionError:
            time.sleep(0.02)
        else:
            return
    pytest.fail(f"The Pushgateway did not answer within {_START_SECONDS} seconds.")


@pytest.fixture
def gateway_url() -> Iterator[str]:
    """Run a Pushgateway and return its URL."""
    with serve_pushgateway() as address:
        yield f"http://{address}"


@pytest.fixture
def guarded_gateway(tmp_path: Path) -> Iterator[str]:
    """Run a Pushgateway that wants the user ``me`` and ``PASSWORD``; return its host and port."""
    users = tmp_path / "web.yml"
    users.write_text(_USERS)
    with serve_pushgateway(f"--web.config.file={users}") as address:
        yield address
