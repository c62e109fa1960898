"""Wrong values are refused before anything is installed, with the place of the mistake."""

import json
from typing import Any

import pytest

from costbatch.config import PREFIX, VARIABLES
from costbatch.config.sinks import FILTER_KEYS, READERS
from tests.chart import generate
from tests.chart.chart import CHART, HelmError, alerts, render, run_helm

SECRET = {"secrets": {"existingSecret": "costbatch-secrets"}}


def refused(values: dict[str, Any]) -> str:
    """Return what helm says to values that it must refuse, beside a Secret that is there."""
    with pytest.raises(HelmError) as error:
        render({**SECRET, **values})
    return str(error.value)


@pytest.mark.parametrize(
    ("values", "mistake"),
    [
        ({"scheduel": "0 2 * * *"}, "scheduel"),
        ({"image": {"repo": "costbatch"}}, "repo"),
        ({"secrets": {"existingSecrets": "x"}}, "existingSecrets"),
        ({"secrets": {**SECRET["secrets"], "keys": {"DATABASE_ULR": "url"}}}, "DATABASE_ULR"),
        ({"settings": {"COSTBATCH_CONCURENCY": 8}}, "COSTBATCH_CONCURENCY"),
        ({"settings": {"COSTBATCH_RUN_KEY": "mine"}}, "COSTBATCH_RUN_KEY"),
        ({"migrations": {"enabled": True}}, "enabled"),
        ({"serviceAccount": {"annotation": {}}}, "annotation"),
        ({"networkPolicy": {"database": {"ports": 5432}}}, "ports"),
        ({"networkPolicy": {"aws": {"to": [{"cidr": "10.0.0.0/8"}]}}}, "cidr"),
        ({"monitoring": {"prometheusRule": {"enable": True}}}, "enable"),
        ({"monitoring": {"prometheusRule": {"disabledAlerts": ["CostbatchTypo"]}}}, "disabledAlerts"),
        ({"demo": {"postgres": {"tag": "17"}}}, "tag"),
        ({"affinity": {"podAffinities": {}}}, "podAffinities"),
        ({"resources": {"request": {}}}, "request"),
        ({"extraEnv": [{"name": "A", "valeu": "b"}]}, "valeu"),
    ],
)
def test_a_typo_is_refused_wherever_it_is(values: dict[str, Any], mistake: str) -> None:
    """A value that nobody reads would be silently ignored."""
    assert mistake in refused(values)


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"backoffLimit": "3"}, "backoffLimit"),
        ({"backoffLimit": -1}, "backoffLimit"),
        ({"backoffLimit": None}, "backoffLimit"),
        ({"successfulJobsHistoryLimit": 1.5}, "successfulJobsHistoryLimit"),
        ({"suspend": "no"}, "suspend"),
        ({"parallelism": 0}, "parallelism"),
        ({"startingDeadlineSeconds": 5}, "startingDeadlineSeconds"),
        ({"schedule": "TZ=America/New_York 0 2 * * *"}, "schedule"),
        ({"schedule": "0 2 * *"}, "schedule"),
        ({"timeZone": "Local"}, "timeZone"),
        ({"concurrencyPolicy": "forbid"}, "concurrencyPolicy"),
        ({"image": {"digest": "latest"}}, "digest"),
        ({"image": {"pullPolicy": "Sometimes"}}, "pullPolicy"),
        ({"imagePullSecrets": ["registry-login"]}, "imagePullSecrets"),
        ({"settings": {"COSTBATCH_SINKS": ["log"]}}, "COSTBATCH_SINKS"),
        ({"settings": {"COSTBATCH_CONCURRENCY_FILE": 8}}, "COSTBATCH_CONCURRENCY_FILE"),
        ({"pushgateway": {"url": "pushgateway:9091"}}, "url"),
        ({"sinks": {"config": {"Pager": {"type": "log"}}}}, "Pager"),
        ({"sinks": {"config": {"pager": {"type": "pigeon"}}}}, "type"),
        ({"sinks": {"config": {"pager": {"type": "webhook", "urll": "https://x"}}}}, "urll"),
        ({"sinks": {"config": {"pager": {"type": "webhook", "secrets": "whsec_x"}}}}, "secrets"),
        ({"sinks": {"config": {"pager": {"type": "log", "filter": {"minimum": {"usd": 1}}}}}}, "minimum"),
        ({"networkPolicy": {"sinks": {"ports": [0]}}}, "ports"),
        ({"migrations": {"mode": "job"}}, "mode"),
        ({"podLabels": {"cost-center": 4711}}, "cost-center"),
        ({"extraEnv": {"A": "b"}}, "extraEnv"),
        ({"extraEnv": [{"name": "A", "value": 1}]}, "value"),
        ({"networkPolicy": {"database": {"port": "5432"}}}, "port"),
        ({"monitoring": {"prometheusRule": {"springNight": "asia"}}}, "springNight"),
        ({"monitoring": {"prometheusRule": {"apiCostBudgetUsd": 0}}}, "apiCostBudgetUsd"),
    ],
)
def test_a_wrong_type_or_value_is_refused(values: dict[str, Any], place: str) -> None:
    """Types, enums and ranges, where the chart knows them."""
    assert place in refused(values)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"secrets": {}}, "set secrets.existingSecret to a Secret that holds them"),
        ({"secrets": {"existingSecret": "a", "values": {"DATABASE_URL": "b"}}}, "exclude each other"),
        ({"demo": {"enabled": True}}, "demo.enabled has its own database and key"),
        (
            {
                "secrets": {"existingSecret": "a", "keys": {"PUSHGATEWAY_URL": "b"}},
                "pushgateway": {"url": "http://gateway:9091"},
            },
            "PUSHGATEWAY_URL is both",
        ),
        (
            {
                "secrets": {"files": {"DATABASE_URL": "/a", "PUSHGATEWAY_URL": "/b"}},
                "pushgateway": {"url": "http://gateway:9091"},
            },
            "PUSHGATEWAY_URL is both",
        ),
        (
            {"secrets": {"files": {"DATABASE_URL": "/a"}}, "migrations": {"databaseUrlKey": "owner"}},
            "which is not set",
        ),
        (
            {"sinks": {"config": {"log": {"type": "log"}}}, "settings": {"COSTBATCH_SINKS": "log"}},
            "sinks.config and COSTBATCH_SINKS are both set",
        ),
        (
            {
                "sinks": {"config": {"log": {"type": "log"}}},
                "secrets": {"existingSecret": "a", "keys": {"COSTBATCH_SINKS": "b"}},
            },
            "sinks.config and COSTBATCH_SINKS are both set",
        ),
        (
            {"settings": {"COSTBATCH_GRACE_SECONDS_FILE": "/etc/grace"}},
            "Set COSTBATCH_GRACE_SECONDS in settings, as a number",
        ),
        (
            {"extraEnv": [{"name": "COSTBATCH_PUSH_TIMEOUT_SECONDS", "value": "60"}]},
            "Set COSTBATCH_PUSH_TIMEOUT_SECONDS in settings, as a number",
        ),
        (
            {"monitoring": {"prometheusRule": {"enabled": True, "selector": 'release="x",job=~"cost.*"'}}},
            'selector must contain job="NAME"',
        ),
        ({"terminationGracePeriodSeconds": 35}, "terminationGracePeriodSeconds must be more than 35"),
    ],
)
def test_values_that_contradict_each_other_are_refused(values: dict[str, Any], sentence: str) -> None:
    """What no schema can say is said in a sentence."""
    assert sentence in refused(values)


