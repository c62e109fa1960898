"""Checks AWS for `costbatch doctor` without a paid request: whether its addresses answer, and who the pod is.

Uses the address, the proxy and the trusted certificates that botocore uses for a collection.
"""

import socket
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import SplitResult, urlsplit

from botocore import exceptions as aws
from botocore.awsrequest import AWSRequest
from botocore.endpoint import EndpointCreator
from botocore.session import get_session
from botocore.utils import get_environ_proxies
from typing_extensions import override

from costbatch.adapters.aws.clients import AwsClients, signing_as
from costbatch.adapters.aws.credentials import owner_of
from costbatch.adapters.aws.environment import check_environment
from costbatch.adapters.aws.errors import call_aws, seconds_ahead
from costbatch.adapters.aws.operations import COST_EXPLORER, COST_SERVICES, DISCOVERY_SERVICES, STS
from costbatch.adapters.aws.pod_identity import PodIdentity
from costbatch.adapters.aws.timeouts import limit_session
from costbatch.application.doctor.ports import AwsProbe, Caller, Endpoint
from costbatch.domain.accounts import AwsNeeds, Partition

_CHECK_NAMES = (
    "Check that this pod can resolve DNS (a network policy must allow port 53) and that the name is right."
)
_CHECK_EGRESS = "Check that the network policy and the firewall let this pod reach it."
_CHECK_PROXY = "Check HTTPS_PROXY, HTTP_PROXY and NO_PROXY, and that the proxy is up and lets AWS pass."
_CHECK_TRUST = "A proxy is intercepting TLS; trust its CA in AWS_CA_BUNDLE."
# The first match counts: some are special cases of others.
_PROBLEMS = (
    (aws.SSLError, "has a certificate that is not trusted here", _CHECK_TRUST),
    (aws.ProxyConnectionError, "cannot be reached", _CHECK_PROXY),
    (aws.ConnectTimeoutError, "did not accept a connection in time", _CHECK_EGRESS),
    (aws.ReadTimeoutError, "did not answer in time", _CHECK_EGRESS),
    ((aws.ConnectionError, aws.HTTPClientError), "cannot be reached", _CHECK_EGRESS),
)


class BotocoreProbe(AwsProbe):
    """Checks AWS with the clients of a collection."""

    def __init__(self, clients: AwsClients) -> None:
        self._clients = clients
        self._pod = PodIdentity()

    @override
    def check_environment(self, needs: AwsNeeds, *, discovers: bool) -> None:
        services = {*COST_SERVICES, *(DISCOVERY_SERVICES if discovers else ())}
        check_environment(self._clients, needs, sorted(services))

    @override
    def endpoints(self, partition: Partition) -> list[Endpoint]:
        return [self._reach(self._clients.get(service, partition)) for service in (STS, COST_EXPLORER)]

    @override
    def pod(self, partition: Partition) -> Caller:
        client = self._clients.get(STS, partition)
        with signing_as(self._pod.access_keys()):
            response: dict[str, Any] = call_aws("GetCallerIdentity", client.get_caller_identity)
        return Caller(aws_account_id=owner_of(response), arn=str(response.get("Arn")))

    def _reach(self, client: Any) -> Endpoint:  # noqa: ANN401 - botocore makes clients at run time
        url = urlsplit(client.meta.endpoint_url)
        is_encrypted = url.scheme == "https"
        proxy = urlsplit(get_environ_proxies(url.geturl()).get(url.scheme, ""))
        found = Endpoint(
            address=f"{url.scheme}://{_place(url)}", is_encrypted=is_encrypted, proxy=_place(proxy)
        )
        # With a proxy, only the proxy has to resolve the name.
        if not found.proxy and not _is_known(url):
            return replace(found, problem="has a name that does not resolve here", advice=_CHECK_NAMES)
        try:
            status, date = self._ask(client)
            ahead = seconds_ahead(date, datetime.now(tz=UTC))
            return replace(found, http_status=status, seconds_ahead=ahead)
        except (aws.BotoCoreError, OSError) as error:
            words = ((what, advice) for kind, what, advice in _PROBLEMS if isinstance(error, kind))
            problem, advice = next(words, (f"cannot be checked ({type(error).__name__})", _CHECK_EGRESS))
            return replace(found, problem=problem, advice=advice)

    def _ask(self, client: Any) -> tuple[int, str]:  # noqa: ANN401 - as above
        """Send an unsigned request, which AWS refuses free of charge; return its status and Date."""
        settings, meta = self._clients.settings, client.meta
        # botocore accepts more types than its stubs declare.
        verify: Any = get_session().get_config_variable("ca_bundle")
        timeout: Any = (settings.connect_timeout_seconds, settings.read_timeout_seconds)
        endpoint = EndpointCreator(meta.events).create_endpoint(
            meta.service_model,
            region_name=meta.region_name,
            endpoint_url=meta.endpoint_url,
            verify=verify,
            timeout=timeout,
        )
        limit_session(endpoint.http_session)
        request = AWSRequest(method="GET", url=f"{meta.endpoint_url.rstrip('/')}/").prepare()
        try:
            response = endpoint.http_session.send(request)
        finally:
            endpoint.close()
        return response.status_code, response.headers.get("Date", "")


def _place(url: SplitResult) -> str:
    """Return host and port, without a user and a password."""
    return url.netloc.rpartition("@")[2]


def _is_known(url: SplitResult) -> bool:
    try:
        return bool(socket.getaddrinfo(url.hostname, url.port or url.scheme, type=socket.SOCK_STREAM))
    except (OSError, UnicodeError):
        return False
