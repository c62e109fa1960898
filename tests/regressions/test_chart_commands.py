"""The commands of the chart's notes and README work as they are written, whatever the cluster's pace."""

import json
import os
import re
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from costbatch.cli import cli
from costbatch.cli.context import Context
from tests.chart.chart import CHART, ROOT, render
from tests.chart.pods import hooks
from tests.chart.test_chart_documents import notes
from tests.chart.test_chart_pods import SECRET
from tests.support.documents import DOCUMENTS
from tests.support.logs import restored_logs

DEMO = {"demo": {"enabled": True}}
README = (CHART / "README.md").read_text()
# Without site: it needs the standard library only, and the loops of the commands start it dozens of times.
FAKE = f"exec {sys.executable} -S {ROOT / 'tests/chart/fake_kubectl.py'}"


class Cluster:
    """A stand-in for kubectl and helm on a PATH of its own, with what the chart makes of some values."""

    def __init__(self, folder: Path, values: dict[str, Any]) -> None:
        self.folder = folder / "cluster"
        self.folder.mkdir()
        (self.folder / "objects.json").write_text(json.dumps(render(values).documents))
        (self.folder / "credentials.json").write_text('{"access_key_id": "AKIA"}')
        for name in ("kubectl", "helm"):
            self.script(name, f'{FAKE} {name} "$@"')
        # The pauses of the commands' loops, a fifth as long.
        self.script("sleep", "exec /bin/sleep 0.4")

    def script(self, name: str, line: str) -> None:
        """Put a program on the PATH, in place of the real one."""
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o755)

    def run(self, commands: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Let a shell run commands, which must not ask anything, and stop at the first that fails."""
        path = f"{self.folder}:{os.environ['PATH']}"
        own = {"PATH": path, "FAKE_CLUSTER": str(self.folder), "PYTHONPATH": str(ROOT)}
        return subprocess.run(
            ["bash", "-eu", "-o", "pipefail", "-c", commands],
            env={**os.environ, **own, **environ},
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    @property
    def jobs(self) -> list[dict[str, Any]]:
        """Every Job that was made."""
        return [json.loads(path.read_text()) for path in sorted(self.folder.glob("job-*.json"))]


def commands_of(text: str) -> str:
    """Return the commands of notes: what is indented."""
    return "\n".join(line[3:] for line in text.splitlines() if line.startswith("   "))


def blocks_of(section: str) -> list[str]:
    """Return the blocks of shell in a section of the chart's README."""
    found = re.search(rf"^## {section}\n(.*?)(?=^## )", README, re.MULTILINE | re.DOTALL)
    assert found
    return re.findall(r"^```sh\n(.*?)^```$", found[1], re.MULTILINE | re.DOTALL)


PACES = {
    "a slow start": {},
    "a Job that ends before it is looked at": {"FAKE_STARTS_AFTER": "0", "FAKE_ENDS_AFTER": "0"},
}


@pytest.mark.parametrize("pace", PACES)
@pytest.mark.parametrize(
    ("values", "logs"),
    [
        (SECRET, ["POD LOGS: costbatch-test", "log of accounts add 123456789012", "log of collect"]),
        (DEMO, ["log of collect", "log of discover"]),
    ],
    ids=["installation", "trial"],
)
def test_the_commands_of_the_notes_run_as_they_are_written(
    values: dict[str, Any], logs: list[str], pace: str, tmp_path: Path
) -> None:
    """One after the other, and once more at one pace: each shows the log of what it started."""
    cluster = Cluster(tmp_path, values)
    commands = commands_of(notes(values, tmp_path / "notes"))
    times = 1 if PACES[pace] else 2
    for n in range(times):
        # The names of Jobs end in the second in which they were made.
        time.sleep(n)
        done = cluster.run(commands, **PACES[pace])
        assert done.returncode == 0, done.stderr
        assert [line for line in logs if line in done.stdout] == logs
    assert len(cluster.jobs) == times * sum(line.startswith("log of") for line in logs)


@pytest.mark.parametrize("pace", PACES)
def test_the_jobs_by_hand_of_the_readme_run_as_they_are_written(pace: str, tmp_path: Path) -> None:
    """A run, a backfill, an answer in one line, and a command that reads a secret, which waits for it."""
    cluster = Cluster(tmp_path, SECRET)
    run, backfill, answer, add = blocks_of("Manual Jobs")
    for block, log in (
        (run, "log of collect\n"),
        (backfill, "log of collect --from 2026-01-01"),
        (answer, "created"),
        (add, "attached"),
    ):
        done = cluster.run(block, **PACES[pace])
        assert done.returncode == 0, done.stderr
        assert log in done.stdout
    assert "\n" not in answer.strip()
    assert '{"access_key_id": "AKIA"}' in [job.get("given") for job in cluster.jobs]


def test_the_test_of_a_sink_can_be_repeated(tmp_path: Path) -> None:
    """After every change of a sink it is sent again, by a Job with another name."""
    cluster = Cluster(tmp_path, SECRET)
    (_, test) = blocks_of("Sinks")
    for n in range(2):
        time.sleep(n)
        done = cluster.run(test)
        assert done.returncode == 0, done.stderr
        assert "log of events test payments-chat" in done.stdout
    assert len(cluster.jobs) == 2


def test_one_pod_is_enough_for_what_pods_do_not_share() -> None:
    """The addition to a patch names what the Jobs of an installation with several pods have."""
    (addition,) = re.findall(r"^```json\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    job = render({**SECRET, "parallelism": 3}).one("CronJob")["spec"]["jobTemplate"]
    for each in json.loads(addition):
        field = each["path"].removeprefix("/spec/")
        assert (each["op"], job["spec"][field], each["value"]) == ("replace", 3, 1)


def test_a_job_that_cannot_start_is_not_waited_for_in_silence_or_for_ever(tmp_path: Path) -> None:
    """The reason is shown, and after three minutes the loop ends."""
    cluster = Cluster(tmp_path, SECRET)
    cluster.script("sleep", "true")
    (run, *_) = blocks_of("Manual Jobs")
    done = cluster.run(run.replace("seq 90", "seq 5"), FAKE_STARTS_AFTER="1000")
    assert done.stderr.count("is waiting to start: ContainerCreating") == 5
    assert int(re.findall(r"seq (\d+)\); .* sleep 2;", run)[0]) * 2 == 180


def test_the_script_for_kind_runs_the_commands_of_the_notes(tmp_path: Path) -> None:
    """In this order, on a cluster of its own that it deletes again; the programs are stand-ins here."""
    cluster = Cluster(tmp_path, DEMO)
    (cluster.folder / "notes").write_text("NOTES:\n" + notes(DEMO, tmp_path / "notes"))
    cluster.script("docker", "echo 28.2.2")
    cluster.script("kind", 'echo "kind $1 $2" >&2')
    cluster.script("helm", f'echo "helm $1" >&2; [ "$1" != get ] || cat {cluster.folder / "notes"}')
    cluster.script("kubectl", f'case "$*" in *--all|get*) ;; *) {FAKE} kubectl "$@" ;; esac')
    done = cluster.run(f"{ROOT / '.ci' / 'e2e-kind'}")
    assert done.returncode == 0, done.stderr
    steps = [line for line in done.stderr.splitlines() if line.startswith("helm ")]
    assert steps == ["helm upgrade", "helm get", "helm test"]
    assert "log of collect" in done.stdout
    assert "log of discover" in done.stdout
    assert len(cluster.jobs) == 2


@pytest.mark.parametrize("name", ["costbatch", "n" * 49])
def test_the_names_of_jobs_by_hand_fit_every_release(name: str, tmp_path: Path) -> None:
    """Kubernetes allows a Job 63 characters, and the time needs ten of them."""
    values = {**SECRET, "fullnameOverride": name}
    text = notes(values, tmp_path)
    names = re.findall(r"job=(\S+-)\$\(date \+%s\)", text)
    assert len(names) == 2
    assert all(len(each) + len("1764400000") <= 63 for each in names)


def test_no_command_follows_a_job_that_may_not_run_yet() -> None:
    """Every `logs` and `attach` of a Job, in all documents, waits; every Job by hand has its own name."""
    texts = {
        path: path.read_text()
        for path in (
            CHART / "README.md",
            CHART / "templates" / "NOTES.txt",
            CHART / "templates" / "prometheusrule.yaml",
            *map(ROOT.joinpath, DOCUMENTS),
            ROOT / "costbatch" / "application" / "doctor" / "records.py",
        )
    }
    for path, text in texts.items():
        assert not re.search(r"costbatch-(manual|add|backfill)(?!-\$\(date \+%s\))", text), path
        for line in text.replace("\\\n", " ").splitlines():
            if "logs --follow" in line:
                assert re.search(r"for attempt in \$\(seq 90\); do .* && break; sleep 2; done", line), path
            assert "--pod-running-timeout" not in line, path
    assert README.count("kubectl attach") == README.count("--timeout=3m job/$job &&\n  kubectl attach") == 1


def test_helm_test_leaves_the_pod_whose_log_it_shows() -> None:
    """A pod that is deleted when it succeeded is gone before `--logs` reads it; the next test replaces it."""
    for values in (SECRET, DEMO):
        policy = render(values).one("Pod")["metadata"]["annotations"]["helm.sh/hook-delete-policy"]
        assert policy == "before-hook-creation"


def test_what_an_uninstall_leaves_is_named_and_found_by_the_command() -> None:
    """Hooks' objects are not the release's: each is deleted by its labels, and nothing else is."""
    values = {
        "secrets": {"values": {"DATABASE_URL": "a", "ENCRYPTION_KEY": "b"}},
        "networkPolicy": {"enabled": True},
    }
    command = blocks_of("Upgrade, roll back, uninstall")[0]
    kinds = re.findall(r"delete (\S+)", command)[0].split(",")
    instance, components = re.findall(r"instance=(\w+),app.kubernetes.io/component in \((.+)\)'", command)[0]
    documents = render(values).documents
    left = [each for each in documents if hooks(each)]
    assert {each["kind"] for each in left} == {"Secret", "NetworkPolicy", "Job", "Pod"}
    for each in documents:
        labels = each["metadata"]["labels"]
        is_deleted = (
            each["kind"].lower() in kinds
            and labels["app.kubernetes.io/instance"] == instance
            and labels.get("app.kubernetes.io/component") in components.split(",")
        )
        assert is_deleted is bool(hooks(each)), each["metadata"]["name"]
    assert "**a Secret `costbatch-migrate` that holds the database's URL**" in README
    # The key is not deleted in passing.
    (kept,) = (
        each for each in documents if "helm.sh/resource-policy" in each["metadata"].get("annotations", {})
    )
    assert f"**the Secret `{kept['metadata']['name']}`, which holds the encryption key**" in README


@pytest.mark.parametrize("mounted", [False, True])
@pytest.mark.parametrize("component", ["migrate", "test"])
def test_a_missing_secret_does_not_let_a_hook_wait(component: str, *, mounted: bool) -> None:
    """Kubernetes starts the hook without it; `costbatch` says what is not set, and status 2 ends the Job."""
    rendered = render({"secrets": {"existingSecret": "costbatch-secrets", "mountAsFiles": mounted}})
    pod = rendered.pod(component)
    (container,) = pod.containers
    keys = [each["valueFrom"]["secretKeyRef"] for each in container["env"] if "valueFrom" in each]
    secrets = [volume["secret"] for volume in pod.volumes]
    assert all(each["optional"] is True for each in [*keys, *secrets])
    assert bool(secrets) is mounted
    # What the pod then does, without the Secret's variables or files.
    environ = {each["name"]: each["value"] for each in container["env"] if "value" in each}
    with restored_logs():
        context = Context(environ=environ, now=lambda: datetime.now(UTC), is_interactive=False)
        done = CliRunner().invoke(cli, container["args"], obj=context)
    assert done.exit_code == 2
    assert "DATABASE_URL" in done.output


def test_a_missing_secret_does_not_let_a_night_run_without_it() -> None:
    """A key that was mistyped, such as the Pushgateway's, would be missed in silence."""
    for mounted in (False, True):
        rendered = render({"secrets": {"existingSecret": "costbatch-secrets", "mountAsFiles": mounted}})
        assert "optional" not in yaml.safe_dump(rendered.pod("collect").spec)


@pytest.mark.parametrize("selector", ["absent", None])
def test_a_constraint_without_a_selector_spreads_the_pods_of_the_run(selector: str | None) -> None:
    """Without one Kubernetes counts no pod at all; one that is given stays as it is, the empty one too."""
    constraint = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}
    plain = constraint if selector == "absent" else {**constraint, "labelSelector": selector}
    given: list[dict[str, Any]] = [
        {**constraint, "labelSelector": {"matchLabels": {"a": "b"}}},
        {**constraint, "labelSelector": {}},
    ]
    pod = render({**SECRET, "parallelism": 2, "topologySpreadConstraints": [plain, *given]}).pod("collect")
    own, *others = pod.spec["topologySpreadConstraints"]
    assert own["labelSelector"]["matchLabels"].items() <= pod.metadata["labels"].items()
    assert own["labelSelector"]["matchLabels"]["app.kubernetes.io/component"] == "collect"
    assert own.items() >= constraint.items()
    assert others == given


def test_the_history_of_jobs_has_room_for_some_by_hand() -> None:
    """Jobs by hand count against the limits; what removes the nights' Jobs is their age."""
    spec = render(SECRET).one("CronJob")["spec"]
    kept_nights = spec["jobTemplate"]["spec"]["ttlSecondsAfterFinished"] / 86_400
    for limit in ("successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        assert spec[limit] >= kept_nights + 5
