"""What the CronJob, its pods and its hooks are, field by field where it matters."""

import math
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from costbatch.cli import COMMANDS
from costbatch.config import Settings
from costbatch.config.sinks import parse_file
from costbatch.domain.jobs import JOBS
from tests.chart.chart import (
    CHART,
    OLDEST_KUBERNETES,
    VALUE_FILES,
    HelmError,
    Rendered,
    render,
    render_file,
)
from tests.chart.pods import Manifest, Pod, environment, hooks, pod_of
from tests.support.sinks import SIGNING

SECRET = {"secrets": {"existingSecret": "costbatch-secrets"}}
_EXAMPLES = {
    "DATABASE_URL": "postgresql://costbatch:secret@postgres:5432/costbatch",
    "ENCRYPTION_KEY": "1" * 64,
    "PUSHGATEWAY_URL": "http://user:secret@pushgateway:9091",
    "COSTBATCH_SINKS": "sinks: {}",
}


def job_of(rendered: Rendered) -> Manifest:
    """Return the spec of the CronJob's Jobs."""
    spec: Manifest = rendered.one("CronJob")["spec"]["jobTemplate"]["spec"]
    return spec


def test_the_defaults_are_those_that_were_promised() -> None:
    """Each night at 02:00 in New York, three retries, never two runs at once."""
    rendered = render_file("minimal")
    spec, job, pod = rendered.one("CronJob")["spec"], job_of(rendered), rendered.pod("collect")
    assert (spec["schedule"], spec["timeZone"]) == ("0 2 * * *", "America/New_York")
    assert (spec["concurrencyPolicy"], spec["suspend"], job["backoffLimit"]) == ("Forbid", False, 3)
    assert pod.spec["restartPolicy"] == "Never"
    assert pod.spec["serviceAccountName"] == rendered.one("ServiceAccount")["metadata"]["name"]
    assert pod.container("costbatch")["args"] == ["collect"]
    assert "command" not in pod.container("costbatch")
    assert pod.container("costbatch")["terminationMessagePolicy"] == "FallbackToLogsOnError"
    assert pod.volumes == []


def test_a_run_that_starts_late_and_hangs_is_over_before_the_next_one() -> None:
    """Otherwise Forbid would cost the next night too."""
    rendered = render_file("minimal")
    late = rendered.one("CronJob")["spec"]["startingDeadlineSeconds"]
    assert late + job_of(rendered)["activeDeadlineSeconds"] < 24 * 3600


def test_the_file_of_sinks_is_read_by_the_program(tmp_path: Path) -> None:
    """As the chart renders it, in the pods of runs and of the test, with the secrets beside it."""
    rendered = render_file("sinks")
    for component in ("collect", "test"):
        pod = rendered.pod(component)
        container = pod.container("costbatch")
        mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        assert mounts == {"/etc/costbatch/sinks-config": "sinks-config", "/etc/costbatch/sinks": "sinks"}
        path = environment(container)["COSTBATCH_SINKS_FILE"]["value"]
        assert path == "/etc/costbatch/sinks-config/sinks.yaml"
    assert "COSTBATCH_SINKS_FILE" not in environment(rendered.pod("migrate").container("migrate"))
    (tmp_path / "chat-url").write_text("json://127.0.0.1")
    (tmp_path / "signing-secret").write_text(SIGNING)
    text = rendered.one("ConfigMap")["data"]["sinks.yaml"].replace("/etc/costbatch/sinks", str(tmp_path))
    sinks, _ = parse_file(text, "sinks.yaml", {})
    kinds = [sink.kind for sink in sinks]
    assert kinds == ["alertmanager", "log", "notify", "webhook", "sns"]
    ports = [
        rule["ports"]
        for rule in rendered.one("NetworkPolicy", "costbatch")["spec"]["egress"]
        if "to" not in rule
    ]
    assert [{"port": 443, "protocol": "TCP"}, {"port": 9093, "protocol": "TCP"}] in ports


