"""A real Prometheus that scrapes a Pushgateway, and a real Alertmanager, on loopback ports."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.machine import free_port, program

_WAIT_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A Prometheus, by its address."""

    url: str

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return what an expression comes to now."""
        return self._get("query", query=expression)["result"]  # type: ignore[no-any-return] # JSON

    def label_values(self, metric: str, label: str) -> list[str]:
        """Return the values of a label, as Grafana's variables ask for them."""
        return self._get(f"label/{label}/values", **{"match[]": metric})  # type: ignore[return-value] # JSON

    def _get(self, path: str, **parameters: str) -> dict[str, Any]:
        answer = requests.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=10)
        assert answer.ok, f"{parameters}: {answer.text}"
        data: dict[str, Any] = answer.json()["data"]
        return data


@contextmanager
def prometheus(
    server: str,
    gateway: str,
    folder: Path,
    *,
    rules: Sequence[Mapping[str, Any]] = (),
    alertmanager: str | None = None,
) -> Iterator[Prometheus]:
    """Run a Prometheus that scrapes the Pushgateway every second, keeping the labels that were pushed.

    rules: evaluated every second. alertmanager: the address that it sends alerts to.
    """
    scrape = {"job_name": "pushgateway", "honor_labels": True, "static_configs": [{"targets": [gateway]}]}
    config: dict[str, Any] = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "scrape_configs": [scrape],
    }
    if rules:
        (folder / "rules.yaml").write_text(json.dumps({"groups": [{"name": "all", "rules": [*rules]}]}))
        config["rule_files"] = [str(folder / "rules.yaml")]
    if alertmanager:
        targets = [{"static_configs": [{"targets": [alertmanager.removeprefix("http://")]}]}]
        config["alerting"] = {"alertmanagers": targets}
    # JSON is YAML.
    (folder / "prometheus.yaml").write_text(json.dumps(config))
    address = f"127.0.0.1:{free_port()}"
    command = [
        server,
        f"--config.file={folder / 'prometheus.yaml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
        "--log.level=error",
    ]
    with _running(command, f"http://{address}/-/ready"):
        yield Prometheus(f"http://{address}")


@contextmanager
def alertmanager(receiver: str, folder: Path) -> Iterator[str]:
    """Run an Alertmanager that sends each group to a webhook at once; give its URL."""
    config = {
        "route": {"receiver": "it", "group_by": ["..."], "group_wait": "0s", "group_interval": "1s"},
        "receivers": [{"name": "it", "webhook_configs": [{"url": receiver, "send_resolved": True}]}],
    }
    (folder / "alertmanager.yaml").write_text(json.dumps(config))
    address = f"127.0.0.1:{free_port()}"
    command = [
        program("prometheus-alertmanager", "alertmanager"),
        f"--config.file={folder / 'alertmanager.yaml'}",
        f"--storage.path={folder / 'alertmanager'}",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",
        "--log.level=error",
    ]
    with _running(command, f"http://{address}/-/ready"):
        yield f"http://{address}"


def wait_for(is_true: Callable[[], object], what: str) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while not is_true():
        if time.monotonic() > deadline:
            pytest.fail(f"{what}: not within {_WAIT_SECONDS} seconds.")
        time.sleep(0.05)


@contextmanager
def _running(command: list[str], ready_url: str) -> Iterator[None]:
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(lambda: _is_ready(ready_url), f"{command[0]} is ready")
            yield
        finally:
            process.terminate()


def _is_ready(url: str) -> bool:
    try:
        return requests.get(url, timeout=1).ok
    except requests.ConnectionError:
        return False
