"""What the adapters use of botocore without being promised it: a new series that changes it fails here.

Each failure names what changed and which file relies on it. Everything else that is used of botocore is
documented by it, and the tests in tests/aws call it.
"""

import inspect
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

import botocore
import pytest
from botocore import auth, xform_name
from botocore.awsrequest import (
    AWSHTTPConnection,
    AWSHTTPConnectionPool,
    AWSHTTPSConnection,
    AWSHTTPSConnectionPool,
    AWSPreparedRequest,
    AWSRequest,
    AWSResponse,
)
from botocore.compat import HTTPHeaders
from botocore.credentials import CredentialResolver, create_credential_resolver
from botocore.endpoint import EndpointCreator
from botocore.httpsession import URLLib3Session
from botocore.loaders import Loader
from botocore.parsers import create_parser
from botocore.response import StreamingBody
from botocore.retries import standard
from botocore.retries.throttling import CubicCalculator
from botocore.session import Session, get_session
from botocore.utils import ContainerMetadataFetcher, get_environ_proxies
from urllib3.connection import HTTPConnection
from urllib3.exceptions import NameResolutionError

from costbatch.adapters.aws.fast_path import Template
from costbatch.adapters.aws.hooks import credentials_of
from costbatch.domain.credentials import AccessKeys, Secret

QUERY = {
    "TimePeriod": {"Start": "2024-03-01", "End": "2024-03-02"},
    "Granularity": "DAILY",
    "Metrics": ["UnblendedCost"],
}
EVENT = "cost-explorer.GetCostAndUsage"


@cache
def client(service: str = "ce") -> Any:
    """Return a client that sends nothing; of Cost Explorer if no other is named."""
    found: Any = get_session().create_client(
        service,
        region_name="us-east-1",
        aws_access_key_id="AKIAEXAMPLE",
        aws_secret_access_key="example",
    )
    return found


class _Body(BytesIO):
    def stream(self) -> list[bytes]:
        return [self.getvalue()]


@cache
def events() -> dict[str, dict[str, Any]]:
    """Return the arguments that botocore gave to the handlers of one call, by the event's name."""
    found: dict[str, dict[str, Any]] = {}

    def note(name: str, result: Any = None) -> Callable[..., Any]:
        def handler(**arguments: Any) -> Any:
            found[name] = arguments
            return result

        return handler

    answer = AWSResponse("https://ce.us-east-1.amazonaws.com/", 200, HTTPHeaders(), _Body(b"{}"))
    called = client().meta.events
    called.register_last(f"before-call.{EVENT}", note("before-call"))
    called.register("before-sign", note("before-sign"))
    called.register("before-send", note("before-send", answer))
    called.register("needs-retry", note("needs-retry"))
    called.register(f"before-parse.{EVENT}", note("before-parse"))
    client().get_cost_and_usage(**QUERY)
    return found


def _form_of_identity() -> Any:
    """Return the body of a call of the query protocol, as before-call gives it."""
    bodies = []

    def take(params: dict[str, Any], **_: object) -> tuple[AWSResponse, dict[str, Any]]:
        bodies.append(params["body"])
        return AWSResponse(params["url"], 200, HTTPHeaders(), _Body(b"")), {}

    sts = client("sts")
    sts.meta.events.register("before-call.sts.GetCallerIdentity", take)
    sts.get_caller_identity()
    return bodies[0]


def _parses_a_body_by_its_shape() -> bool:
    service = client("sts").meta.service_model
    body = (
        b'<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
        b"<Account>100000000001</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"
    )
    response = {"status_code": 200, "headers": {}, "body": body}
    parsed = create_parser(service.protocol).parse(
        response, service.operation_model("GetCallerIdentity").output_shape
    )
    return bool(parsed["Account"] == "100000000001")


def takes(function: Callable[..., Any], *positional: object, **named: object) -> bool:
    """Whether a function can be called with these arguments."""
    try:
        inspect.signature(function).bind(*positional, **named)
    except TypeError:
        return False
    return True


