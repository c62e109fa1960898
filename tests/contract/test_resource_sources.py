"""What the port promises of a source of resources: the tagging API of the simulator and of moto."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3
import pytest

from costbatch.domain.resources import GLOBAL, SourceChoice
from costbatch.errors import AccountError, ErrorKind
from tests.support.aws import (
    Harness,
    _clean_environment,
    _no_backoff,
    account_id,
    aws,
    moto,
    moto_url,
    simulated_account,
    simulator,
    simulator_process,
)
from tests.support.recorder import recording

if TYPE_CHECKING:
    from collections.abc import Iterator

    from costbatch.application.discover.ports import ResourceSource
    from costbatch.domain.credentials import Access
    from costbatch.simulator.client import SimulatorProcess

__all__ = ["_clean_environment", "_no_backoff", "aws", "moto", "moto_url", "simulator", "simulator_process"]

MOTO_ACCOUNT = "123456789012"
IRELAND, PARIS = "eu-west-1", "eu-west-3"
REGIONS = (IRELAND, PARIS, "us-east-1", "us-west-2")
# More than a page of the tagging API holds.
COUNT = 101
TAGS = {"Name": "jobs", "note": "ключ 😀 <&>"}


@dataclass
class Subject:
    """A source, an account with these queues, and credentials that are another account's."""

    source: ResourceSource
    good: Access
    wrong: Access
    arns: dict[str, str]


def _queues(owner: str) -> dict[str, str]:
    """Return the region of each queue, by ARN."""
    arns = {f"arn:aws:sqs:{IRELAND}:{owner}:jobs-{number}": IRELAND for number in range(COUNT)}
    return {**arns, f"arn:aws:sqs:{PARIS}:{owner}:jobs": PARIS}


def _simulated(aws: Harness, served: SimulatorProcess) -> Iterator[Subject]:
    """Let an account of the simulator have the queues."""
    owner, arns = account_id(1), _queues(account_id(1))
    inventory = [{"arn": arn, "region": region, "tags": [*TAGS.items()]} for arn, region in arns.items()]
    served.update_account(owner, inventory=inventory)
    account = simulated_account(1)
    wrong = aws.keys(account_id(2), account.access_key_id, account.secret_access_key)
    yield Subject(aws.resources(), aws.simulated_keys(1), wrong, arns)
    served.update_account(owner, inventory=None)


def _in_moto(aws: Harness, url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Subject]:
    """Create the queues in moto. It does not have the account service, which another server stands for."""
    arns = _queues(MOTO_ACCOUNT)
    for region in set(arns.values()):
        client = boto3.client(
            "sqs",
            region_name=region,
            endpoint_url=url,
            aws_access_key_id="AKIAMOTO",
            aws_secret_access_key="x",
        )
        for arn, of_queue in arns.items():
            if of_queue == region:
                client.create_queue(QueueName=arn.rpartition(":")[2], tags=TAGS)
    keys = ("AKIAMOTO", "moto-takes-any")
    regions = [{"RegionName": name, "RegionOptStatus": "ENABLED"} for name in REGIONS]
    with recording() as account_service:
        account_service.answers = [(200, {"Regions": regions})] * 2
        monkeypatch.setenv("AWS_ENDPOINT_URL_ACCOUNT", account_service.url)
        yield Subject(aws.resources(), aws.keys(MOTO_ACCOUNT, *keys), aws.keys(account_id(2), *keys), arns)


@pytest.fixture(params=["simulator", "moto"])
def subject(
    request: pytest.FixtureRequest, aws: Harness, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Subject]:
    """Return one after the other."""
    if request.param == "simulator":
        yield from _simulated(aws, request.getfixturevalue("simulator"))
    else:
        yield from _in_moto(aws, request.getfixturevalue("moto"), monkeypatch)


def test_everything_is_found_in_its_region(subject: Subject) -> None:
    """Of all pages, each resource once, with its tags; a region without resources is read too.

    At the same time an account fails with the kind that the run reports, and disturbs nobody.
    """

    def fail() -> ErrorKind:
        with pytest.raises(AccountError) as caught:
            subject.source.find(subject.wrong, SourceChoice.TAGGING)
        return caught.value.kind

    with ThreadPoolExecutor(2) as pool:
        failing = pool.submit(fail)
        inventory = subject.source.find(subject.good, SourceChoice.TAGGING)
    found = {
        resource.arn: (region, resource.tags)
        for region, content in inventory.regions.items()
        for resource in content.resources
    }
    assert found == {arn: (region, TAGS) for arn, region in subject.arns.items()}
    assert inventory.regions["us-east-1"].resources == ()
    assert inventory.regions[GLOBAL].resources == ()
    assert (inventory.source, inventory.failed) == (SourceChoice.TAGGING, {})
    assert failing.result() is ErrorKind.WRONG_ACCOUNT
