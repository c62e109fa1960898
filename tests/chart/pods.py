"""Objects of Kubernetes as helm prints them, and the pods within them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Manifest = dict[str, Any]

_COMPONENT = "app.kubernetes.io/component"


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod that would run: where it is from, its metadata and its spec."""

    source: str
    metadata: Manifest
    spec: Manifest

    @property
    def component(self) -> str:
        """What the pod is for."""
        return str(self.metadata["labels"][_COMPONENT])

    @property
    def containers(self) -> list[Manifest]:
        """Every container, those that run before included."""
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]

    def container(self, name: str) -> Manifest:
        """Return the container of this name."""
        (found,) = (each for each in self.containers if each["name"] == name)
        return found

    @property
    def volumes(self) -> list[Manifest]:
        """Every volume."""
        return list(self.spec.get("volumes", []))


def pod_of(document: Manifest) -> Pod | None:
    """Return the pod that an object makes, if it makes one."""
    source = f"{document['kind']}/{document['metadata']['name']}"
    match document:
        case {"kind": "Pod", "metadata": metadata, "spec": spec}:
            return Pod(source, metadata, spec)
        case {"kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": template}}}}:
            return Pod(source, template["metadata"], template["spec"])
        case {"kind": "Job" | "Deployment", "spec": {"template": template}}:
            return Pod(source, template["metadata"], template["spec"])
    return None


def environment(container: Manifest) -> dict[str, Manifest]:
    """Return a container's variables by name; a name that comes twice is an error."""
    variables = {each["name"]: each for each in container.get("env", [])}
    if len(variables) != len(container.get("env", [])):
        raise ValueError(f"Container {container['name']} has a variable twice.")
    return variables


def hooks(document: Manifest) -> frozenset[str]:
    """Return when helm makes an object, where that is not with the release: pre-install, test, …."""
    annotations = document["metadata"].get("annotations") or {}
    return frozenset(filter(None, annotations.get("helm.sh/hook", "").split(",")))


def weight(document: Manifest) -> int:
    """Return a hook's place in the order of hooks."""
    return int(document["metadata"]["annotations"].get("helm.sh/hook-weight", "0"))


def references(pod: Pod) -> Iterator[tuple[str, str, str]]:
    """Return what a pod needs to start: kind, name and key (empty where none is named)."""
    yield "ServiceAccount", pod.spec.get("serviceAccountName", "default"), ""
    for volume in pod.volumes:
        if secret := volume.get("secret"):
            # Without a list, all keys are mounted, whichever there are.
            items = secret.get("items", [{"key": ""}])
            yield from (("Secret", secret["secretName"], item["key"]) for item in items)
        if config := volume.get("configMap"):
            yield "ConfigMap", config["name"], ""
    for container in pod.containers:
        for variable in container.get("env", []):
            source = variable.get("valueFrom", {})
            if key := source.get("secretKeyRef"):
                yield "Secret", key["name"], key["key"]
            if key := source.get("configMapKeyRef"):
                yield "ConfigMap", key["name"], key["key"]
