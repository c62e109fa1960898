"""The alerts, as promtool reads and runs them."""

import re
import subprocess
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml

from costbatch.domain.collection import COLLECT
from costbatch.domain.jobs import JOBS
from costbatch.errors import ErrorKind
from tests.chart.chart import HERE, render, render_file
from tests.chart.pods import environment
from tests.chart.test_chart_pods import SECRET
from tests.support.metrics import METRICS

# By file of promtool tests: the values that its rules are made with.
_CASES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "spring-america": {},
    "spring-europe": {"springNight": "europe"},
    "spring-australia": {"springNight": "australia"},
    "spring-new-zealand": {"springNight": "newZealand"},
    "job-failed": {"kubeStateMetrics": True},
    "discover": {},
    "spring-none": {
        "springNight": "none",
        "noSuccessHours": 11,
        "apiCostBudgetUsd": 0.5,
        "selector": 'job="costs",env="test"',
        "alertLabels": {"team": "finops"},
        "disabledAlerts": ["CostbatchNoMetrics"],
    },
}


def rules(values: dict[str, Any]) -> dict[str, Any]:
    """Return the rules as Prometheus takes them, made with these values and with every job."""
    rule = {"prometheusRule": {"enabled": True, **values}}
    both = {**SECRET, **{job: {"enabled": True} for job in JOBS if job != COLLECT}}
    spec: dict[str, Any] = render({**both, "monitoring": rule}).one("PrometheusRule")["spec"]
    return spec


def run_promtool(promtool: str, command: str, file: Path) -> None:
    """Run promtool on a file; what it prints is the reason of a failure."""
    done = subprocess.run(
        [promtool, *command.split(), file.name],
        cwd=file.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


# A night in spring takes the two months before it, hour by hour.
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] if "spring" in name else []) for name in _CASES],
)
def test_alerts_fire_when_they_should_and_only_then(name: str, promtool: str, tmp_path: Path) -> None:
    """Each alert's story, with its labels and its words, is in tests/chart/rules/."""
    made, story = rules(_CASES[name]), (HERE / "rules" / f"{name}.yaml").read_text()
    (tmp_path / "all.yaml").write_text(yaml.safe_dump(made))
    run_promtool(promtool, "check rules", tmp_path / "all.yaml")
    if "expr: ALERTS\n" not in story:
        # The alerts that no story asks for would be evaluated too, each hour from January to spring.
        asked = set(re.findall(r'alertname(?:: |=")(\w+)', story))
        (group,) = made["groups"]
        group["rules"] = [rule for rule in group["rules"] if rule.get("alert") in asked]
        assert {rule["alert"] for rule in group["rules"]} == asked
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(made))
    (tmp_path / "test.yaml").write_text(story)
    run_promtool(promtool, "test rules", tmp_path / "test.yaml")


def test_every_alert_is_seen_firing() -> None:
    """No alert without a story in which it fires, with its words; that on failed Jobs is off by default."""
    stories = [
        story
        for name in _CASES
        if not name.startswith("spring")
        for story in yaml.safe_load((HERE / "rules" / f"{name}.yaml").read_text())["tests"]
    ]
    fired = {
        check["alertname"] for story in stories for check in story["alert_rule_test"] if check["exp_alerts"]
    }
    by_default = {rule["alert"] for rule in rules({})["groups"][0]["rules"]}
    assert fired == {*by_default, "CostbatchJobFailed"}
    assert "CostbatchJobFailed" not in by_default


@pytest.mark.parametrize("job", JOBS)
def test_every_job_has_an_alert_on_its_last_success(job: str) -> None:
    """And on its metrics, its failure and its accounts: else nobody hears that it ended for ever."""
    name = "costbatch" if job == COLLECT else f"costbatch-{job}"
    expressions = [rule["expr"] for rule in rules({})["groups"][0]["rules"]]
    own = [each for each in expressions if f'job="{name}"' in each]
    for metric in ("last_success_timestamp_seconds", "last_run_timestamp_seconds", "last_run_succeeded"):
        assert f'costbatch_{metric}{{job="{name}"' in " ".join(own)
    # Of those that do not pass by themselves, and of those that last night after night.
    assert sum("costbatch_account_failures" in each for each in own) == 2


