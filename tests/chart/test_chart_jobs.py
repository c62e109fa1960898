"""The list of the jobs in the chart, and what is made from it: whoever forgets a new one finds out here."""

import json
import re
from pathlib import Path

import pytest
import yaml

from costbatch.cli import COMMANDS
from costbatch.domain.jobs import JOBS
from tests.chart.chart import CHART, HELPERS, chart_with, render, render_file
from tests.chart.generate import add_blocks
from tests.chart.pods import pod_of
from tests.chart.test_chart_pods import SECRET, is_selected


def test_a_job_that_is_added_to_the_list_is_known_everywhere(tmp_path: Path) -> None:
    """Nobody would notice that a pod is outside the policy, and so has no limits, or has no alerts."""
    chart = chart_with("audit", noun="audit", done="audited", into=tmp_path / "chart")
    rule = {"prometheusRule": {"enabled": True, "kubeStateMetrics": True}}
    block = yaml.safe_load((CHART / "values.yaml").read_text())["discover"]
    values = {**SECRET, "networkPolicy": {"enabled": True}, "monitoring": rule}
    rendered = render({**values, "audit": {**block, "enabled": True}}, chart=chart)
    policy = rendered.one("NetworkPolicy", "costbatch")
    pods = {each["metadata"]["name"]: pod_of(each) for each in rendered.of_kind("CronJob")}
    assert pods.keys() == {"costbatch", "costbatch-audit"}
    assert all(pod and is_selected(policy, pod.metadata["labels"]) for pod in pods.values())
    assert "costbatch-audit-[0-9]+" in rendered.text
    (group,) = rendered.one("PrometheusRule")["spec"]["groups"]
    watching = {each["alert"] for each in group["rules"] if 'job="costbatch-audit"' in each["expr"]}
    assert watching == {
        "CostbatchNoRecentAudit",
        "CostbatchNoAuditMetrics",
        "CostbatchAuditFailed",
        "CostbatchAccountsNotAudited",
        "CostbatchAccountsKeepNotAudited",
    }
    assert "lower COSTBATCH_CONCURRENCY in audit.settings" in rendered.text


def test_the_chart_runs_every_job_of_the_program() -> None:
    """With the words of its list; a job that is missing there would never run, and have no alert."""
    listed = render_file("demo").of_kind("CronJob")
    assert [pod.component for each in listed if (pod := pod_of(each))] == list(JOBS)
    known = yaml.safe_load(
        re.findall(r'"costbatch.knownJobs" -}}\n(.*?)\{\{', HELPERS.read_text(), re.DOTALL)[0]
    )
    assert {each["job"]: each["done"] for each in known} == {job: JOBS[job].done for job in JOBS}


@pytest.mark.parametrize("job", list(JOBS)[1:])
def test_the_block_of_a_job_says_everything(job: str) -> None:
    """What it lacked would come from the first job: arguments that are not its own, and its memory."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())["properties"][job]
    assert values[job].keys() >= values["discover"].keys()
    assert {*schema["required"], "activeDeadlineSeconds"} >= values["discover"].keys()


def test_the_schema_takes_the_block_of_a_new_job_as_it_takes_that_of_discovery() -> None:
    """Nobody writes it by hand; what is missing in the values is a sentence."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    del schema["properties"]["discover"]["properties"]["schedule"]["description"]
    add_blocks(schema, {**values, "audit": values["discover"]}, ["collect", "discover", "audit"])
    assert schema["properties"]["audit"] == schema["properties"]["discover"]
    assert "audit" in schema["required"]
    with pytest.raises(
        SystemExit, match=r"values.yaml has no block `audit`: write it as that of `discover`."
    ):
        add_blocks(schema, values, ["collect", "audit"])
    sentence = r"The block `audit` of values.yaml lacks extraArgs: write it as that of `discover`\."
    block = {name: value for name, value in values["discover"].items() if name != "extraArgs"}
    with pytest.raises(SystemExit, match=sentence):
        add_blocks(schema, {**values, "audit": block}, ["audit"])


# What restricts no run: the options of every job, and those of one that change no request.
_WHOLE = {
    *("--concurrency", "--deadline", "--dry-run", "--fail-on", "--output", "--run-key", "--verbose"),
    # It needs --account, which restricts it already.
    "--accept-vanished",
    "--max-api-cost",
}


@pytest.mark.parametrize("job", JOBS)
def test_the_chart_knows_which_options_restrict_a_run(job: str) -> None:
    """A new one is decided about here: the alert on the last success would fire for ever."""
    helpers = (CHART / "templates" / "prometheusrule.yaml").read_text()
    (names,) = re.findall(r'regexMatch "\^--\((.*?)\)\(=\|\$\)"', helpers)
    options = {name for each in COMMANDS[job].load().params for name in each.opts if name.startswith("--")}
    assert options - _WHOLE == {f"--{name}" for name in names.split("|")} & options
