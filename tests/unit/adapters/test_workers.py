"""Names of workers: unique, readable, and wrong about no living process."""

import os
import subprocess
from pathlib import Path

import pytest

from costbatch.adapters import worker_id
from costbatch.adapters.worker_id import is_gone, this_worker
from tests.support.machine import run_python


def name_of(pid: int, started: str) -> str:
    """Return the name of a worker of this host."""
    place = this_worker().rsplit("/", 2)[0]
    return f"{place}/{pid}/{started}"


def child_name() -> str:
    """Return the name that a child process has, now that it has ended."""
    code = "from costbatch.adapters.worker_id import this_worker; print(this_worker())"
    return run_python(code).strip()


def test_a_name_says_host_process_and_start() -> None:
    """A person who reads the table finds the pod and the process."""
    place, pid, started = this_worker().rsplit("/", 2)
    host, boot, namespace = place.split("/")
    assert host == os.uname().nodename
    assert len(boot) == 36
    assert namespace.startswith("pid:[")
    assert int(pid) == os.getpid()
    assert int(started) > 0


def test_a_process_keeps_its_name_and_no_other_one_has_it() -> None:
    """Two looks agree; a child on the same host is another worker."""
    assert this_worker() == this_worker()
    assert len({this_worker(), child_name(), child_name()}) == 3


def test_the_living_are_not_gone() -> None:
    """Neither this process nor another one that runs."""
    assert not is_gone(this_worker())
    parent = worker_id._start_ticks(os.getppid())
    assert not is_gone(name_of(os.getppid(), parent))


def test_a_process_that_has_ended_is_gone() -> None:
    """Its claims need not wait for their lease."""
    assert is_gone(child_name())


def test_a_process_that_nobody_has_waited_for_is_gone() -> None:
    """A zombie does no work any more."""
    with subprocess.Popen(["sleep", "60"]) as process:
        name = name_of(process.pid, worker_id._start_ticks(process.pid))
        assert not is_gone(name)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert is_gone(name)


def test_a_process_id_that_is_used_again_is_another_process() -> None:
    """The start tells them apart."""
    assert is_gone(name_of(os.getpid(), "1"))


@pytest.mark.parametrize("part", [0, 1, 2], ids=["host", "boot", "process namespace"])
def test_nothing_is_known_of_another_place(part: int) -> None:
    """A worker of another host, machine or container is never called gone: its lease decides."""
    parts = child_name().split("/")
    parts[part] += "x"
    assert not is_gone("/".join(parts))


@pytest.mark.parametrize("name", ["", "someone", "a/b", "host/1/2", "host/x/y/z"])
def test_a_name_of_another_making_is_left_to_its_lease(name: str) -> None:
    """What cannot be read is no reason to take an account away, nor to fail."""
    assert not is_gone(name)
    assert not is_gone(f"{this_worker().rsplit('/', 2)[0]}/{name}/1")


def test_without_a_process_table_nobody_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel tells nothing, names stay usable and the lease decides."""

    def refuse(path: Path, *args: object) -> str:
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "readlink", refuse)
    monkeypatch.setattr(Path, "read_text", refuse)
    name = this_worker()
    assert name == f"{os.uname().nodename}///{os.getpid()}/"
    assert not is_gone(name)
