"""The restricted Pod Security Standard, field by field, and what this chart asks for beyond it."""

from collections.abc import Iterator

from tests.chart.pods import Manifest, Pod

_HOST_FIELDS = ("hostNetwork", "hostPID", "hostIPC")
_VOLUME_TYPES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
_SECCOMP = {"RuntimeDefault", "Localhost"}
_SELINUX = {"container_t", "container_init_t", "container_kvm_t", "container_engine_t", None}
_SAFE_SYSCTLS = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_syncookies",
}


def violations(pod: Pod) -> list[str]:
    """Return a sentence for everything in a pod that the standard refuses."""
    found = [*_of_pod(pod)]
    for container in pod.containers:
        found += [f"{container['name']}: {sentence}" for sentence in _of_container(container, pod.spec)]
    return [f"{pod.source}: {sentence}" for sentence in found]


def _of_pod(pod: Pod) -> Iterator[str]:
    spec, context = pod.spec, pod.spec.get("securityContext", {})
    yield from (f"{field} is set." for field in _HOST_FIELDS if spec.get(field))
    for volume in pod.volumes:
        types = set(volume) - {"name"}
        if not types <= _VOLUME_TYPES:
            yield f"volume {volume['name']} is of type {types}."
    if unsafe := {each["name"] for each in context.get("sysctls", [])} - _SAFE_SYSCTLS:
        yield f"sysctls {unsafe} are unsafe."
    if 0 in {context.get("fsGroup"), context.get("runAsGroup"), *context.get("supplementalGroups", [])}:
        yield "a group is root's."
    if any("apparmor" in name for name in pod.metadata.get("annotations", {})):
        yield "AppArmor is set."
    if spec.get("automountServiceAccountToken") is not False:
        yield "a token for the Kubernetes API is mounted."


def _of_container(container: Manifest, spec: Manifest) -> Iterator[str]:
    own = container.get("securityContext", {})
    yield from _of_identity({**spec.get("securityContext", {}), **own})
    yield from _of_privileges(own)
    if any("hostPort" in port for port in container.get("ports", [])):
        yield "has a host port."
    probes = [probe for name, probe in container.items() if name.endswith("Probe")]
    if any("host" in probe.get(kind, {}) for probe in probes for kind in ("httpGet", "tcpSocket")):
        yield "is probed at another host."


def _of_identity(context: Manifest) -> Iterator[str]:
    """What a container may set itself or have from its pod."""
    if context.get("runAsNonRoot") is not True or context.get("runAsUser", 0) == 0:
        yield "may run as root."
    if context.get("seccompProfile", {}).get("type") not in _SECCOMP:
        yield "has no seccomp profile."
    if context.get("seLinuxOptions", {}).get("type") not in _SELINUX:
        yield "has an SELinux type of its own."
    if context.get("windowsOptions", {}).get("hostProcess"):
        yield "is a Windows host process."


def _of_privileges(own: Manifest) -> Iterator[str]:
    """What only a container sets."""
    capabilities = own.get("capabilities", {})
    if own.get("privileged"):
        yield "is privileged."
    if own.get("allowPrivilegeEscalation") is not False:
        yield "may gain privileges."
    if own.get("procMount", "Default") != "Default":
        yield "sees all of /proc."
    if capabilities.get("drop") != ["ALL"]:
        yield "keeps capabilities."
    if not set(capabilities.get("add", [])) <= {"NET_BIND_SERVICE"}:
        yield "adds capabilities."
    # Beyond the standard.
    if own.get("readOnlyRootFilesystem") is not True:
        yield "may write to its image."
