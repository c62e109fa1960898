"""Names of worker processes, and whether one on this host still runs.

Claims of a process that died on this host are taken over immediately; others when their lease expires.
"""

import os
import socket
from pathlib import Path


def this_worker() -> str:
    """Return a unique name: host, boot, process namespace, process id and start."""
    pid = os.getpid()
    return f"{_place()}/{pid}/{_start_ticks(pid)}"


def is_gone(worker: str) -> bool:
    """Whether the worker ran in this host's process namespace and has ended."""
    place = f"{_place()}/"
    pid, _, started = worker.removeprefix(place).partition("/")
    if not worker.startswith(place) or not pid.isdecimal() or not started:
        return False
    return _start_ticks(int(pid)) != started


def _place() -> str:
    """Return the host with its boot and its process namespace.

    Containers of one machine may share its name, and so may two machines. The former differ in the
    namespace, the latter in the boot: namespaces have the same numbers everywhere.
    """
    try:
        namespace = str(Path("/proc/self/ns/pid").readlink())
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        namespace = boot = ""
    return f"{socket.gethostname()}/{boot}/{namespace}"


def _start_ticks(pid: int) -> str:
    """Return when a process started, in the kernel's ticks; empty if there is no such process or no /proc.

    Process ids are reused; a pair of id and start is not.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    state, *fields = stat.rpartition(")")[2].split()
    return "" if state == "Z" else fields[18]
