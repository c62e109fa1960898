"""Runs pods as their manifests say, in one network in which every Service is loopback.

Containers get the image, command, variables, volumes, rights and memory that were rendered, and nothing else.
A field that this does not know is an error: what is not done here must not look tried.
"""

import os
import re
import socket
import subprocess
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chart.chart import Rendered
from tests.chart.pods import Manifest, Pod
from tests.image.containers import Ended, Engine, Running

_WAIT_SECONDS = 60
_JOB_UID = "batch.kubernetes.io/controller-uid"
# What podman cannot be told, or what only matters where there is a cluster.
_OF_A_CLUSTER = {
    "imagePullPolicy",
    "terminationMessagePolicy",
    "ports",
    "readinessProbe",
    "restartPolicy",
    "automountServiceAccountToken",
    "enableServiceLinks",
    "terminationGracePeriodSeconds",
    "serviceAccountName",
}
_OF_A_CONTAINER = {"name", "image", "command", "args", "env", "securityContext", "resources", "volumeMounts"}
_OF_A_POD = {"securityContext", "initContainers", "containers", "volumes", "hostAliases"}
_RIGHTS = {
    "runAsNonRoot",
    "runAsUser",
    "runAsGroup",
    "fsGroup",
    "fsGroupChangePolicy",
    "seccompProfile",
    "allowPrivilegeEscalation",
    "readOnlyRootFilesystem",
    "capabilities",
}
# The engine's, not the pods': it cannot raise limits everywhere, and would pass on this machine's proxy.
_ENGINE = ("--network=host", "--ulimit=nofile=20000:20000", "--ulimit=nproc=4096:4096", "--http-proxy=false")


