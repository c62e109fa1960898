"""The dashboard for operations, asked of a real Prometheus that a run has fed through a real Pushgateway."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import combinations, product
from typing import Any

import pytest

from costbatch.adapters.pushgateway import Pushgateway
from costbatch.domain.collect_report import CollectReport
from costbatch.domain.collection import CollectionCounts
from costbatch.domain.credentials import Secret
from costbatch.domain.deliveries import Backlog
from costbatch.domain.discover_report import DiscoverReport
from costbatch.domain.discovery import DiscoverOptions, DiscoveryCounts
from costbatch.domain.reports import RunReport
from tests.chart.chart import CHART, render_file
from tests.support.fake_runs import counts_of
from tests.support.grafana import unknown_members
from tests.support.machine import program
from tests.support.metrics import METRICS
from tests.support.prometheus import Prometheus, prometheus, wait_for
from tests.support.pushed_run import COLLECTED, DENIED, FORECAST, ONE, RECORD, TWO, partial_run
from tests.support.pushgateway import serve_pushgateway

NOW = datetime.now(tz=UTC)
RUN = partial_run(NOW)
REPORT = CollectReport(
    run=RUN,
    counts=counts_of([COLLECTED, DENIED]),
    collected=CollectionCounts(rows_fetched=RECORD.rows_fetched, change=RECORD.change),
    reported_at=NOW,
    anomaly_counts={("open", "high", "USD"): 2},
    costs=((ONE, "USD", Decimal("12.34")), (TWO, "JPY", Decimal(700))),
    backlog={"log": Backlog(pending=6)},
    forecasts=(FORECAST,),
)
DISCOVERY = DiscoverReport(
    run=replace(RUN, request=DiscoverOptions().to_request()),
    counts=counts_of([COLLECTED, DENIED]),
    reported_at=NOW,
    discovered=DiscoveryCounts(partial_accounts=1, regions_read=16, regions_failed=1, resources=40),
)


@pytest.fixture(scope="module")
def fed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Run both servers, push one run of each job, and wait until Prometheus has them."""
    folder = tmp_path_factory.mktemp("prometheus")
    with serve_pushgateway() as gateway, prometheus(program("prometheus"), gateway, folder) as server:
        reports: tuple[RunReport, ...] = (REPORT, DISCOVERY)
        for release, report in product(("costbatch", "other"), reports):
            adapter = Pushgateway(
                Secret(f"http://{gateway}"),
                job=report.words.name,
                timeout_seconds=5,
                version="1.2.3",
                labels={"namespace": "finops", "release": release},
            )
            adapter.push(report, succeeded=True, now=NOW)
            adapter.push(report, succeeded=True, now=NOW, is_whole=False)
        wait_for(lambda: len(server.query("costbatch_build_info")) == 8, "Prometheus has scraped the runs")
        yield server


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    """Return the dashboard as Grafana gets it."""
    return dashboards()["costbatch-operations.json"]


def dashboards() -> dict[str, dict[str, Any]]:
    """Return both dashboards as Grafana gets them."""
    files = render_file("monitoring").one("ConfigMap")["data"]
    return {name: json.loads(text) for name, text in files.items()}


def expressions(dashboard: dict[str, Any]) -> list[tuple[str, str]]:
    """Return every query: where it stands, and it."""
    of_panels = [
        (panel["title"], target["expr"]) for panel in dashboard["panels"] for target in panel["targets"]
    ]
    return of_panels + [(each["name"], each["expr"]) for each in dashboard["annotations"]["list"]]


def chosen(expression: str) -> str:
    """Return an expression as Grafana asks it, once an installation is chosen."""
    for name, value in (("job", "costbatch"), ("namespace", "finops"), ("release", "costbatch")):
        expression = expression.replace(f"${{{name}}}", value).replace(f"${name}", value)
    return expression


def test_every_query_finds_something(fed: Prometheus, dashboard: dict[str, Any]) -> None:
    """After one run no panel is empty; only the annotation of failed runs is, as this one succeeded."""
    for title, expression in expressions(dashboard):
        found = fed.query(chosen(expression))
        assert bool(found) is (title != "Runs that failed"), title


