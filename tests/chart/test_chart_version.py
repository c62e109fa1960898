"""The version stands in Chart.yaml alone: another one there is another one everywhere."""

import os
import shutil
import subprocess
import sys
import tarfile
from email.parser import Parser
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import ZipFile

import pytest
import yaml

from tests.chart.chart import CHART, ROOT, render, run_helm
from tests.chart.test_chart_pods import SECRET
from tests.support.machine import unavailable
from tests.support.sources import OTHER_VERSION, copy_sources, set_version

DEMO = {"demo": {"enabled": True}}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the sources in which the one place says another version."""
    folder = copy_sources(tmp_path_factory.mktemp("sources"))
    set_version(folder, OTHER_VERSION)
    return folder


@pytest.fixture(scope="module")
def wheel(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel of that copy."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder],
        cwd=sources,
        env={**os.environ, "PYTHONPATH": str(_wheel_tools())},
        check=True,
        capture_output=True,
    )
    (built,) = folder.iterdir()
    return built


def test_a_checkout_says_it(sources: Path) -> None:
    """Without any installation, and at once after a change."""
    assert _said_by(sources) == f"costbatch {OTHER_VERSION}\n"


def test_a_wheel_has_it_in_its_name_and_metadata_and_says_it(wheel: Path, tmp_path: Path) -> None:
    """What is installed knows it without the chart."""
    assert wheel.name == f"costbatch-{OTHER_VERSION}-py3-none-any.whl"
    with ZipFile(wheel) as archive:
        metadata = archive.read(f"costbatch-{OTHER_VERSION}.dist-info/METADATA").decode()
        archive.extractall(tmp_path)
    assert Parser().parsestr(metadata)["Version"] == OTHER_VERSION
    assert _said_by(tmp_path) == f"costbatch {OTHER_VERSION}\n"


def test_a_packed_chart_has_it_twice_and_runs_the_images_with_it(sources: Path, tmp_path: Path) -> None:
    """Its own version, that of the program, and the tags of both images."""
    run_helm("package", str(sources / "helm" / "costbatch"), "--destination", str(tmp_path))
    packed = tmp_path / f"costbatch-{OTHER_VERSION}.tgz"

    assert _versions_of(packed) == (OTHER_VERSION, OTHER_VERSION)
    assert _tags(packed) == {OTHER_VERSION}


def test_a_chart_in_a_checkout_runs_the_images_with_it(sources: Path) -> None:
    """`helm install ./helm/costbatch` needs no packing before."""
    assert _tags(sources / "helm" / "costbatch") == {OTHER_VERSION}


def test_a_release_is_of_the_version_that_its_tag_names(sources: Path) -> None:
    """The workflow takes the images' version from here."""
    done = _release_version(sources, f"v{OTHER_VERSION}")

    assert done.returncode == 0
    assert f"version={OTHER_VERSION}\n" in done.stdout


def test_a_tag_that_names_another_version_is_refused() -> None:
    """Nothing is built for it."""
    done = _release_version(ROOT, "v999.0.0")

    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["version"]
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"The tag is v999.0.0, but helm/costbatch/Chart.yaml says {version}.\n"


@pytest.mark.parametrize("version", ["1.2.3-rc.1", "1.2", "01.2.3", "1.2.3.4"])
def test_a_version_that_helm_and_python_would_not_write_alike_is_refused(
    version: str, tmp_path: Path
) -> None:
    """1.2.3-rc.1 would be the tag of an image that says 1.2.3rc1."""
    sources = copy_sources(tmp_path)
    set_version(sources, version)

    done = _release_version(sources, f"v{version}")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"helm/costbatch/Chart.yaml says {version}: a version is three numbers, such as 1.2.3.\n"
    )


def _said_by(folder: Path) -> str:
    """Return what the program in a folder says to be, with this environment's other packages."""
    return subprocess.run(
        [sys.executable, "-m", "costbatch", "--version"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def _versions_of(packed: Path) -> tuple[str, str]:
    with tarfile.open(packed) as archive:
        file = archive.extractfile("costbatch/Chart.yaml")
        assert file
        chart: dict[str, Any] = yaml.safe_load(file)
    return chart["version"], chart["appVersion"]


def _tags(chart: Path) -> set[str]:
    """Return the tags of costbatch's images in all that a chart makes."""
    containers = (
        container
        for values in (SECRET, DEMO)
        for pod in render(values, chart=chart).pods
        for container in pod.containers
    )
    images = (container["image"].rpartition(":") for container in containers)
    return {tag for name, _, tag in images if name in {"costbatch", "costbatch-demo"}}


def _release_version(sources: Path, tag: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sources / ".ci" / "release-version", tag], capture_output=True, text=True, check=False
    )


def _wheel_tools() -> Path:
    """Return the folder of what builds wheels, as locked; install it where it is missing."""
    lock = ROOT / "requirements-build.lock"
    folder = ROOT / ".cache" / f"wheel-tools-{sha256(lock.read_bytes()).hexdigest()[:12]}"
    if not folder.exists():
        folder.parent.mkdir(exist_ok=True)
        with TemporaryDirectory(dir=folder.parent) as unfinished:
            options = ["--quiet", "--require-hashes", "--no-deps", "--requirement", str(lock), "--target"]
            command = [sys.executable, "-m", "pip", "install", *options, f"{unfinished}/all"]
            if subprocess.run(command, check=False, capture_output=True).returncode:
                unavailable("hatchling is not installed, and pip cannot install it.")
            shutil.move(f"{unfinished}/all", folder)
    return folder