@dataclass
class Kubelet:
    """Runs the pods of what was rendered. ``folder`` holds their volumes."""

    engine: Engine
    rendered: Rendered
    folder: Path

    def run(self, pod: Pod, *, job: str) -> list[Ended]:
        """Run a pod's containers in order, up to the first that fails; ``job`` is the uid of its Job."""
        ended: list[Ended] = []
        for container in pod.containers:
            ended.append(self._start(pod, container, job).wait(timeout_seconds=120))
            if ended[-1].status:
                break
        return ended

    @contextmanager
    def serving(self, pod: Pod) -> Iterator[None]:
        """Run a pod of one container for the time of a block; begin when its probe says that it is ready."""
        (container,) = pod.containers
        running = self._start(pod, container, job="")
        try:
            _wait_until(lambda: self._is_ready(running, container), container["name"])
            yield
        finally:
            running.kill()

    def _start(self, pod: Pod, container: Manifest, job: str) -> Running:
        _check_fields(pod.spec, _OF_A_POD | _OF_A_CLUSTER)
        _check_fields(container, _OF_A_CONTAINER | _OF_A_CLUSTER)
        command: list[str] = container.get("command", [""])
        arguments: list[str] = [*command[1:], *container.get("args", [])]
        options = [
            *_ENGINE,
            *_rights(pod, container),
            *([f"--entrypoint={command[0]}"] if command[0] else []),
            *(f"--memory={limit.lower()}" for limit in _memory(container)),
            *(f"--env={name}={value}" for name, value in self._variables(pod, container, job)),
            *(f"--volume={self._mount(pod, mount)}" for mount in container.get("volumeMounts", [])),
            *(f"--add-host={name}:{address}" for name, address in self._hosts(pod)),
        ]
        return self.engine.launch(container["image"], *arguments, options=options)

    def _hosts(self, pod: Pod) -> Iterator[tuple[str, str]]:
        """Return the names that the pod knows; without a proxy a Service must keep its container's port."""
        ports = {
            port["name"]: port["containerPort"]
            for pod in self.rendered.pods
            for container in pod.containers
            for port in container.get("ports", [])
        }
        for service in self.rendered.of_kind("Service"):
            assert all(each["port"] == ports[each["targetPort"]] for each in service["spec"]["ports"])
            yield service["metadata"]["name"], "127.0.0.1"
        for alias in pod.spec.get("hostAliases", []):
            yield from ((name, alias["ip"]) for name in alias["hostnames"])

    def _variables(self, pod: Pod, container: Manifest, job: str) -> Iterator[tuple[str, str]]:
        labels = {**pod.metadata["labels"], _JOB_UID: job}
        for variable in container.get("env", []):
            match variable:
                case {"name": name, "value": value}:
                    yield name, value
                case {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}:
                    yield name, self._secret(secret)[key]
                case {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}:
                    (label,) = re.fullmatch(r"metadata\.labels\['(.+)'\]", path).groups()  # type: ignore[union-attr] # or it fails
                    yield name, labels[label]
                case _:
                    raise NotImplementedError(variable)

    def _secret(self, name: str) -> dict[str, str]:
        (secret,) = (each for each in self.rendered.of_kind("Secret") if each["metadata"]["name"] == name)
        encoded = {key: b64decode(text).decode() for key, text in secret.get("data", {}).items()}
        return {**encoded, **secret.get("stringData", {})}

    def _mount(self, pod: Pod, mount: Manifest) -> str:
        (volume,) = (each for each in pod.volumes if each["name"] == mount["name"])
        mode = "ro" if mount.get("readOnly") or "secret" in volume else "rw"
        return f"{self._volume(pod, volume)}:{mount['mountPath']}:{mode}"

    def _volume(self, pod: Pod, volume: Manifest) -> Path:
        """Return a volume's folder, made as a kubelet makes it: root's, and open to the pod's group."""
        group = pod.spec["securityContext"]["fsGroup"]
        path = self.folder / pod.component / str(volume["name"])
        if path.exists():
            return path
        path.mkdir(parents=True)
        match volume:
            case {"emptyDir": _}:
                mode = 0o777
            case {"secret": {"secretName": name, "items": items, "defaultMode": file_mode}}:
                mode = 0o755
                for item in items:
                    file = path / item["path"]
                    file.write_text(self._secret(name)[item["key"]])
                    file.chmod(file_mode)
                    os.chown(file, 0, group)
            case _:
                raise NotImplementedError(volume)
        os.chown(path, 0, group)
        path.chmod(0o2000 | mode)
        return path

    def _is_ready(self, running: Running, container: Manifest) -> bool:
        assert running.process.poll() is None, running.log()
        match container["readinessProbe"]:
            case {"exec": {"command": command}}:
                with suppress(subprocess.CalledProcessError):
                    self.engine.call("exec", running.name, *command)
                    return True
            case {"tcpSocket": {"port": name}}:
                (port,) = (each["containerPort"] for each in container["ports"] if each["name"] == name)
                with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    return True
        return False


def _rights(pod: Pod, container: Manifest) -> Iterator[str]:
    rights: dict[str, Any] = {**pod.spec["securityContext"], **container["securityContext"]}
    _check_fields(rights, _RIGHTS)
    # The engine's own profile, as it is where nothing is said.
    assert rights["seccompProfile"] == {"type": "RuntimeDefault"}
    assert rights["runAsNonRoot"]
    assert rights["runAsUser"]
    yield f"--user={rights['runAsUser']}:{rights['runAsGroup']}"
    yield f"--group-add={rights['fsGroup']}"
    if rights["readOnlyRootFilesystem"]:
        yield from ("--read-only", "--read-only-tmpfs=false")
    if not rights["allowPrivilegeEscalation"]:
        yield "--security-opt=no-new-privileges"
    yield from (f"--cap-drop={capability}" for capability in rights["capabilities"]["drop"])


def _memory(container: Manifest) -> Iterator[str]:
    """Return the limit as the engine writes it: 512Mi is 512m."""
    limit = container["resources"].get("limits", {}).get("memory")
    if limit:
        yield limit.removesuffix("i")


def _check_fields(manifest: Manifest, known: set[str]) -> None:
    unknown = manifest.keys() - known
    if unknown:
        raise NotImplementedError(f"This does not know {sorted(unknown)}.")


def _wait_until(is_so: Callable[[], bool], name: str) -> None:
    deadline = time.monotonic() + _WAIT_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, f"{name} was not ready within {_WAIT_SECONDS} seconds"
        time.sleep(0.1)
