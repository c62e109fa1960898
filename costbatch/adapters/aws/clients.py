"""The botocore clients that all accounts share; each request is signed with its own account's credentials.

Creating a client takes longer than ten requests, so there is one per service and partition. It has no
credentials of its own: outside of ``signing_as`` every request fails.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from threading import Lock
from typing import Any

from botocore.client import BaseClient
from botocore.config import Config
from botocore.credentials import CredentialResolver
from botocore.loaders import Loader
from botocore.retries import standard
from botocore.session import Session, get_session

from costbatch.adapters.aws.cost_explorer.fast_path import FastCostRequests
from costbatch.adapters.aws.cost_explorer.requests import CostRequests
from costbatch.adapters.aws.errors import call_aws
from costbatch.adapters.aws.hooks import OK, AttemptHooks, Caller, calling_as
from costbatch.adapters.aws.rate_limiter import RateLimiter
from costbatch.adapters.aws.sessions import do_without_identity, forget_empty_variables
from costbatch.adapters.aws.timeouts import limit_client
from costbatch.domain import strict_json
from costbatch.domain.accounts import Partition
from costbatch.domain.credentials import AccessKeys

COST_EXPLORER = "ce"
STS = "sts"

_SERVER_ERROR = 500
_REGIONS = {
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


class AwsClients:
    """One client per service and partition, made when it is first used; safe to share between threads."""

    def __init__(self, settings: AwsSettings) -> None:
        self.settings = settings
        self._made: dict[tuple[str, Partition], tuple[BaseClient, RateLimiter]] = {}
        self._cost_requests: dict[Partition, CostRequests] = {}
        self._lock = Lock()
        self._session: Session | None = None

    def get(self, service: str, partition: Partition) -> Any:  # noqa: ANN401 - botocore makes the methods at run time
        """Return the client of a service in a partition.

        Raises:
            AccountError: botocore's own configuration (a profile, an endpoint) is invalid.

        """
        return self._get(service, partition)[0]

    def limiter(self, service: str, partition: Partition) -> RateLimiter:
        """Return the rate limiter of a service in a partition; raises as ``get``."""
        return self._get(service, partition)[1]

    def cost_requests(self, partition: Partition) -> CostRequests:
        """Return what sends requests for costs in a partition; raises as ``get``."""
        self._get(COST_EXPLORER, partition)
        return self._cost_requests[partition]

    def _get(self, service: str, partition: Partition) -> tuple[BaseClient, RateLimiter]:
        with self._lock:
            made = self._made.get((service, partition))
            if made is None:
                made = call_aws(f"Creating the client of {service}", lambda: self._make(service, partition))
                self._made[service, partition] = made
            return made

    def _make(self, service: str, partition: Partition) -> tuple[BaseClient, RateLimiter]:
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
        client = self._session.create_client(service, region_name=_REGIONS[partition], config=config)
        limit_client(client)
        limiter = RateLimiter(service, partition, max_wait_seconds=settings.read_timeout_seconds)
        AttemptHooks(limiter, settings.max_attempts).register(client)
        client.meta.events.register("before-parse.sts", _drop_foreign_error)
        client.meta.events.register("before-parse.cost-explorer", _drop_ambiguous_error)
        _lift_shared_retry_quota(client, settings.max_attempts)
        if service == COST_EXPLORER:
            # Made here, so that a setting that no request can be prepared with is found before a run starts.
            self._cost_requests[partition] = FastCostRequests(client, limiter, settings.max_attempts)
        return client, limiter


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
        return [COST_EXPLORER, STS]


def _drop_foreign_error(response_dict: dict[str, Any], **_: object) -> None:
    """Keep only the status of a server error that is not STS's own XML, such as a gateway's or a proxy's.

    botocore's parser would fail on the body, and an error that a retry may fix would count as malformed.
    """
    if response_dict["status_code"] >= _SERVER_ERROR and b"<ErrorResponse" not in response_dict["body"]:
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