def is_selected(policy: Manifest, labels: Mapping[str, Any]) -> bool:
    """Return whether a network policy is one of the pods with these labels."""
    selector = policy["spec"]["podSelector"]
    return selector["matchLabels"].items() <= labels.items() and all(
        each["operator"] == "In" and labels.get(each["key"]) in each["values"]
        for each in selector["matchExpressions"]
    )


@pytest.mark.parametrize("name", VALUE_FILES)
def test_every_pod_of_a_job_is_under_the_network_policy(name: str) -> None:
    """Also those of the trial."""
    rendered = render_file(name)
    for policy in rendered.of_kind("NetworkPolicy")[:1]:
        for cron in rendered.of_kind("CronJob"):
            pod = pod_of(cron)
            assert pod
            assert is_selected(policy, pod.metadata["labels"])


@pytest.mark.parametrize(
    "values",
    [
        {"pushgateway": {"url": "http://pushgateway:9091"}},
        {"extraEnv": [{"name": "PUSHGATEWAY_URL", "value": "http://pushgateway:9091"}]},
        {"extraEnv": [{"name": "PUSHGATEWAY_URL_FILE", "value": "/etc/pushgateway/url"}]},
        {},
    ],
)
def test_the_port_of_a_pushgateway_is_open_if_there_is_one(values: Mapping[str, Any]) -> None:
    """Wherever its address comes from, as far as the chart can see it."""
    rendered = render({**SECRET, "networkPolicy": {"enabled": True}, **values})
    rules = rendered.one("NetworkPolicy", "costbatch")["spec"]["egress"]
    assert ([{"port": 9091, "protocol": "TCP"}] in [rule["ports"] for rule in rules]) is bool(values)


def test_zeros_survive() -> None:
    """A zero is a value, not the absence of one."""
    rendered = render_file("zeros")
    spec, job = rendered.one("CronJob")["spec"], job_of(rendered)
    assert (spec["successfulJobsHistoryLimit"], spec["failedJobsHistoryLimit"]) == (0, 0)
    assert (job["backoffLimit"], job["ttlSecondsAfterFinished"]) == (0, 0)
    variables = environment(rendered.pod("collect").container("costbatch"))
    assert variables["COSTBATCH_GRACE_SECONDS"]["value"] == "0"
    assert variables["COSTBATCH_ACCOUNT_METRICS"]["value"] == "false"
    assert rendered.pod("collect").spec["terminationGracePeriodSeconds"] == 10 + 25


def test_null_leaves_a_field_to_kubernetes() -> None:
    """Fields that may be absent are absent."""
    rendered = render_file("nulls")
    assert "startingDeadlineSeconds" not in rendered.one("CronJob")["spec"]
    assert not {"activeDeadlineSeconds", "ttlSecondsAfterFinished"} & job_of(rendered).keys()


def test_a_large_number_stays_a_number() -> None:
    """Helm would print 1000000 as 1e+06, which is no amount."""
    container = render_file("everything").pod("collect").container("costbatch")
    assert environment(container)["COSTBATCH_ANOMALY_FLOOR"]["value"] == "1000000"


def test_wrong_configuration_fails_the_job_at_once_and_an_eviction_does_not_count() -> None:
    """Exit status 2 cannot be mended by another try; a drained node is not the program's failure."""
    rendered = render_file("minimal")
    for job, container in ((job_of(rendered), "costbatch"), (rendered.one("Job")["spec"], "migrate")):
        failed, ignored = job["podFailurePolicy"]["rules"]
        assert failed["action"] == "FailJob"
        assert failed["onExitCodes"] == {"containerName": container, "operator": "In", "values": [2]}
        assert ignored == {
            "action": "Ignore",
            "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
        }


