"""The services of AWS: what has to be known of each, also of one that the next job calls."""

from types import MappingProxyType

import pytest
from botocore.session import get_session

from costbatch.adapters.aws import clients, operations
from costbatch.adapters.aws.clients import AwsClients, AwsSettings, signing_as
from costbatch.adapters.aws.errors import call_aws
from costbatch.adapters.aws.operations import ACTIONS, SERVICES, Operation
from costbatch.domain.accounts import Partition
from costbatch.domain.credentials import AccessKeys, Secret
from costbatch.errors import AccountError, ErrorKind
from tests.support.web_servers import Answering

KEYS = AccessKeys(access_key_id=Secret("AKIAEXAMPLE"), secret_access_key=Secret("example"))
OPERATIONS = [each for each in vars(operations).values() if isinstance(each, Operation)]


def test_every_operation_has_its_permission_and_its_service() -> None:
    """A refusal names the permission, and a service that is not listed could not be called."""
    assert {each.name: each.iam_action for each in OPERATIONS}.items() <= ACTIONS.items()
    assert {each.service for each in OPERATIONS} <= SERVICES.keys()


@pytest.mark.parametrize("service", SERVICES)
def test_the_variable_of_an_endpoint_is_named_as_botocore_names_it(service: str) -> None:
    """Under another name it would be checked, and botocore would use what was not."""
    service_id = get_session().get_service_model(service).service_id
    assert SERVICES[service] == service_id.upper().replace(" ", "_")


# By protocol, also of services that only the next job may call.
CALLS = {
    "query": ("iam", "get_account_summary"),
    "ec2": ("ec2", "describe_regions"),
    "rest-xml": ("s3", "list_buckets"),
    "json": ("ce", "list_cost_allocation_tags"),
    "rest-json": ("account", "list_regions"),
}


@pytest.mark.parametrize("protocol", CALLS)
@pytest.mark.parametrize("body", [b"Bad Gateway", b"<html><br>Bad Gateway", b"<a/>", b""])
def test_a_gateway_that_fails_is_tried_again_whatever_the_protocol(
    monkeypatch: pytest.MonkeyPatch, answering: Answering, protocol: str, body: bytes
) -> None:
    """Its text is not AWS's: botocore's parser must not fail on it, which would count as malformed."""
    service, call = CALLS[protocol]
    monkeypatch.setattr(clients, "SERVICES", MappingProxyType({**SERVICES, service: ""}))
    monkeypatch.setenv("AWS_ENDPOINT_URL", answering.url)
    answering.status, answering.body = 502, body
    client = AwsClients(AwsSettings(version="1", max_attempts=2)).get(service, Partition.AWS)
    assert client.meta.service_model.resolved_protocol == protocol
    with signing_as(KEYS), pytest.raises(AccountError) as caught:
        call_aws(call, getattr(client, call))
    assert (caught.value.kind, len(answering.requests)) == (ErrorKind.TIMEOUT, 2)
