"""The trial mode: what it starts, and the registration of its accounts against the real stand-in."""

import os
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from costbatch.simulator.__main__ import main as simulator
from costbatch.simulator.client import SimulatorProcess
from costbatch.simulator.demo_world import demo_world
from tests.chart.chart import Rendered, render_file
from tests.chart.pods import environment

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def demo() -> Rendered:
    """Return the objects of the trial mode."""
    return render_file("demo")


def test_the_demonstration_brings_a_database_and_aws(demo: Rendered) -> None:
    """Each behind a Service whose name the run's variables hold."""
    services = {service["metadata"]["name"] for service in demo.of_kind("Service")}
    assert services == {"costbatch-demo-aws", "costbatch-demo-postgres"}
    variables = environment(demo.pod("collect").container("costbatch"))
    assert variables["AWS_ENDPOINT_URL"]["value"] == "http://costbatch-demo-aws:8080"
    secret = demo.one("Secret")["stringData"]
    assert "@costbatch-demo-postgres:5432/" in secret["DATABASE_URL"]
    assert secret["POSTGRES_PASSWORD"] in secret["DATABASE_URL"]


def test_what_the_demonstration_keeps_goes_with_it(demo: Rendered) -> None:
    """No volume outlives its pod."""
    assert not demo.of_kind("PersistentVolumeClaim")
    assert all("emptyDir" in volume for volume in demo.pod("demo-postgres").volumes)


def test_migrations_wait_for_the_database_of_the_release(demo: Rendered) -> None:
    """A hook would run before it exists; the accounts are registered after the migration."""
    assert demo.of_kind("Job") == []
    names = [each["name"] for each in demo.pod("collect").spec["initContainers"]]
    assert names == ["migrate", "demo-accounts"]


def test_without_the_demonstration_nothing_of_it_is_there() -> None:
    """No object, no variable, no word."""
    assert "demo" not in render_file("minimal").text


def test_the_stand_in_understands_its_arguments(demo: Rendered, capsys: pytest.CaptureFixture[str]) -> None:
    """The pod's own options, asked for their help instead of being served."""
    (container,) = demo.pod("demo-aws").containers
    python, module, name, *options = container["command"]
    assert (python, module, name) == ("python", "-m", "costbatch.simulator")
    with pytest.raises(SystemExit) as ended:
        simulator([*options, "--help"])
    assert (ended.value.code, options[:2]) == (0, ["--host", "0.0.0.0"])
    assert "A local simulator of AWS" in capsys.readouterr().out


def test_the_containers_of_the_run_do_their_work_one_after_the_other(
    demo: Rendered, empty_database_url: str
) -> None:
    """Migrate, register, collect, and `helm test`: as in the pods, on a real PostgreSQL and the stand-in."""
    containers = [*demo.pod("collect").containers, demo.pod("test").container("costbatch")]
    with SimulatorProcess(demo_world(datetime.now(tz=UTC).date())) as aws:
        places = {"AWS_ENDPOINT_URL": aws.url, "DATABASE_URL": empty_database_url}
        places |= {"ENCRYPTION_KEY": "0" * 64, "COSTBATCH_RUN_KEY": "of-the-job"}
        for container in containers:
            environ = {
                **os.environ,
                **{name: places.get(name) or each["value"] for name, each in environment(container).items()},
            }
            command = container["command"][1:] if "command" in container else ["-m", "costbatch"]
            done = subprocess.run(
                [sys.executable, *command, *container.get("args", ())],
                env=environ,
                capture_output=True,
                text=True,
                timeout=100,
                check=False,
            )
            assert done.returncode == 0, (container["name"], done.stderr)
    assert [each["args"][0] for each in containers if "args" in each] == ["db", "collect", "doctor"]