def gives(event: str, *names: str) -> Callable[[], bool]:
    """Return a check that an event comes with these arguments."""
    return lambda: set(names) <= events()[event].keys()


def _retry_handler() -> Any:
    found: Any = standard.register_retry_handler(client(), 3)
    return found


def _unregisters_the_retry_handler() -> bool:
    """Unregister botocore's own handler of another client, as clients.py does."""
    other: Any = get_session().create_client("sts", region_name="us-east-1")
    emitter = other.meta.events
    before = len(emitter._emitter._handlers.prefix_search("needs-retry.sts"))
    emitter.unregister("needs-retry.sts", unique_id="retry-config-sts")
    return bool(len(emitter._emitter._handlers.prefix_search("needs-retry.sts")) == before - 1)


def _throttling_is_detected() -> bool:
    detector = standard.ThrottlingErrorDetector(standard.RetryEventAdapter())
    parsed = {"Error": {"Code": "LimitExceededException"}, "ResponseMetadata": {}}
    response = (AWSResponse("", 400, HTTPHeaders(), BytesIO()), parsed)
    event = {
        "operation": client().meta.service_model.operation_model("GetCostAndUsage"),
        "attempts": 1,
        "response": response,
        "caught_exception": None,
        "request_dict": {"context": {}},
    }
    return isinstance(detector.is_throttling_error(**event), bool)


def _cubic_learns() -> bool:
    cubic = CubicCalculator(starting_max_rate=0, start_time=0)
    return 0 < cubic.error_received(10.0, 1.0) < 10 and cubic.success_received(2.0) > 0  # type: ignore[no-any-return] # it has no types


def _reads_chunks_of_any_length() -> bool:
    unchecked: Any = None
    return b"".join(StreamingBody(BytesIO(b"body"), unchecked).iter_chunks(2)) == b"body"


def _connection_attributes() -> bool:
    connection = AWSHTTPConnection("localhost", 80, timeout=1.0)
    names = ("_original_response_cls", "response_class", "_dns_host", "socket_options", "timeout", "sock")
    return all(hasattr(connection, name) for name in names) and callable(HTTPConnection._new_conn)