def test_a_kubernetes_that_is_too_old_is_refused() -> None:
    """1.28 does not know the retries of each pod."""
    with pytest.raises(HelmError, match="incompatible with Kubernetes"):
        run_helm("template", str(CHART), "--kube-version", "1.28.15", "--set", "secrets.existingSecret=a")


def test_the_schema_knows_every_setting() -> None:
    """A variable that is new in the program is known here; `python -m tests.chart.generate` adds it."""
    assert (CHART / "values.schema.json").read_text() == generate.schema()
    settings = json.loads(generate.schema())["properties"]["settings"]["properties"]
    ours = {variable.name for variable in VARIABLES if variable.name.startswith(PREFIX)} - {
        "COSTBATCH_RUN_KEY"
    }
    assert {name for name in settings if not name.endswith("_FILE")} == ours


def test_the_schema_knows_every_key_of_a_sink() -> None:
    """The types, their options and the conditions of a filter are those that the program reads."""
    document = json.loads((CHART / "values.schema.json").read_text())
    sink = document["properties"]["sinks"]["properties"]["config"]["additionalProperties"]["properties"]
    assert sink["type"]["enum"] == [*READERS]
    options = {key for _, keys, _ in READERS.values() for key in keys}
    assert sink.keys() == {"type", "filter", "digest", *options}
    assert [*sink["filter"]["properties"]] == [*FILTER_KEYS]


def test_every_object_of_values_is_closed() -> None:
    """Wherever the chart reads a value by its name, no other name is accepted."""
    document = json.loads((CHART / "values.schema.json").read_text())
    open_objects = [
        path
        for path, part in _objects(document, "")
        if "properties" in part and part.get("additionalProperties")
    ]
    assert open_objects == []


def test_the_alerts_that_can_be_left_out_are_those_that_there_are() -> None:
    """The list in the schema and the alerts of the template are the same, of every job."""
    document = json.loads((CHART / "values.schema.json").read_text())
    rule = document["properties"]["monitoring"]["properties"]["prometheusRule"]["properties"]
    assert rule["disabledAlerts"]["items"]["enum"] == list(alerts())


def _objects(part: Any, path: str) -> Any:
    if isinstance(part, dict):
        if part.get("type") == "object":
            yield path, part
        for name, one in part.items():
            yield from _objects(one, f"{path}/{name}")
