"""What the image leaves out of its packages."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from costbatch.adapters.aws import operations

ROOT = Path(__file__).resolve().parents[2]
KEPT = frozenset(runpy.run_path(str(ROOT / "docker" / "prune.py"))["SERVICES"])
SERVICES = (*KEPT, "s3", "sqs")


@pytest.fixture
def site_packages(tmp_path: Path) -> Path:
    """Make a folder that looks like site-packages."""
    for name in SERVICES:
        (tmp_path / "botocore" / "data" / name / "2017-10-25").mkdir(parents=True)
    (tmp_path / "botocore" / "data" / "ec2" / "2014-09-01").mkdir()
    (tmp_path / "botocore" / "data" / "endpoints.json").write_text("{}")
    (tmp_path / "boto3" / "data" / "s3").mkdir(parents=True)
    return tmp_path


def prune(site_packages: Path) -> subprocess.CompletedProcess[str]:
    """Run the script that the Dockerfile runs."""
    command = [sys.executable, str(ROOT / "docker" / "prune.py"), str(site_packages)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_only_the_services_that_are_called_stay(site_packages: Path) -> None:
    """What lies beside the services, such as the endpoints, stays too."""
    assert prune(site_packages).returncode == 0

    left = {each.name for each in (site_packages / "botocore" / "data").iterdir()}
    assert left == KEPT | {"endpoints.json"}
    assert not (site_packages / "boto3" / "data").exists()


def test_a_service_that_botocore_has_renamed_stops_the_build(site_packages: Path) -> None:
    """A build that fails is better than an image that cannot call AWS."""
    (site_packages / "botocore" / "data" / "ce" / "2017-10-25").rmdir()
    (site_packages / "botocore" / "data" / "ce").rmdir()

    ended = prune(site_packages)

    assert ended.returncode == 1
    assert ended.stderr == "botocore has no description of ce.\n"
    assert (site_packages / "botocore" / "data" / "s3").exists()


def test_the_services_that_the_program_calls_stay() -> None:
    """Whoever calls another service of AWS must let its description into the image."""
    found = {each.service for each in vars(operations).values() if isinstance(each, operations.Operation)}
    assert {operations.STS, operations.SNS, *found} <= KEPT
    assert {*operations.COST_SERVICES, *operations.DISCOVERY_SERVICES} <= KEPT


def test_only_the_newest_version_of_an_api_stays(site_packages: Path) -> None:
    """It is the one that botocore calls."""
    prune(site_packages)
    versions = (site_packages / "botocore" / "data" / "ec2").iterdir()
    assert [version.name for version in versions] == ["2017-10-25"]