RELIANCES: dict[str, tuple[str, Callable[[], bool]]] = {
    "a client keeps its connections in _endpoint.http_session": (
        "aws/timeouts.py and aws/fast_path.py",
        lambda: isinstance(client()._endpoint.http_session, URLLib3Session),
    ),
    "an operation's method has the name that xform_name makes of it": (
        "aws/raw_requests.py",
        lambda: all(
            callable(getattr(client(), xform_name(name)))
            for name in client().meta.service_model.operation_names
        ),
    ),
    "an HTTP session looks its pools up in _pool_classes_by_scheme": (
        "aws/timeouts.py",
        lambda: client()._endpoint.http_session._pool_classes_by_scheme.keys() == {"http", "https"},
    ),
    "a pool makes its connections by ConnectionCls": (
        "aws/timeouts.py",
        lambda: (
            AWSHTTPConnectionPool.ConnectionCls is AWSHTTPConnection
            and AWSHTTPSConnectionPool.ConnectionCls is AWSHTTPSConnection
        ),
    ),
    "a connection has the attributes of botocore's and urllib3's that are set or read": (
        "aws/timeouts.py",
        _connection_attributes,
    ),
    "urllib3's NameResolutionError takes a host, a connection and a reason": (
        "aws/timeouts.py",
        lambda: takes(NameResolutionError, "host", None, OSError()),
    ),
    "an HTTP session sends a prepared request": (
        "aws/fast_path.py",
        lambda: takes(URLLib3Session.send, None, "request"),
    ),
    "before-call comes with the request and its signer, and may answer the call": (
        "aws/fast_path.py",
        gives("before-call", "params", "request_signer"),
    ),
    "the request of before-call has a url, headers and a context": (
        "aws/fast_path.py",
        lambda: {"url", "headers", "context"} <= events()["before-call"]["params"].keys(),
    ),
    "the body of before-call is a dict for an operation of the query protocol, and else bytes": (
        "aws/fast_path.py",
        lambda: (
            _form_of_identity() == {"Action": "GetCallerIdentity", "Version": "2011-06-15"}
            and isinstance(events()["before-call"]["params"]["body"], bytes)
        ),
    ),
    "the parser of a service's protocol reads a body by the shape of its operation": (
        "aws/raw_requests.py",
        _parses_a_body_by_its_shape,
    ),
    "a request signer knows its region and its signing name": (
        "aws/fast_path.py",
        lambda: all(
            isinstance(getattr(events()["before-call"]["request_signer"], name), str)
            for name in ("region_name", "signing_name")
        ),
    ),
    "a prepared request takes a method, a url, headers and a body": (
        "aws/fast_path.py",
        lambda: takes(AWSPreparedRequest, "POST", "url", {}, b"", stream_output=True),
    ),
    "a StreamingBody reads a body of unknown length in chunks": (
        "aws/fast_path.py",
        _reads_chunks_of_any_length,
    ),
    "before-sign comes with the request, which has a context": (
        "aws/hooks.py",
        lambda: isinstance(events()["before-sign"]["request"].context, dict),
    ),
    "the answer of before-send stands for the request's": (
        "aws/hooks.py",
        lambda: events()["needs-retry"]["response"][0].status_code == 200,
    ),
    "needs-retry comes with the request, the response, the attempts and the exception": (
        "aws/hooks.py",
        gives("needs-retry", "request_dict", "response", "attempts", "caught_exception"),
    ),
    "the context of needs-retry is the one of before-sign": (
        "aws/hooks.py",
        lambda: (
            events()["needs-retry"]["request_dict"]["context"] is events()["before-sign"]["request"].context
        ),
    ),
    "the throttling detector takes what needs-retry comes with": ("aws/hooks.py", _throttling_is_detected),
    "before-parse comes with the response and a place for other members": (
        "aws/raw_requests.py and aws/clients.py",
        gives("before-parse", "response_dict", "customized_response_dict"),
    ),
    "the response of before-parse has a status_code and a body of bytes": (
        "aws/raw_requests.py and aws/clients.py",
        lambda: (
            events()["before-parse"]["response_dict"]["status_code"] == 200
            and isinstance(events()["before-parse"]["response_dict"]["body"], bytes)
        ),
    ),
    "the standard retries can be unregistered by retry-config-SERVICE": (
        "aws/clients.py",
        _unregisters_the_retry_handler,
    ),
    "a retry handler asks its _retry_quota": (
        "aws/clients.py",
        lambda: takes(_retry_handler()._retry_quota.acquire_retry_quota, "context"),
    ),
    "a session's data loader has search paths, and a Loader takes them": (
        "aws/clients.py",
        lambda: (
            bool(get_session().get_component("data_loader").search_paths)
            and takes(Loader, extra_search_paths=[], include_default_search_paths=False)
            and takes(Loader.list_available_services, None, type_name="service-2")
        ),
    ),
    "a session's credential provider can be replaced": (
        "aws/clients.py",
        lambda: (
            takes(CredentialResolver, providers=[])
            and takes(Session.register_component, None, "credential_provider", None)
        ),
    ),
    "the CUBIC calculator learns from errors and successes": ("aws/rate_limiter.py", _cubic_learns),
    "the fetcher of container credentials lists its _ALLOWED_HOSTS": (
        "aws/environment.py",
        lambda: all(isinstance(host, str) for host in ContainerMetadataFetcher._ALLOWED_HOSTS),  # type: ignore[attr-defined] # not in its stubs
    ),
    "the providers over the network have the names that are removed": (
        "aws/environment.py",
        lambda: (
            {"container-role", "iam-role", "custom-process"}
            <= {provider.METHOD for provider in create_credential_resolver(Session()).providers}
        ),
    ),
    "a session is made without its event handlers": (
        "aws/environment.py",
        lambda: takes(Session, include_builtin_handlers=False),
    ),
    "a session's config store takes None for a profile that is not set": (
        "aws/sessions.py",
        lambda: takes(get_session().get_component("config_store").set_config_variable, "profile", None),
    ),
    "an endpoint is made from a service model, with certificates and timeouts": (
        "aws/probe.py",
        lambda: takes(
            EndpointCreator.create_endpoint,
            None,
            None,
            region_name="",
            endpoint_url="",
            verify=None,
            timeout=(1, 1),
        ),
    ),
    "the proxies of the environment are returned by scheme": (
        "aws/probe.py",
        lambda: isinstance(get_environ_proxies("https://ce.us-east-1.amazonaws.com"), dict),
    ),
}