@pytest.mark.parametrize("name", VALUE_FILES)
def test_every_rule_names_a_container_of_the_pod(name: str) -> None:
    """Kubernetes refuses a Job whose failure policy names another one."""
    for cron_job in render_file(name).of_kind("CronJob"):
        rules = cron_job["spec"]["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]
        named = {rule["onExitCodes"]["containerName"] for rule in rules if "onExitCodes" in rule}
        pod = pod_of(cron_job)
        assert pod
        assert named <= {container["name"] for container in pod.containers}


def test_the_run_key_is_the_jobs_uid() -> None:
    """Retries and parallel pods of one Job share a run; the test's pod and migrations belong to none."""
    rendered = render_file("minimal")
    source = environment(rendered.pod("collect").container("costbatch"))["COSTBATCH_RUN_KEY"]["valueFrom"]
    assert source == {"fieldRef": {"fieldPath": "metadata.labels['batch.kubernetes.io/controller-uid']"}}
    for component in ("test", "migrate"):
        (container,) = rendered.pod(component).containers
        assert "COSTBATCH_RUN_KEY" not in environment(container)


@pytest.mark.parametrize(
    ("values", "deadline"),
    [
        ({}, "14040"),
        ({"activeDeadlineSeconds": 600, "terminationGracePeriodSeconds": 70}, "470"),
        ({"activeDeadlineSeconds": 120}, "30"),
        ({"activeDeadlineSeconds": 90}, None),
        ({"activeDeadlineSeconds": None}, None),
        ({"settings": {"COSTBATCH_DEADLINE_SECONDS": 77}}, "77"),
        # The most that the program takes.
        ({"activeDeadlineSeconds": 1_209_600, "schedule": "0 2 1 * *"}, "604800"),
    ],
)
def test_a_run_ends_in_order_before_kubernetes_ends_its_job(values: Manifest, deadline: str | None) -> None:
    """It begins no account a grace period before the Job's time is over, which counts from the Job's start.

    Five minutes more are for a slow start of the pod and for the events: a tenth of a short time, and half a
    minute at least.
    """
    rendered = render({**SECRET, **values})
    variables = environment(rendered.pod("collect").container("costbatch"))
    found = variables.get("COSTBATCH_DEADLINE_SECONDS")
    assert (found and found["value"]) == deadline
    (container,) = rendered.pod("test").containers
    assert ("COSTBATCH_DEADLINE_SECONDS" in environment(container)) == ("settings" in values)


@pytest.mark.parametrize("variable", ["COSTBATCH_DEADLINE_SECONDS", "COSTBATCH_PUSH_LABELS"])
@pytest.mark.parametrize(
    "way", ["settings", "settings_file", "keys", "mounted_keys", "values", "files", "extra_env"]
)
def test_what_is_given_in_any_way_is_not_set_by_the_chart(variable: str, way: str) -> None:
    """Kubernetes would take the last of two; the program refuses a value beside a file."""
    keys = {"existingSecret": "costbatch-secrets", "keys": {variable: "k"}}
    values: dict[str, Manifest] = {
        "settings": {"settings": {variable: "7"}},
        "settings_file": {"settings": {f"{variable}_FILE": "/etc/own"}},
        "keys": {"secrets": keys},
        "mounted_keys": {"secrets": {**keys, "mountAsFiles": True}},
        "values": {"secrets": {"values": {variable: "7"}}},
        "files": {"secrets": {"files": {variable: "/etc/own"}}},
        "extra_env": {"extraEnv": [{"name": variable, "value": "7"}]},
    }
    given = values[way]
    container = (
        render(given if "secrets" in given else {**SECRET, **given}).pod("collect").container("costbatch")
    )
    (found,) = (name for name in environment(container) if name in {variable, f"{variable}_FILE"})
    assert (found == variable) == (way in {"settings", "keys", "values", "extra_env"})


def test_parallel_pods_are_an_indexed_job_with_retries_of_their_own() -> None:
    """When the database is away all pods fail together, which must not use up one common limit."""
    job = job_of(render_file("indexed"))
    assert (job["completionMode"], job["parallelism"], job["completions"]) == ("Indexed", 4, 4)
    assert job["backoffLimitPerIndex"] == 2
    assert "backoffLimit" not in job
    assert "completionMode" not in job_of(render_file("minimal"))


@pytest.mark.parametrize("name", VALUE_FILES)
def test_the_program_accepts_what_it_is_told(name: str, tmp_path: Path) -> None:
    """Every container's variables are settings that costbatch accepts, and it has the commands."""
    rendered = render_file(name)
    for pod in rendered.pods:
        for container in _ours(pod):
            assert container["args"][0] in COMMANDS
            settings = Settings.from_environment(_as_in_the_pod(container, tmp_path))
            settings.require_database_url()
            if container["args"][0] == "collect":
                settings.key_bytes()


@pytest.mark.parametrize("name", VALUE_FILES)
def test_kubernetes_waits_longer_than_an_orderly_stop_takes(name: str, tmp_path: Path) -> None:
    """The grace period holds the accounts in flight, the metrics and some time to store and to close."""
    pod = render_file(name).pod("collect")
    settings = Settings.from_environment(_as_in_the_pod(pod.container("costbatch"), tmp_path))
    least = math.ceil(settings.grace_seconds) + math.ceil(settings.push_timeout_seconds) + 25
    assert pod.spec["terminationGracePeriodSeconds"] >= least


def test_the_defaults_of_the_grace_period_are_the_programs() -> None:
    """The chart repeats two defaults; here they are held against the settings."""
    settings = Settings()
    seconds = render_file("minimal").pod("collect").spec["terminationGracePeriodSeconds"]
    assert seconds == settings.grace_seconds + settings.push_timeout_seconds + 25


def test_an_empty_setting_is_the_default() -> None:
    """To the chart as to the program, which takes an empty variable for one that is not set."""
    names = (
        "COSTBATCH_GRACE_SECONDS",
        "COSTBATCH_PUSH_TIMEOUT_SECONDS",
        "COSTBATCH_DEADLINE_SECONDS",
        "COSTBATCH_PUSH_LABELS",
        "COSTBATCH_SINKS",
        "COSTBATCH_GRACE_SECONDS_FILE",
    )
    more = {
        "sinks": {"config": {"log": {"type": "log"}}},
        "monitoring": {"prometheusRule": {"enabled": True}},
    }
    empty, default = (
        render({**SECRET, **more, "settings": settings}) for settings in (dict.fromkeys(names, ""), {})
    )
    for component in ("collect", "test", "migrate"):
        assert empty.pod(component).spec == default.pod(component).spec
    assert empty.one("PrometheusRule") == default.one("PrometheusRule")


def test_an_empty_setting_of_a_job_ends_the_common_one() -> None:
    """The job then has the default, and the other one keeps what it has."""
    settings = {"settings": {"COSTBATCH_GRACE_SECONDS": 100}}
    own = {"discover": {"enabled": True, "settings": {"COSTBATCH_GRACE_SECONDS": ""}}}
    rendered = render({**SECRET, **settings, **own})
    pods = [rendered.pod(component) for component in ("collect", "discover")]
    assert [pod.spec["terminationGracePeriodSeconds"] for pod in pods] == [135, 60]
    found = [environment(pod.container("costbatch")).get("COSTBATCH_GRACE_SECONDS") for pod in pods]
    assert [each and each["value"] for each in found] == ["100", None]


def test_migrations_run_before_the_release_as_a_hook() -> None:
    """The Job is made anew each time and goes when it succeeded; a failed one stays for its log."""
    job = render_file("minimal").one("Job")
    assert hooks(job) == {"pre-install", "pre-upgrade"}
    policy = job["metadata"]["annotations"]["helm.sh/hook-delete-policy"]
    assert policy == "before-hook-creation,hook-succeeded"
    assert job["spec"]["template"]["spec"]["containers"][0]["args"] == ["db", "upgrade"]


def test_migrations_can_run_in_the_pods_of_runs_or_not_at_all() -> None:
    """The modes initContainer and none have no hook."""
    inside = render_file("init-container")
    assert inside.of_kind("Job") == []
    assert [each["name"] for each in inside.pod("collect").spec["initContainers"]] == ["migrate"]
    assert [each["name"] for each in inside.pod("test").spec["initContainers"]] == ["migrate"]
    nothing = render_file("no-migrations")
    assert nothing.of_kind("Job") == []
    assert "initContainers" not in nothing.pod("collect").spec


def test_migrations_get_the_database_and_no_key() -> None:
    """They run as the role that owns the tables, where there is one."""
    rendered = render_file("existing-secrets")
    (container,) = rendered.pod("migrate").containers
    variables = environment(container)
    assert variables["DATABASE_URL"]["valueFrom"]["secretKeyRef"]["key"] == "owner-url"
    assert not {"ENCRYPTION_KEY", "PUSHGATEWAY_URL"} & variables.keys()


def test_each_job_has_its_own_values() -> None:
    """Those of its block over those of all jobs; a setting of one is not the other's."""
    rendered = render_file("discover")
    costs, discovery = (rendered.one("CronJob", name)["spec"] for name in ("costbatch", "costbatch-discover"))
    assert (costs["schedule"], discovery["schedule"]) == ("0 2 * * *", "15 4 * * *")
    assert costs["timeZone"] == discovery["timeZone"]
    assert (costs["suspend"], discovery["suspend"]) == (True, False)
    jobs = [each["jobTemplate"]["spec"] for each in (costs, discovery)]
    assert [job.get("parallelism") for job in jobs] == [3, None]
    own, other = (rendered.pod(name).container("costbatch") for name in ("collect", "discover"))
    assert own["args"] == ["collect", "--max-api-cost", "5"]
    assert other["args"] == ["discover", "--fail-on", "partial"]
    assert (own["resources"]["limits"]["memory"], other["resources"]["limits"]["memory"]) == ("512Mi", "1Gi")
    variables = [
        {name: each.get("value") for name, each in environment(container).items()}
        for container in (own, other)
    ]
    assert [each["COSTBATCH_CONCURRENCY"] for each in variables] == ["16", "4"]
    assert [each["COSTBATCH_KEEP_MONTHS"] for each in variables] == ["37", "37"]
    assert [each.get("COSTBATCH_EXPECTED_REGIONS") for each in variables] == [None, "eu-west-1,us-east-1"]
    assert all("COSTBATCH_RUN_KEY" in each and "COSTBATCH_DEADLINE_SECONDS" in each for each in variables)


@pytest.mark.parametrize(("own", "found"), [({}, 14400), ({"activeDeadlineSeconds": None}, None)])
def test_the_time_limit_of_discovery_is_its_own(own: Manifest, found: int | None) -> None:
    """Null is no limit, whatever the limit of the other job is."""
    rendered = render({**SECRET, "activeDeadlineSeconds": 600, "discover": {"enabled": True, **own}})
    job = rendered.one("CronJob", "costbatch-discover")["spec"]["jobTemplate"]["spec"]
    assert job.get("activeDeadlineSeconds") == found
    variables = environment(rendered.pod("discover").container("costbatch"))
    assert ("COSTBATCH_DEADLINE_SECONDS" in variables) == bool(found)


def test_discovery_is_off_unless_it_is_wanted() -> None:
    """It needs more permissions; the trial shows it."""
    assert len(render_file("minimal").of_kind("CronJob")) == 1
    names = [job["metadata"]["name"] for job in render_file("demo").of_kind("CronJob")]
    assert names == ["costbatch", *(f"costbatch-{job}" for job in list(JOBS)[1:])]


def test_names_stay_within_the_limits_of_kubernetes() -> None:
    """63 characters, and 52 for a CronJob, whose Jobs get 11 more."""
    values = {"monitoring": {"dashboard": {"enabled": True}}, "demo": {"enabled": True}}
    rendered = render({**values, "fullnameOverride": "n" * 49})
    assert max(len(document["metadata"]["name"]) for document in rendered.documents) == 63
    names = [job["metadata"]["name"] for job in rendered.of_kind("CronJob")]
    assert [len(name) for name in names] == [49, *[52] * (len(JOBS) - 1)]
    with pytest.raises(HelmError, match="fullnameOverride"):
        render({**values, "fullnameOverride": "n" * 50})


def test_the_hooks_secret_goes_with_the_hook_and_the_releases_stays() -> None:
    """A Secret from values exists twice: for the hook before the release, and in the release."""
    for_hook, own = (
        render_file("secrets-from-values").one("Secret", name)
        for name in ("costbatch-migrate", "costbatch-values")
    )
    assert set(for_hook["data"]) == {"DATABASE_URL"}
    assert "hook-succeeded" in for_hook["metadata"]["annotations"]["helm.sh/hook-delete-policy"]
    assert set(own["data"]) == {"DATABASE_URL", "ENCRYPTION_KEY", "PUSHGATEWAY_URL"}
    assert hooks(own) == frozenset()


def test_nobody_loses_a_secret_that_is_in_use() -> None:
    """Helm deletes what a release no longer has: neither the Secret that people make nor the chart's own."""
    rendered = render_file("secrets-from-values")
    (own,) = (secret for secret in rendered.of_kind("Secret") if not hooks(secret))
    told = set(re.findall(r"create secret generic (\S+)", (CHART / "README.md").read_text()))
    assert told == {"costbatch", "costbatch-sinks"}
    assert own["metadata"]["name"] not in told
    assert own["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_the_checksum_follows_the_configuration() -> None:
    """Pods show whether they ran with the same configuration."""
    sums = {
        render({**SECRET, "settings": {"COSTBATCH_CONCURRENCY": number}})
        .pod("collect")
        .metadata["annotations"]["checksum/config"]
        for number in (8, 8, 16)
    }
    assert len(sums) == 2


def test_kubernetes_accepts_every_object(kubernetes_validate: Path, tmp_path: Path) -> None:
    """Strict, for the oldest version that the chart allows and for the newest that the validator knows."""
    files = [tmp_path / f"{name}.yaml" for name in VALUE_FILES]
    for file in files:
        file.write_text(render_file(file.stem).text)
    for option in (["--kubernetes-version", OLDEST_KUBERNETES], []):
        command = [str(each) for each in (kubernetes_validate, *option, "--strict", *files)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
        lines = [line for line in done.stdout.splitlines() if not line.startswith("INFO")]
        # Custom resources have no schema there; tests of their own cover them.
        known = [line for line in lines if not ("PrometheusRule" in line or "ExternalSecret" in line)]
        assert (known, done.returncode, done.stderr) == ([], 0, "")


def _ours(pod: Pod) -> list[Manifest]:
    """Return the containers that run the command line of costbatch."""
    return [each for each in pod.containers if each["name"] in {"costbatch", "migrate"}]


def _as_in_the_pod(container: Manifest, folder: Path) -> dict[str, str]:
    """Return the environment that the container would have, with files for those that are mounted."""
    environ = {}
    for name, variable in environment(container).items():
        secret = name.removesuffix("_FILE")
        if "valueFrom" in variable:
            environ[name] = _EXAMPLES.get(name, "of-the-pod")
        elif secret in _EXAMPLES and name != secret:
            (folder / secret).write_text(_EXAMPLES[secret])
            environ[name] = str(folder / secret)
        else:
            environ[name] = variable["value"]
    return environ
