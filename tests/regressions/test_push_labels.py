"""COSTBATCH_PUSH_LABELS: what is accepted reaches the Pushgateway as it was written; the rest is refused."""

from collections.abc import Iterator

import pytest

from costbatch.adapters.pushgateway import MANUAL_GROUP, SUCCESS_GROUP
from costbatch.config.parsers import TAKEN_LABELS
from tests.chart.chart import render
from tests.chart.pods import environment
from tests.chart.test_chart_pods import SECRET
from tests.regressions.test_metrics_of_restricted_runs import collect, pushed, small, value
from tests.support.harness import Harness
from tests.support.metrics import METRICS
from tests.support.pushgateway import serve_pushgateway


@pytest.mark.parametrize(
    "labels",
    [
        {"namespace": "finops", "release": "costbatch"},
        {"cluster": "eu/west-1", "owner": "team@example.com"},
        {"arn": "arn:aws:eks:eu-west-1:123456789012:cluster/prod"},
        {"Harness": "1.2", "_zone": "a" * 200, "instance": "one"},
    ],
    ids=",".join,
)
def test_what_is_accepted_arrives_at_the_gateway_as_it_was_written(
    shared: Harness, gateway_url: str, labels: dict[str, str]
) -> None:
    """Also with characters that mean something in a web address; in all three groups."""
    shared.open(small(1))
    text = ", ".join(f"{name} = {each}" for name, each in labels.items())
    assert collect(shared, gateway_url, labels=text).status == 0
    assert collect(shared, gateway_url, "--account", shared.ids[0], labels=text).status == 0
    own = pushed(gateway_url, **labels)
    assert own == pushed(gateway_url)
    assert value(own, "last_success_timestamp_seconds") > 0
    assert {dict(one).get("run") for one in own} == {None, "manual"}


@pytest.fixture(scope="module")
def empty_gateway() -> Iterator[str]:
    """Run a Pushgateway to which nothing may be pushed; return its URL."""
    with serve_pushgateway() as address:
        yield f"http://{address}"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("finops", "'finops' has no ="),
        ("namespace=finops,,release", "'release' has no ="),
        ("=finops", "not a label name"),
        ("name-space=finops", "not a label name"),
        ("1st=finops", "not a label name"),
        ("__address__=finops", "not a label name"),
        ("näme=finops", "not a label name"),
        ("job=mine", "costbatch sets itself"),
        ("group=mine", "costbatch sets itself"),
        ("run=manual", "costbatch sets itself"),
        ("currency=EUR", "costbatch sets itself"),
        ("release=a,release=b", "gives 'release' twice"),
        ("release=", "the value ''"),
        ("release=..", "the value '..'"),
        ("release=a b", "the value 'a b'"),
        ("release=a=b", "the value 'a=b'"),
        ('release=a"b', "a value is 1 to 200 letters"),
        ("release=" + "a" * 201, "a value is 1 to 200 letters"),
        ("release=a\nb", "a value is 1 to 200 letters"),
    ],
)
def test_what_is_not_a_label_is_refused_before_anything_is_done(
    idle: Harness, empty_gateway: str, text: str, words: str
) -> None:
    """With the name of the variable, and status 2: nothing is collected or pushed."""
    run = collect(idle, empty_gateway, labels=text)
    assert run.status == 2
    (sentence,) = run.sentences
    assert sentence.startswith("COSTBATCH_PUSH_LABELS ")
    assert words in sentence
    assert pushed(empty_gateway) == {}


def test_the_labels_that_are_taken_are_those_of_the_metrics_and_their_groups() -> None:
    """A label that is added to a metric is refused from then on."""
    own = {label for metric in METRICS for label in metric.labels}
    assert {"job", *SUCCESS_GROUP, *MANUAL_GROUP, *own} == TAKEN_LABELS


@pytest.mark.parametrize(
    ("settings", "label", "selector"),
    [
        ({}, "namespace=finops,release=costbatch", 'namespace="finops",release="costbatch",run=""'),
        ({"COSTBATCH_PUSH_LABELS": "a = b,c=d/e"}, "a = b,c=d/e", 'a="b",c="d/e",run=""'),
        ({"COSTBATCH_PUSH_LABELS": "none"}, "none", 'run=""'),
        ({"COSTBATCH_PUSH_LABELS_FILE": "/labels"}, None, 'job="costbatch",run=""'),
    ],
    ids=["by default", "others", "none", "from a file"],
)
def test_the_chart_sets_the_labels_and_its_alerts_look_for_them(
    settings: dict[str, object], label: str | None, selector: str
) -> None:
    """Each release has its own by default; what the settings say instead is what the rules select by."""
    rule = {"prometheusRule": {"enabled": True}}
    rendered = render({**SECRET, "settings": settings, "monitoring": rule})
    variables = environment(rendered.pod("collect").container("costbatch"))
    assert variables.get("COSTBATCH_PUSH_LABELS", {}).get("value") == label
    (group,) = rendered.one("PrometheusRule")["spec"]["groups"]
    for alert in group["rules"]:
        assert selector in alert["expr"], alert["alert"]
        assert alert["expr"].count("costbatch_") == alert["expr"].count('run=""'), alert["alert"]
