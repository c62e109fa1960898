"""The botocore clients that all accounts share; each request is signed with its own account's credentials.

Creating a client takes longer than ten requests, so there is one per service and region. It has no
credentials of its own: outside of ``signing_as`` every request fails.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import Any

from botocore.client import BaseClient
from botocore.config import Config
from botocore.credentials import CredentialResolver
from botocore.loaders import Loader
from botocore.retries import standard
from botocore.session import Session, get_session

from costbatch.adapters.aws.errors import call_aws
from costbatch.adapters.aws.fast_path import FastRequests
from costbatch.adapters.aws.hooks import OK, AttemptHooks, Caller, calling_as
from costbatch.adapters.aws.operations import (
    DISCOVERY,
    EC2,
    GET_ANOMALIES,
    GET_CALLER_IDENTITY,
    GET_COST_AND_USAGE,
    SERVICES,
    Operation,
)
from costbatch.adapters.aws.rate_limiter import RateLimiter
from costbatch.adapters.aws.raw_requests import RawRequests
from costbatch.adapters.aws.sessions import do_without_identity, forget_empty_variables
from costbatch.adapters.aws.timeouts import limit_client
from costbatch.domain import strict_json
from costbatch.domain.accounts import Partition
from costbatch.domain.credentials import AccessKeys

# How an error of AWS's own begins, by the protocols whose errors are XML.
_XML_ERRORS = {"query": b"<ErrorResponse", "ec2": b"<Response", "rest-xml": b"<Error"}
_OPERATIONS = (
    GET_COST_AND_USAGE,
    GET_CALLER_IDENTITY,
    GET_ANOMALIES,
    *(operation for operation in DISCOVERY if operation.service != EC2),
)
_SERVER_ERROR = 500
# The region of what a partition has once, and of resources that lie in no region.
HOME_REGIONS = {
    Partition.AWS: "us-east-1",
    Partition.CHINA: "cn-northwest-1",
    Partition.GOVCLOUD: "us-gov-west-1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsSettings:
    """How AWS is called.

    Timeouts are for one attempt as a whole: opening its connection, and its response to the last byte.
    ``max_attempts`` includes the first one. ``concurrency``: threads that call at the same time.
    ``page_limit``: pages that one fetch reads at most. ``version``: costbatch's own.
    """

    version: str
    connect_timeout_seconds: float = 5.0
    read_timeout_seconds: float = 60.0
    max_attempts: int = 5
    concurrency: int = 16
    page_limit: int = 200


def signing_as(keys: AccessKeys) -> AbstractContextManager[None]:
    """Sign every request that this thread makes inside with these credentials."""
    return calling_as(Caller(keys))


@dataclass(frozen=True, slots=True)
class _Made:
    """A client, its rate limiter, and its operations whose responses botocore does not parse."""

    client: BaseClient
    limiter: RateLimiter
    requests: dict[str, RawRequests]


class AwsClients:
    """One client per service and region, made when it is first used; safe to share between threads.

    Without a region it is the one of the partition's that serves what is not regional.
    """

    def __init__(self, settings: AwsSettings) -> None:
        self.settings = settings
        self._made: dict[tuple[str, str], _Made] = {}
        self._lock = Lock()
        self._session: Session | None = None

    def get(self, service: str, partition: Partition, region: str | None = None) -> Any:  # noqa: ANN401 - botocore makes the methods at run time
        """Return the client of a service.

        Raises:
            AccountError: botocore's own configuration (a profile, an endpoint) is invalid.

        """
        return self._get(service, partition, region).client

    def limiter(self, service: str, partition: Partition, region: str | None = None) -> RateLimiter:
        """Return the rate limiter of a service; raises as ``get``."""
        return self._get(service, partition, region).limiter

    def requests(self, operation: Operation, partition: Partition, region: str | None = None) -> RawRequests:
        """Return what sends requests of an operation; raises as ``get``."""
        return self._get(operation.service, partition, region).requests[operation.name]

    def _get(self, service: str, partition: Partition, region: str | None) -> _Made:
        region = region or HOME_REGIONS[partition]
        with self._lock:
            made = self._made.get((service, region))
            if made is None:
                made = call_aws(f"Creating the client of {service}", lambda: self._make(service, region))
                self._made[service, region] = made
            return made

    def _make(self, service: str, region: str) -> _Made:
        if self._session is None:
            self._session = _session_without_credentials()
        settings = self.settings
        config = Config(
            connect_timeout=settings.connect_timeout_seconds,
            read_timeout=settings.read_timeout_seconds,
            max_pool_connections=settings.concurrency,
            # Not "adaptive": its rate limiter belongs to the client, so one throttled account would slow down
            # all. rate_limiter.py has a limit per account.
            retries={"mode": "standard", "total_max_attempts": settings.max_attempts},
            user_agent_extra=f"costbatch/{settings.version}",
        )
        client = self._session.create_client(service, region_name=region, config=config)
        limit_client(client)
        limiter = RateLimiter(service, region, max_wait_seconds=settings.read_timeout_seconds)
        AttemptHooks(limiter, settings.max_attempts).register(client)
        before_parse = f"before-parse.{client.meta.service_model.service_id.hyphenize()}"
        own_error = _XML_ERRORS.get(client.meta.service_model.resolved_protocol)
        if own_error:
            client.meta.events.register(before_parse, partial(_drop_foreign_error, own_error))
        else:
            client.meta.events.register(before_parse, _drop_ambiguous_error)
        _lift_shared_retry_quota(client, settings.max_attempts)
        # Made here, so that a setting that no request can be prepared with is found before a run starts.
        requests = {
            operation.name: RawRequests(client, operation)
            if operation.example is None
            else FastRequests(client, operation, limiter, settings.max_attempts)
            for operation in _OPERATIONS
            if operation.service == service
        }
        return _Made(client, limiter, requests)


def _session_without_credentials() -> Session:
    """Return a session without credentials: a request outside of ``signing_as`` must fail."""
    forget_empty_variables()
    session = get_session()
    do_without_identity(session)
    session.register_component("credential_provider", CredentialResolver(providers=[]))
    session.register_component("data_loader", _OurServices(session.get_component("data_loader").search_paths))
    session.set_config_variable("sts_regional_endpoints", "regional")
    return session


class _OurServices(Loader):
    """Lists only the services that are called here.

    botocore searches the folders of some 400 others before it loads one, and again for its endpoints.
    """

    def __init__(self, search_paths: list[str]) -> None:
        super().__init__(extra_search_paths=search_paths, include_default_search_paths=False)

    def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002 - botocore's signature
        return [*SERVICES]


def _drop_foreign_error(own: bytes, response_dict: dict[str, Any], **_: object) -> None:
    """Keep only the status of a server error that is not AWS's own XML, such as a gateway's or a proxy's.

    botocore's parser would fail on the body, and an error that a retry may fix would count as malformed.
    """
    if response_dict["status_code"] >= _SERVER_ERROR and own not in response_dict["body"]:
        response_dict["body"] = b""


def _drop_ambiguous_error(response_dict: dict[str, Any], **_: object) -> None:
    """Keep only the status of an error with a repeated member: botocore's parser would take the last one."""
    if response_dict["status_code"] == OK:
        return
    try:
        strict_json.loads(response_dict["body"])
    except strict_json.RepeatedMemberError:
        response_dict["body"] = b"{}"
    except (ValueError, RecursionError):
        return  # botocore reports what is not JSON


class _NoQuota:
    """Allows every account its retries.

    botocore's quota (500 points, 5 to 14 for a retry, returned only by success) belongs to the client.
    With one client for all accounts a dozen broken ones would use it up, and healthy ones would fail when
    they are throttled once. ``max_attempts`` still limits the attempts of a request.
    """

    def acquire_retry_quota(self, _context: object) -> bool:
        return True


def _lift_shared_retry_quota(client: BaseClient, max_attempts: int) -> None:
    service = client.meta.service_model.service_id.hyphenize()
    client.meta.events.unregister(f"needs-retry.{service}", unique_id=f"retry-config-{service}")
    handler: Any = standard.register_retry_handler(client, max_attempts)
    handler._retry_quota = _NoQuota()  # noqa: SLF001 - botocore has no setting for it; a test proves that it holds
