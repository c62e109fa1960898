"""Alerts end to end: through the metrics and Prometheus, and straight to a real Alertmanager."""

import json
import re
import shlex
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from costbatch.domain.events import EventType
from costbatch.domain.periods import instant
from tests.chart.chart import render
from tests.support.documents import ROOT
from tests.support.harness import ONE_DAY, Harness, bill, make_account, steady
from tests.support.machine import program
from tests.support.prometheus import alertmanager, prometheus, wait_for
from tests.support.receiver import Receiver, Reply, receiving
from tests.support.sinks import anomaly_event, make_sink


def told(receiver: Receiver) -> list[tuple[str, dict[str, str]]]:
    """Return status and labels of every alert that Alertmanager has sent."""
    bodies: list[Any] = [json.loads(body) for body in receiver.bodies]
    return [(alert["status"], alert["labels"]) for body in bodies for alert in body["alerts"]]


def rules() -> list[dict[str, Any]]:
    """Return the chart's rules without their patience."""
    enabled = {"monitoring": {"prometheusRule": {"enabled": True, "selector": 'job="costbatch"'}}}
    rendered = render({"secrets": {"existingSecret": "a"}, **enabled})
    (group,) = rendered.one("PrometheusRule")["spec"]["groups"]
    return [{**rule, "for": "0s"} for rule in group["rules"]]


def test_an_event_that_is_not_delivered_raises_an_alert(
    harness: Harness, gateway_url: str, tmp_path: Path
) -> None:
    """Run, Pushgateway, Prometheus, the chart's rule, Alertmanager, webhook."""
    server = program("prometheus")
    with receiving() as broken, receiving() as receiver, alertmanager(receiver.url, tmp_path) as manager:
        broken.reply = Reply(500)
        file = tmp_path / "sinks.yaml"
        file.write_text(f"sinks:\n  pager: {{type: webhook, url: '{broken.url}', allow_private: true}}\n")
        harness.environ |= {"COSTBATCH_SINKS_FILE": str(file), "PUSHGATEWAY_URL": gateway_url}
        harness.open(make_account(1))
        assert harness.collect(COSTBATCH_DELIVERY_SECONDS="1").status == 0
        address = gateway_url.removeprefix("http://")
        with prometheus(server, address, tmp_path, rules=rules(), alertmanager=manager):
            wait_for(
                lambda: any(labels["alertname"] == "CostbatchEventsPending" for _, labels in told(receiver)),
                "The alert on pending events",
            )
        (labels,) = [one for _, one in told(receiver) if one["alertname"] == "CostbatchEventsPending"]
        assert (labels["sink"], labels["severity"]) == ("pager", "warning")


def test_an_anomaly_fires_in_an_alertmanager_until_it_is_resolved(tmp_path: Path) -> None:
    """With the same labels at both ends, so that the pager closes what it opened."""
    with receiving() as receiver, alertmanager(receiver.url, tmp_path) as manager:
        sink = make_sink(f"type: alertmanager\nurl: {manager}")
        # Alertmanager goes by the clock of the machine.
        now = instant(datetime.now(UTC))
        sink.deliver([{**anomaly_event(1), "time": now}])
        wait_for(lambda: told(receiver), "The alert on the anomaly")
        sink.deliver([{**anomaly_event(2, EventType.ANOMALY_RESOLVED), "time": instant(datetime.now(UTC))}])
        wait_for(lambda: len(told(receiver)) > 1, "The end of the alert")
    (fired, labels), (resolved, same) = told(receiver)
    assert (fired, resolved) == ("firing", "resolved")
    assert labels == same
    assert (labels["alertname"], labels["label_team"]) == ("CostbatchAnomaly", "payments")


def test_an_alert_follows_its_account_to_another_team(tmp_path: Path) -> None:
    """The one with the old label ends, the one with the new label fires and ends with the anomaly."""
    with receiving() as receiver, alertmanager(receiver.url, tmp_path) as manager:
        sink = make_sink(f"type: alertmanager\nurl: {manager}")
        moved = {"labels": {"team": "search"}}

        def deliver(event: Mapping[str, Any], *, alerts: int) -> None:
            sink.deliver([{**event, "time": instant(datetime.now(UTC))}])
            wait_for(lambda: len(told(receiver)) >= alerts, "What becomes of the alert")

        deliver(anomaly_event(1), alerts=1)
        deliver(anomaly_event(2, EventType.ANOMALY_UPDATED, account=moved, severity="low"), alerts=3)
        deliver(anomaly_event(3, EventType.ANOMALY_RESOLVED, account=moved, severity="low"), alerts=4)
    shown = sorted((labels["label_team"], labels["severity"], status) for status, labels in told(receiver))
    assert shown == [
        ("payments", "high", "firing"),
        ("payments", "high", "resolved"),
        ("search", "low", "firing"),
        ("search", "low", "resolved"),
    ]


def test_the_documented_silence_takes_the_id_that_the_list_shows(tmp_path: Path) -> None:
    """Its first eight characters, as well as the whole id."""
    (command,) = re.findall("`(amtool silence add .+?)`", (ROOT / "docs" / "alerts.md").read_text())
    event = anomaly_event(1)
    shown = event["data"]["anomaly"]["id"][:8]
    with receiving() as receiver, alertmanager(receiver.url, tmp_path) as manager:
        sink = make_sink(f"type: alertmanager\nurl: {manager}")
        sink.deliver([{**event, "time": instant(datetime.now(UTC))}])
        wait_for(lambda: told(receiver), "The alert on the anomaly")
        words = shlex.split(command.replace("ID", shown))
        options = [f"--alertmanager.url={manager}", "--author=alice"]
        subprocess.run([program("amtool"), *words[1:], *options], check=True, timeout=30)

        def state() -> str:
            with urlopen(f"{manager}/api/v2/alerts", timeout=10) as answer:
                (alert,) = json.load(answer)
            return str(alert["status"]["state"])

        wait_for(lambda: state() == "suppressed", "The silence")


def test_an_answer_ends_the_alert_at_once_and_reopening_fires_it_again(
    harness: Harness, tmp_path: Path
) -> None:
    """From the command line, with no run in between."""
    # Alertmanager goes by the clock of the machine.
    harness.wake_at(datetime.now(UTC) - timedelta(seconds=5))
    yesterday = harness.today - ONE_DAY
    rows = (*steady("10.00", until=yesterday), bill(yesterday, "500.00"))
    with receiving() as receiver, alertmanager(receiver.url, tmp_path) as manager:
        file = tmp_path / "sinks.yaml"
        file.write_text(f"sinks:\n  pager: {{type: alertmanager, url: '{manager}'}}\n")
        harness.environ["COSTBATCH_SINKS_FILE"] = str(file)
        harness.open(make_account(1, rows=rows, start=harness.today - 60 * ONE_DAY))
        harness.collect()

        def anomalies() -> list[tuple[str, dict[str, str]]]:
            return [each for each in told(receiver) if each[1]["alertname"] == "CostbatchAnomaly"]

        wait_for(anomalies, "The alert on the anomaly")
        anomaly = anomalies()[0][1]["anomaly_id"]
        assert harness.run("anomalies", "dismiss", anomaly, "--reason", "fee").status == 0
        wait_for(lambda: len(anomalies()) > 1, "The end of the alert")
        assert harness.run("anomalies", "reopen", anomaly).status == 0
        wait_for(lambda: len(anomalies()) > 2, "The alert again")
    assert [status for status, _ in anomalies()] == ["firing", "resolved", "firing"]
    assert len({json.dumps(labels) for _, labels in anomalies()}) == 1