def broken(what: str) -> str:
    """Return the sentence about a reliance that no longer holds; empty if it holds."""
    where, holds = RELIANCES[what]
    try:
        if holds():
            return ""
        reason = ""
    except Exception as error:  # noqa: BLE001 - whatever is raised, botocore has changed
        reason = f" ({type(error).__name__}: {error})"
    version = botocore.__version__
    return f"botocore {version} has changed: it no longer holds that {what}; {where} relies on it.{reason}"


@pytest.mark.parametrize("what", RELIANCES)
def test_botocore_holds_what_the_adapters_rely_on(what: str) -> None:
    """Of the series that pyproject.toml allows."""
    problem = broken(what)
    assert not problem, problem


@pytest.mark.parametrize("token", [None, Secret("a token/with+signs==")])
@pytest.mark.parametrize(
    "url",
    [
        "https://ce.us-east-1.amazonaws.com/",
        "https://ce.us-east-1.amazonaws.com:443",
        "http://localhost:8080/a path/~x",
        "https://proxy.example/ce/?b=2&a=1",
    ],
)
def test_the_fast_path_signs_as_botocore_does(
    monkeypatch: pytest.MonkeyPatch, url: str, token: Secret | None
) -> None:
    """Whatever the endpoint, with long-term and with temporary credentials."""
    now = datetime(2026, 3, 1, 2, 3, 4, tzinfo=UTC)
    monkeypatch.setattr(auth, "get_current_datetime", lambda: now)
    keys = AccessKeys(
        access_key_id=Secret("AKIAIOSFODNN7EXAMPLE"), secret_access_key=Secret("s+e/c"), session_token=token
    )
    headers = {"X-Amz-Target": "AWSInsights.GetCostAndUsage", "User-Agent": "a b", "X-Spaces": " a  b "}
    body = b'{"Granularity": "DAILY"}'
    template = Template.of(url, headers, region="us-east-1", signing_name="ce", max_attempts=3)
    ours = template.signed(keys, body, now)
    theirs = AWSRequest("POST", url, headers, body, stream_output=True)
    auth.SigV4Auth(credentials_of(keys), "ce", "us-east-1").add_auth(theirs)
    expected = dict(theirs.prepare().headers.items())
    sent = {name: value for name, value in ours.headers.items() if name.lower() in map(str.lower, expected)}
    assert sent == expected
    assert (ours.method, ours.url, ours.body) == ("POST", url, body)
    # What http.client would send without it.
    assert ours.headers["Host"] == _host_of(url)
    assert ours.headers["amz-sdk-request"] == "attempt=1; max=3"


def _host_of(url: str) -> str:
    parts = urlsplit(url)
    return parts.hostname if parts.port in (None, 443) else parts.netloc  # type: ignore[return-value] # it has one


def test_a_change_is_reported_by_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what changed, and which file relies on it."""
    monkeypatch.delattr(ContainerMetadataFetcher, "_ALLOWED_HOSTS")
    sentence = broken("the fetcher of container credentials lists its _ALLOWED_HOSTS")
    assert "has changed" in sentence
    assert "aws/environment.py relies on it" in sentence