def test_the_alerts_ask_for_metrics_that_there_are() -> None:
    """And the kinds of failure that pass by themselves are kinds."""
    expressions = " ".join(rule["expr"] for rule in rules({})["groups"][0]["rules"])
    assert set(re.findall(r"costbatch_\w+", expressions)) <= {metric.name for metric in METRICS}
    (passing,) = set(re.findall(r'kind=~"(.+?)"', expressions))
    assert {kind.value for kind in ErrorKind if kind.is_transient} <= set(passing.split("|")) <= {*ErrorKind}
    assert f'kind!~"{passing}"' in expressions


def test_the_alerts_on_discovery_follow_its_own_labels() -> None:
    """Its block of settings overrides those of all jobs, in its pods and in its rules."""
    values = {
        "settings": {"COSTBATCH_PUSH_LABELS": "team=a"},
        "discover": {"enabled": True, "settings": {"COSTBATCH_PUSH_LABELS": "team=b"}},
        "monitoring": {"prometheusRule": {"enabled": True}},
    }
    (group,) = render({**SECRET, **values}).one("PrometheusRule")["spec"]["groups"]
    expressions = {rule["alert"]: rule["expr"] for rule in group["rules"]}
    own = expressions["CostbatchNoMetrics"]
    assert own == 'absent(costbatch_last_run_timestamp_seconds{job="costbatch",team="a",run=""})'
    discovery = expressions["CostbatchNoDiscoveryMetrics"]
    assert (
        discovery == 'absent(costbatch_last_run_timestamp_seconds{job="costbatch-discover",team="b",run=""})'
    )


def test_the_alerts_on_discovery_follow_an_empty_setting_of_its_own() -> None:
    """It ends the common one: the pods push with the chart's labels, and the rules look for them."""
    values = {
        "settings": {"COSTBATCH_PUSH_LABELS": "team=a"},
        "discover": {"enabled": True, "settings": {"COSTBATCH_PUSH_LABELS": ""}},
        "monitoring": {"prometheusRule": {"enabled": True}},
    }
    rendered = render({**SECRET, **values})
    pushed = environment(rendered.pod("discover").container("costbatch"))["COSTBATCH_PUSH_LABELS"]["value"]
    assert pushed == "namespace=finops,release=costbatch"
    (group,) = rendered.one("PrometheusRule")["spec"]["groups"]
    expressions = {rule["alert"]: rule["expr"] for rule in group["rules"]}
    assert 'namespace="finops",release="costbatch"' in expressions["CostbatchNoDiscoveryMetrics"]
    assert 'team="a"' in expressions["CostbatchNoMetrics"]


@pytest.mark.parametrize(
    ("job", "arguments", "is_whole"),
    [
        ("collect", ["--account", "123456789012"], False),
        ("collect", ["--fail-on", "partial", "--account=123456789012"], False),
        ("collect", ["--date", "2026-01-31"], False),
        ("collect", ["--from=2026-01-01", "--to", "2026-01-31"], False),
        ("collect", ["--max-api-cost", "5", "--fail-on", "partial", "--deadline=600", "-v"], True),
        ("discover", ["--account", "123456789012"], False),
        ("discover", ["--source=tagging"], False),
        ("discover", ["--concurrency", "4"], True),
    ],
)
def test_nights_that_are_restricted_raise_no_alarm_for_ever(
    job: str, arguments: list[str], *, is_whole: bool
) -> None:
    """Their metrics are in a group of their own, without a success; the other job is watched as ever."""
    discover: dict[str, Any] = {"enabled": True}
    values: dict[str, Any] = {
        **SECRET,
        "discover": discover,
        "monitoring": {"prometheusRule": {"enabled": True}},
    }
    (discover if job == "discover" else values)["extraArgs"] = arguments
    (group,) = render(values).one("PrometheusRule")["spec"]["groups"]
    named = {rule["alert"]: rule["expr"] for rule in group["rules"]}
    for each, success, metrics in (
        ("collect", "CostbatchNoRecentSuccess", "CostbatchNoMetrics"),
        ("discover", "CostbatchNoRecentDiscovery", "CostbatchNoDiscoveryMetrics"),
    ):
        is_watched = is_whole or each != job
        assert (success in named) == is_watched
        assert ('run=""' if is_watched else 'run="manual"') in named[metrics]


