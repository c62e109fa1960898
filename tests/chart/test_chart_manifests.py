"""What every set of values must come to: valid, hardened objects that find one another."""

import os

import pytest

from tests.chart.chart import CHART, HERE, VALUE_FILES, Rendered, render_file, run_helm
from tests.chart.fields import wrong_enums, wrong_schedule
from tests.chart.pod_security import violations
from tests.chart.pods import Manifest, environment, hooks, pod_of, references, weight

pytestmark = pytest.mark.parametrize("name", VALUE_FILES)

_SNAPSHOTS = HERE / "snapshots"
_INSTALL = {"pre-install", "pre-upgrade"}
# Made by others before the chart: what the value files name.
_EXISTING = {
    ("Secret", "costbatch-secrets"),
    ("Secret", "finops-database"),
    ("Secret", "costbatch-sinks"),
    ("Secret", "costbatch-from-store"),
    ("ConfigMap", "database-ca"),
    ("ServiceAccount", "default"),
    ("ServiceAccount", "migrator"),
    ("ServiceAccount", "costbatch-vault"),
}


def test_helm_lint_has_nothing_to_say(name: str) -> None:
    """Strict: warnings are errors."""
    assert "1 chart(s) linted, 0 chart(s) failed" in run_helm(
        "lint", "--strict", str(CHART), "--values", str(VALUE_FILES[name])
    )


def test_the_objects_are_what_they_were(name: str) -> None:
    """A change of the chart shows itself; UPDATE_SNAPSHOTS=1 accepts it."""
    snapshot = _SNAPSHOTS / f"{name}.yaml"
    text = render_file(name).text
    if os.environ.get("UPDATE_SNAPSHOTS"):
        snapshot.write_text(text)
    assert snapshot.exists(), "There is no snapshot; UPDATE_SNAPSHOTS=1 makes it."
    assert text == snapshot.read_text()


def test_the_enums_are_kubernetes_own(name: str) -> None:
    """No schema checks these."""
    assert [*wrong_enums(list(render_file(name).documents))] == []


def test_the_schedule_can_be_read(name: str) -> None:
    """Kubernetes accepts the cron fields and knows the time zone."""
    jobs = render_file(name).of_kind("CronJob")
    assert [sentence for job in jobs for sentence in wrong_schedule(job)] == []


def test_every_pod_keeps_the_restricted_standard(name: str) -> None:
    """Every field of the restricted Pod Security Standard, for every container, and a read-only image."""
    assert [sentence for pod in _own(name).pods for sentence in violations(pod)] == []


def test_what_a_pod_refers_to_is_there(name: str) -> None:
    """Secrets with their keys, ConfigMaps, ServiceAccounts: made by the chart, or known to be made before."""
    rendered = render_file(name)
    made = _made([*rendered.documents])
    for pod in rendered.pods:
        for kind, object_name, key in references(pod):
            if (kind, object_name) not in _EXISTING:
                assert (kind, object_name) in made, f"{pod.source} needs {kind}/{object_name}."
                assert not key or key in made[kind, object_name], f"{kind}/{object_name} has no key {key}."


def test_a_hook_finds_what_it_needs_when_it_runs(name: str) -> None:
    """Before an install there is nothing of the release, so what a hook needs is a hook of a lower weight."""
    documents = render_file(name).documents
    for document in documents:
        pod = pod_of(document)
        if pod is None or not hooks(document) & _INSTALL:
            continue
        earlier = [
            each for each in documents if hooks(each) >= hooks(document) and weight(each) < weight(document)
        ]
        made = _made(earlier)
        needed = {(kind, object_name) for kind, object_name, _ in references(pod)}
        assert needed <= _EXISTING | set(made), f"{pod.source} runs before what it needs."


def test_mounts_have_volumes_and_volumes_have_mounts(name: str) -> None:
    """A mount without its volume is refused; a volume without a mount is a mistake."""
    for pod in render_file(name).pods:
        mounted = {mount["name"] for each in pod.containers for mount in each.get("volumeMounts", [])}
        assert mounted == {volume["name"] for volume in pod.volumes}, pod.source


def test_the_file_of_a_variable_is_in_its_container(name: str) -> None:
    """A mounted Secret has its mount in every container that reads a file of it, not only in another one."""
    for pod in render_file(name).pods:
        secrets = {volume["name"]: volume["secret"] for volume in pod.volumes if "secret" in volume}
        folders = {
            mount["mountPath"]
            for each in pod.containers
            for mount in each.get("volumeMounts", [])
            if mount["name"] in secrets
        }
        for container in pod.containers:
            files = {
                f"{mount['mountPath']}/{item['path']}"
                for mount in container.get("volumeMounts", [])
                for item in secrets.get(mount["name"], {}).get("items", [])
            }
            asked = {
                each["value"]
                for name, each in environment(container).items()
                if name.endswith("_FILE") and each["value"].rpartition("/")[0] in folders
            }
            assert asked <= files, f"{pod.source} {container['name']}"


def test_selectors_and_policies_find_their_pods(name: str) -> None:
    """Services and NetworkPolicies select by labels that pods have."""
    rendered = render_file(name)
    for kind in ("Service", "NetworkPolicy"):
        for document in rendered.of_kind(kind):
            spec = document["spec"]
            wanted = spec["selector"] if kind == "Service" else spec["podSelector"]["matchLabels"]
            found = [pod for pod in rendered.pods if wanted.items() <= pod.metadata["labels"].items()]
            assert found, f"{kind}/{document['metadata']['name']} selects nothing."


def test_every_object_has_the_recommended_labels(name: str) -> None:
    """What is ours carries the labels that Kubernetes recommends, in the release's namespace, once."""
    documents = _own(name).documents
    for document in documents:
        labels = document["metadata"]["labels"]
        for label in ("name", "instance", "version", "part-of", "managed-by"):
            assert labels[f"app.kubernetes.io/{label}"], document["metadata"]["name"]
        assert labels["helm.sh/chart"].startswith("costbatch-")
        assert document["metadata"]["namespace"] == "finops"
    names = [(document["kind"], document["metadata"]["name"]) for document in documents]
    assert len(names) == len(set(names))


def test_no_variable_comes_twice(name: str) -> None:
    """Kubernetes would take the last one without a word."""
    for pod in render_file(name).pods:
        for container in pod.containers:
            environment(container)


def _own(name: str) -> Rendered:
    """Return the objects that are the chart's own, without extraManifests."""
    rendered = render_file(name)
    return Rendered(rendered.text, [each for each in rendered.documents if each["metadata"].get("labels")])


def _made(documents: list[Manifest]) -> dict[tuple[str, str], set[str]]:
    """Return what objects there are, with the keys of those that have any."""
    return {
        (document["kind"], document["metadata"]["name"]): {
            *document.get("data", {}),
            *document.get("stringData", {}),
        }
        for document in documents
    }
