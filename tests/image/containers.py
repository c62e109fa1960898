"""Runs containers hardened, as Kubernetes does: read-only, without capabilities, as user 65532."""

import json
import os
import shlex
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

HARDENED = (
    "--read-only",
    "--read-only-tmpfs=false",
    "--user=65532:65532",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    # The engine's own, in which the tests run too: it has nothing but loopback.
    "--network=host",
    "--ulimit=nofile=20000:20000",
    "--ulimit=nproc=4096:4096",
)
_numbers = count(1)


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a container ended. ``log`` is what `kubectl logs` would show: both streams, in their order."""

    status: int
    stdout: str
    stderr: str
    log: str

    @property
    def last_line(self) -> str:
        """The last line of the log that is not empty."""
        return [line for line in self.log.splitlines() if line.strip()][-1].strip()


class Engine:
    """A container engine, called as its command line."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = [*command]

    def call(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Call the engine; it must succeed."""
        return subprocess.run(
            [*self._command, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=True,
            env=_plain(),
        )

    def inspect(self, image: str) -> dict[str, Any]:
        """Return everything that the engine knows about an image."""
        found: list[dict[str, Any]] = json.loads(self.call("image", "inspect", image).stdout)
        return found[0]

    def start(self, image: str, *arguments: str, options: Sequence[str] = ()) -> "Running":
        """Start a hardened container."""
        return self.launch(image, *arguments, options=[*HARDENED, *options])

    def launch(self, image: str, *arguments: str, options: Sequence[str] = ()) -> "Running":
        """Start a container with these options and no others."""
        name = f"costbatch-test-{os.getpid()}-{next(_numbers)}"
        command = [
            *self._command,
            "run",
            "--interactive",
            f"--name={name}",
            *options,
            image,
            *arguments,
        ]
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=_plain(),
        )
        return Running(self, name, process)

    @contextmanager
    def unpacked(self, image: str) -> Iterator[Path]:
        """Show an image's files in a folder, for reading."""
        folder = Path(self.call("image", "mount", image).stdout.strip())
        try:
            yield folder
        finally:
            self.call("image", "unmount", image)


@dataclass(frozen=True)
class Running:
    """A container that was started."""

    engine: Engine
    name: str
    process: subprocess.Popen[str]

    def terminate(self) -> None:
        """Ask it to end, as Kubernetes does."""
        self.engine.call("kill", "--signal=TERM", self.name)

    def kill(self) -> None:
        """End it at once, if it has not ended by itself, and remove it."""
        with suppress(subprocess.CalledProcessError):
            self.engine.call("kill", "--signal=KILL", self.name)
        with self.process:
            self.process.communicate()
        self.remove()

    def remove(self) -> None:
        """Remove it, running or not."""
        self.engine.call("rm", "--force", self.name)

    def log(self) -> str:
        """Return what `kubectl logs` would show: both streams, in their order."""
        return subprocess.run(
            [*self.engine._command, "logs", self.name],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=True,
            env=_plain(),
        ).stdout

    def wait(self, stdin: str = "", *, timeout_seconds: float = 90) -> Ended:
        """Wait for its end and remove it."""
        try:
            with self.process:
                stdout, stderr = self.process.communicate(stdin, timeout=timeout_seconds)
            log = self.log()
        finally:
            self.remove()
        return Ended(status=self.process.returncode, stdout=stdout, stderr=stderr, log=log)


class Box:
    """The image with the configuration of one test. ``environ`` may be changed at will."""

    def __init__(self, engine: Engine, image: str, environ: Mapping[str, str], socket_folder: Path) -> None:
        self.engine = engine
        self.image = image
        self.environ = dict(environ)
        self._mount = f"--volume={socket_folder}:{socket_folder}:ro"

    def start(self, *arguments: str, entrypoint: str | None = None, **environ: str) -> Running:
        """Start a command, with these variables besides its own; an empty one is taken away."""
        variables = {name: value for name, value in {**self.environ, **environ}.items() if value}
        options = [f"--env={name}={value}" for name, value in variables.items()]
        if entrypoint:
            options.append(f"--entrypoint={entrypoint}")
        return self.engine.start(self.image, *arguments, options=[self._mount, *options])

    def run(self, *arguments: str, stdin: str = "", entrypoint: str | None = None, **environ: str) -> Ended:
        """Run a command to its end."""
        return self.start(*arguments, entrypoint=entrypoint, **environ).wait(stdin)

    def python(self, code: str, *arguments: str) -> str:
        """Run code with the image's Python and return what it prints."""
        ended = self.run("-c", code, *arguments, entrypoint="python")
        assert ended.status == 0, ended.log
        return ended.stdout


def engine_from(environ: Mapping[str, str]) -> Engine:
    """Return the engine that the environment names."""
    return Engine(shlex.split(environ["IMAGE_ENGINE"]))


def _plain() -> dict[str, str]:
    """Return an environment that leads the engine nowhere else."""
    return {
        name: value for name, value in os.environ.items() if not name.startswith(("DOCKER_", "CONTAINER_"))
    }