def test_every_query_is_about_one_installation_and_its_nights(
    fed: Prometheus, dashboard: dict[str, Any]
) -> None:
    """Another installation on the same gateway, and runs over some accounts or days, are not mixed in."""
    for title, expression in expressions(dashboard):
        for selector in re.findall(r"costbatch_\w+(?:{(.*?)})?", chosen(expression)):
            for series in fed.query(f"{{{selector}}}"):
                labels = series["metric"]
                assert (labels["namespace"], labels["release"]) == ("finops", "costbatch"), title
                assert "run" not in labels, title


def test_what_there_is_to_choose_from_is_there(fed: Prometheus, dashboard: dict[str, Any]) -> None:
    """Each variable's query finds what was pushed: the job, the namespaces and the releases."""
    _, *variables = dashboard["templating"]["list"]
    found = {}
    for variable in variables:
        match = re.fullmatch(r"label_values\((\w+(?:{.*})?), (\w+)\)", chosen(variable["query"]["query"]))
        assert match is not None
        found[variable["name"]] = fed.label_values(match[1], match[2])
    assert found == {"job": ["costbatch"], "namespace": ["finops"], "release": ["costbatch", "other"]}
    assert variables[0]["current"]["value"] == "costbatch"


def test_the_legends_name_labels_that_there_are(fed: Prometheus, dashboard: dict[str, Any]) -> None:
    """A legend with a label that no series has would be an empty word."""
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            labels = re.findall(r"{{(\w+)}}", target["legendFormat"])
            for series in fed.query(chosen(target["expr"])):
                assert set(labels) <= series["metric"].keys(), panel["title"]


def test_every_metric_is_on_the_dashboard(dashboard: dict[str, Any]) -> None:
    """What a run pushes can be seen, and nothing else is asked for."""
    asked = {
        name for _, expression in expressions(dashboard) for name in re.findall(r"costbatch_\w+", expression)
    }
    assert asked == {metric.name for metric in METRICS}


def test_failures_of_discovery_are_looked_up_where_they_are(dashboard: dict[str, Any]) -> None:
    """`accounts list` shows the failures of the cost job alone; those of discovery are in `doctor`."""
    of_failures = {
        "discover" in target["expr"]: panel["description"]
        for panel in dashboard["panels"]
        for target in panel["targets"]
        if "costbatch_account_failures" in target["expr"]
    }
    assert "`costbatch accounts list`" in of_failures[False]
    assert "`costbatch doctor`" in of_failures[True]


@pytest.mark.parametrize("name", ["costbatch-operations.json", "costbatch-costs.json"])
def test_grafanas_schema_knows_everything_in_it(name: str) -> None:
    """A misspelt member would be ignored; what annotations add is their data source's own affair."""
    own = {".annotations.list[0].titleFormat", ".annotations.list[0].rawQuery"}
    assert set(unknown_members(dashboards()[name])) <= own


@pytest.mark.parametrize("name", ["costbatch-operations.json", "costbatch-costs.json"])
def test_the_panels_lie_side_by_side(name: str) -> None:
    """Each has an id and a place of its own, a title and a sentence."""
    panels = dashboards()[name]["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert all(panel["title"] and panel["description"].endswith(".") for panel in panels)
    places = [panel["gridPos"] for panel in panels]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    assert not [pair for pair in combinations(places, 2) if _overlap(*pair)]


def test_grafanas_sidecar_finds_the_dashboard() -> None:
    """By the label that it looks for by default; the file is the one in the chart."""
    config_map = render_file("monitoring").one("ConfigMap")
    assert config_map["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert config_map["metadata"]["annotations"] == {"grafana_folder": "FinOps"}
    files = [json.loads(text) for text in config_map["data"].values()]
    names = ("dashboard.json", "dashboard-costs.json")
    assert files == [json.loads((CHART / "files" / name).read_text()) for name in names]
    assert len({each["uid"] for each in files}) == len(files)


def _overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return (
        one["x"] < other["x"] + other["w"]
        and other["x"] < one["x"] + one["w"]
        and one["y"] < other["y"] + other["h"]
        and other["y"] < one["y"] + one["h"]
    )