def test_alerts_can_be_left_out_and_rules_added() -> None:
    """By name, without a copy of the others."""
    (group,) = render_file("monitoring").one("PrometheusRule")["spec"]["groups"]
    names = [rule.get("alert") or rule["record"] for rule in group["rules"]]
    assert "CostbatchEventsPending" not in names
    assert names[-1] == "costbatch:failed_ratio"
    assert all(rule["labels"]["team"] == "finops" for rule in group["rules"][:-1])


@pytest.mark.parametrize(
    ("zone", "at", "night"),
    [
        ("America/New_York", time(2), "america"),
        ("America/Los_Angeles", time(2, 30), "america"),
        ("America/St_Johns", time(2), "america"),
        ("Europe/Berlin", time(2), "europe"),
        ("Europe/London", time(1, 30), "europe"),
        # Discovery's own time.
        ("Europe/Athens", time(3, 30), "europe"),
        ("Europe/Helsinki", time(3, 30), "europe"),
        ("Australia/Sydney", time(2), "australia"),
        ("Australia/Adelaide", time(2, 30), "australia"),
        ("Pacific/Auckland", time(2), "newZealand"),
    ],
)
def test_the_numbers_of_the_alerts_are_those_of_the_calendar(zone: str, at: time, night: str) -> None:
    """Spring skips one night, on a Sunday of those that the rules name; no other has 26 hours."""
    named = {rule["alert"]: rule["expr"] for rule in rules({"springNight": night})["groups"][0]["rules"]}
    costs, discovery = named["CostbatchNoRecentSuccess"], named["CostbatchNoRecentDiscovery"]
    assert discovery == costs.replace('job="costbatch"', 'job="costbatch-discover"')
    assert "day_of_week" in costs
    month, hours, first, last = (
        int(re.findall(pattern, costs)[0])
        for pattern in (r"== (\d+)\n", r"} \+ (\d+) \* 3600\)", r"month.* >= (\d+)", r"month.* <= (\d+)")
    )
    days = set()
    for year in range(2025, 2053):
        gaps = {
            before: (after - before) / timedelta(hours=1)
            for before, after in pairwise(_runs_at(at, ZoneInfo(zone), year))
        }
        (before,) = (run for run, hours in gaps.items() if hours > 25)
        assert (gaps.pop(before), set(gaps.values())) == (47, {24, 25})
        # A run that started late and took long ended half a day later.
        for ended in (before, before + timedelta(hours=12)):
            sunday = ended + timedelta(hours=hours)
            assert (sunday.month, sunday.strftime("%a")) == (month, "Sun")
            days.add(sunday.day)
    # In 28 years the calendar has shown every case.
    assert days == {*range(first, last + 1)}


def _runs_at(at: time, zone: ZoneInfo, year: int) -> list[datetime]:
    """Return a year's runs, in UTC, as Kubernetes starts them: if the time does not exist there is none."""
    days = (date(year, 1, 1) + timedelta(days=n) for n in range(365))
    local = [datetime.combine(day, at, zone) for day in days]
    return [each.astimezone(UTC) for each in local if each.astimezone(UTC).astimezone(zone).hour == each.hour]
