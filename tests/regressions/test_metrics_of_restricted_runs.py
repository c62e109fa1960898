"""A run over some accounts or days says nothing about the others: it changes none of the night's metrics."""

import re
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import requests
import yaml
from prometheus_client.parser import text_string_to_metric_families

from costbatch.application.jobs import retry
from costbatch.simulator.world import Account, Fault
from tests.chart.test_chart_alerts import rules
from tests.support.doctor import examine
from tests.support.harness import TODAY, Finished, Harness, make_account
from tests.support.pushgateway import serve_pushgateway

NIGHT = {"job": "costbatch", "namespace": "finops", "release": "costbatch", "run": ""}
LABELS = "namespace=finops,release=costbatch"
ONE = "100000000001"
YESTERDAY, LAST_WEEK = (str(TODAY - timedelta(days=n)) for n in (1, 7))
Series = dict[frozenset[tuple[str, str]], float]


def pushed(url: str, **group: str) -> Series:
    """Return every series of ours with these labels, of which an empty one is not there, and its value."""
    families = text_string_to_metric_families(requests.get(f"{url}/metrics", timeout=5).text)
    return {
        frozenset({"__name__": sample.name, **sample.labels}.items()): sample.value
        for family in families
        for sample in family.samples
        if sample.name.startswith("costbatch_")
        and all(sample.labels.get(name, "") == value for name, value in group.items())
    }


def value(series: Series, name: str, **labels: str) -> float:
    """Return the value of the one series with this name and these labels."""
    wanted = {("__name__", f"costbatch_{name}"), *labels.items()}
    (found,) = (number for one, number in series.items() if wanted <= one)
    return found


def collect(harness: Harness, url: str, *args: str, labels: str = LABELS) -> Finished:
    """Run `costbatch collect` as the chart's pods do."""
    return harness.collect(*args, PUSHGATEWAY_URL=url, COSTBATCH_PUSH_LABELS=labels)


def small(number: int, *faults: str) -> Account:
    """Return an account of two weeks, which always fails in these ways."""
    start = TODAY - timedelta(days=14)
    return make_account(number, start=start, faults=tuple(Fault(kind) for kind in faults))


def heal(harness: Harness, *numbers: int) -> None:
    """Let AWS answer from now on for these accounts; for all others of four it keeps refusing."""
    harness.open(*(small(n) if n in numbers else small(n, "not_enabled") for n in range(1, 5)))


def firing(promtool: str, series: Series, folder: Path) -> set[str]:
    """Return the alerts that fire ten hours after the last push, while nothing else is pushed."""
    (group,) = rules({})["groups"]
    (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": [group]}))
    instants = {one for one in series if dict(one)["__name__"].endswith("_timestamp_seconds")}
    # promtool's clock begins with 1970, so the instants move there.
    epoch = max(series[one] for one in instants)
    inputs = []
    for one, number in series.items():
        labels = dict(one)
        name = labels.pop("__name__")
        selector = ",".join(f'{key}="{text}"' for key, text in labels.items())
        shown = number - epoch if one in instants else number
        inputs.append({"series": f"{name}{{{selector}}}", "values": f"{shown:.3f}x200"})
    alerts = [rule["alert"] for rule in group["rules"]]
    # promtool names every alert that it was told not to expect.
    silence = [{"alertname": alert, "eval_time": "10h", "exp_alerts": []} for alert in alerts]
    test = {"interval": "5m", "input_series": inputs, "alert_rule_test": silence}
    document = {"rule_files": ["rules.yaml"], "evaluation_interval": "30m", "tests": [test]}
    (folder / "test.yaml").write_text(yaml.safe_dump(document))
    command = [promtool, "test", "rules", "test.yaml"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    return set(re.findall(r"alertname: ?(\w+)", done.stdout + done.stderr))


def test_a_backfill_of_one_account_leaves_every_alert_of_the_night_firing(
    harness: Harness, gateway_url: str, promtool: str, tmp_path: Path
) -> None:
    """After a night in which all accounts failed, one account by hand clears no alert and no metric."""
    heal(harness, *range(1, 5))
    assert collect(harness, gateway_url).status == 0
    harness.sleep_until(TODAY + timedelta(days=1))
    heal(harness)
    assert collect(harness, gateway_url).status == 1
    night = pushed(gateway_url, **NIGHT)
    assert value(night, "accounts", outcome="failed") == 4
    alerts = firing(promtool, night, tmp_path)
    assert alerts >= {
        "CostbatchNoRecentSuccess",
        "CostbatchRunFailed",
        "CostbatchAllAccountsFailing",
        "CostbatchAccountsFailing",
    }

    heal(harness, 1)
    assert collect(harness, gateway_url, "--account", ONE, "--from", LAST_WEEK, "--to", YESTERDAY).status == 0

    assert pushed(gateway_url, **NIGHT) == night
    assert firing(promtool, pushed(gateway_url), tmp_path) == alerts


RESTRICTIONS = [
    ("--account", ONE),
    ("--date", YESTERDAY),
    ("--from", LAST_WEEK),
    ("--from", LAST_WEEK, "--to", YESTERDAY),
    ("--account", ONE, "--account", "100000000002"),
]


@pytest.fixture(scope="module")
def after_a_night(shared: Harness) -> Iterator[tuple[Harness, str, Series]]:
    """Have a night pushed by an installation; give its harness, its Pushgateway and what was pushed."""
    with serve_pushgateway() as address:
        url = f"http://{address}"
        shared.open(small(1), small(2))
        assert collect(shared, url).status == 0
        yield shared, url, pushed(url, **NIGHT)


@pytest.mark.parametrize("args", RESTRICTIONS, ids=" ".join)
def test_a_restricted_run_has_a_group_of_its_own(
    after_a_night: tuple[Harness, str, Series], args: tuple[str, ...]
) -> None:
    """Whatever restricts it, also if it names every account there is; costs and states stay the night's."""
    harness, url, night = after_a_night
    harness.open(small(1), small(2))
    before = pushed(url, **{**NIGHT, "run": "manual"})
    assert collect(harness, url, *args).status == 0
    assert pushed(url, **NIGHT) == night
    manual = pushed(url, **{**NIGHT, "run": "manual"})
    assert manual != before
    assert value(manual, "last_run_succeeded") == 1
    assert value(manual, "accounts", outcome="collected") == (1 if args[-1] == ONE else 2)
    names = {dict(one)["__name__"] for one in manual}
    assert not names & {
        "costbatch_last_success_timestamp_seconds",
        "costbatch_account_cost",
        "costbatch_anomalies",
        "costbatch_month_cost_to_date",
        "costbatch_events_pending",
    }


def test_a_restricted_run_that_fails_raises_no_alert_of_the_night(
    harness: Harness, gateway_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own group says that it failed, also if the database was lost."""
    monkeypatch.setattr(retry, "PATIENCE_SECONDS", 1.0)
    harness.open(small(1), small(2, "not_enabled"))
    collect(harness, gateway_url)
    night = pushed(gateway_url, **NIGHT)
    assert collect(harness, gateway_url, "--account", "100000000002").status == 1
    assert value(failed := pushed(gateway_url, run="manual"), "last_run_succeeded") == 0
    lost = "postgresql://costbatch@127.0.0.1:1/costs"
    environ = {"PUSHGATEWAY_URL": gateway_url, "COSTBATCH_PUSH_LABELS": LABELS, "DATABASE_URL": lost}
    assert harness.collect("--account", ONE, **environ).status == 1
    lost_run = pushed(gateway_url, run="manual")
    assert value(lost_run, "last_run_timestamp_seconds") > value(failed, "last_run_timestamp_seconds")
    assert value(lost_run, "last_run_succeeded") == 0
    assert pushed(gateway_url, **NIGHT) == night


def test_a_run_over_everything_is_a_night(harness: Harness, gateway_url: str) -> None:
    """A night resumed by its key, and a Job by hand without restrictions, replace the night's metrics."""
    harness.open(small(1, "data_unavailable"), small(2, "data_unavailable"))
    assert collect(harness, gateway_url, "--run-key", "night").status == 1
    night = pushed(gateway_url, **NIGHT)
    assert value(night, "last_run_succeeded") == 0
    harness.open(small(1), small(2))
    for args in (("--run-key", "night"), (), ("--concurrency", "1", "--fail-on", "partial")):
        before = value(night, "last_run_timestamp_seconds")
        assert collect(harness, gateway_url, *args).status == 0
        night = pushed(gateway_url, **NIGHT)
        assert value(night, "last_run_timestamp_seconds") > before, args
        assert value(night, "last_run_succeeded") == 1, args
        assert value(night, "accounts", outcome="collected") == 2, args
        assert value(night, "last_success_timestamp_seconds") > 0, args
        assert pushed(gateway_url, run="manual") == {}, args


def test_a_night_that_read_nothing_names_no_newest_day(harness: Harness, gateway_url: str) -> None:
    """The dashboard would else show yesterday as read after a night in which every account failed."""
    name = ("__name__", "costbatch_cost_date_timestamp_seconds")
    harness.open(small(1), small(2, "not_enabled"))
    assert collect(harness, gateway_url).status == 0
    assert any(name in one for one in pushed(gateway_url, **NIGHT))
    harness.aws.add_fault(ONE, "data_unavailable")
    assert collect(harness, gateway_url).status == 1
    assert not any(name in one for one in pushed(gateway_url, **NIGHT))


def test_a_run_key_that_never_changes_is_no_success_of_each_night(harness: Harness, gateway_url: str) -> None:
    """Later nights join the first run, which is over, and read nothing: the last success stays the first."""
    harness.open(small(1))
    assert collect(harness, gateway_url, "--run-key", "always").status == 0
    first = value(pushed(gateway_url, **NIGHT), "last_success_timestamp_seconds")
    harness.sleep_until(TODAY + timedelta(days=2))
    assert collect(harness, gateway_url, "--run-key", "always").status == 0
    night = pushed(gateway_url, **NIGHT)
    assert value(night, "last_success_timestamp_seconds") == first
    assert value(night, "last_run_timestamp_seconds") == first
    assert collect(harness, gateway_url, "--run-key", "another").status == 0
    night = pushed(gateway_url, **NIGHT)
    assert value(night, "last_success_timestamp_seconds") > first + 86_400


def test_an_installation_without_accounts_has_its_nights(harness: Harness, gateway_url: str) -> None:
    """There was nothing to do, which is a success; one account that is not registered is wrong usage."""
    assert collect(harness, gateway_url).status == 0
    night = pushed(gateway_url, **NIGHT)
    assert value(night, "last_run_succeeded") == 1
    assert collect(harness, gateway_url, "--account", ONE).status == 2
    assert collect(harness, gateway_url, "--dry-run").status == 0
    assert pushed(gateway_url) == night


def test_accounts_that_a_cap_left_out_are_an_alert(
    harness: Harness, gateway_url: str, promtool: str, tmp_path: Path
) -> None:
    """A capped run asks for everything, so it is a night; that it left accounts out is never silent."""
    heal(harness)
    collect(harness, gateway_url)
    heal(harness, *range(1, 5))
    collect(harness, gateway_url, "--max-api-cost", "0.01")
    night = pushed(gateway_url, **NIGHT)
    assert value(night, "accounts", outcome="skipped") > 0
    assert "CostbatchAccountsLeftOut" in firing(promtool, night, tmp_path)


def test_two_installations_on_one_gateway_do_not_touch_each_other(
    harness: Harness, gateway_url: str, promtool: str, tmp_path: Path
) -> None:
    """Each has groups of its own, and its alerts are about its own runs."""
    harness.open(small(1, "not_enabled"))
    assert collect(harness, gateway_url).status == 1
    night = pushed(gateway_url, **NIGHT)
    alerts = firing(promtool, pushed(gateway_url), tmp_path)
    assert "CostbatchAllAccountsFailing" in alerts
    harness.open(small(2))
    for labels in ("namespace=finops,release=other", "namespace=test,release=costbatch", "none"):
        collect(harness, gateway_url, "--run-key", labels, labels=labels)
    assert pushed(gateway_url, **NIGHT) == night
    assert firing(promtool, pushed(gateway_url), tmp_path) == alerts
    other = pushed(gateway_url, **{**NIGHT, "release": "other"})
    assert value(other, "last_run_succeeded") == 1
    assert value(other, "accounts", outcome="collected") == 1


def test_the_doctor_looks_at_the_night(harness: Harness) -> None:
    """A backfill that went well does not hide that the night failed, or that there was none."""
    harness.open(small(1), small(2, "not_enabled"))
    harness.collect("--account", ONE)
    found = examine(harness)["last run"]
    assert (found["status"], found["found"]) == ("warning", "There has been no run over all accounts yet.")
    harness.aws.add_fault(ONE, "data_unavailable")
    assert harness.collect().status == 1
    harness.open(small(1), small(2, "not_enabled"))
    assert harness.collect("--account", ONE).status == 0
    assert harness.collect("--date", YESTERDAY, "--fail-on", "partial").status == 3
    found = examine(harness)["last run"]
    assert found["status"] == "warning"
    assert "it is failed (2 failed)" in found["found"]
