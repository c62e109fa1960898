"""Sends a JSON operation at a third of the CPU time of botocore's client.

A run makes the same request thousands of times, and nearly every response is good. So the first attempt is
assembled from botocore's own parts, around a request that botocore has prepared once. Anything but HTTP
status 200 is handed to botocore as the outcome of the first attempt of an ordinary call: errors, pauses and
retries are botocore's.

To remove it, delete this file, let clients.py make only ``RawRequests``, and drop ``Caller.first_outcome``
and ``Operation.example``.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from uuid import uuid4

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSPreparedRequest, AWSRequest, AWSResponse
from botocore.exceptions import ConnectionError as AwsConnectionError
from botocore.exceptions import HTTPClientError
from botocore.response import StreamingBody
from typing_extensions import override

from costbatch.adapters.aws.hooks import OK, Caller, credentials_of
from costbatch.adapters.aws.operations import Operation
from costbatch.adapters.aws.rate_limiter import LimitedRequest, RateLimiter
from costbatch.adapters.aws.raw_requests import RawRequests
from costbatch.application.ports import Spend
from costbatch.domain.credentials import AccessKeys

# Most responses are read at once: each further read is a switch between threads.
_READ_BYTES = 4 * 1024 * 1024


class FastRequests(RawRequests):
    """One operation of one client; ``max_attempts`` includes the first."""

    def __init__(self, client: Any, operation: Operation, limiter: RateLimiter, max_attempts: int) -> None:  # noqa: ANN401 - as the base's
        super().__init__(client, operation)
        self._limiter = limiter
        self._template = self._template_of(client, operation, max_attempts)
        # The client's own pool, with its proxies, certificates and timeouts. botocore has no public name
        # for it; a test proves that both kinds of attempt share its connections.
        self._http = client._endpoint.http_session  # noqa: SLF001 - see above

    @override
    def send(self, query: Mapping[str, Any], keys: AccessKeys, spend: Spend | None = None) -> bytes | None:
        limited = LimitedRequest(keys)
        self._limiter.wait(limited)
        request = self._template.signed(keys, json.dumps(query).encode())
        if spend is not None:
            spend()
        outcome: AWSResponse | Exception
        try:
            response = self._http.send(request)
            # There is no length to check: an incomplete response is malformed, as it is to botocore's client.
            unchecked: Any = None
            body = b"".join(StreamingBody(response.raw, unchecked).iter_chunks(_READ_BYTES))
        except (AwsConnectionError, HTTPClientError) as error:
            outcome = error
        else:
            if response.status_code == OK:
                if spend is not None:
                    spend.charged()
                self._limiter.succeeded(limited)
                return body
            outcome = _response(response.url, response.status_code, response.headers, body)
        # Outside of the handler: what fails later must not have this failure for its context.
        return self.send_as(Caller(keys, limited, spend, outcome), query)

    def _template_of(self, client: Any, operation: Operation, max_attempts: int) -> "_Template":  # noqa: ANN401 - as the base's
        """Let botocore prepare a request, and take it before it is signed and sent."""
        taken: list[_Template] = []

        def take(
            params: dict[str, Any],
            request_signer: Any,  # noqa: ANN401 - as above
            **_: object,
        ) -> tuple[AWSResponse, dict[str, Any]]:
            signing = params["context"].get("signing", {})
            region = signing.get("region") or request_signer.region_name
            name = signing.get("signing_name") or request_signer.signing_name
            taken.append(_Template(params["url"], params["headers"], region, name, max_attempts))
            return _response(params["url"], OK, {}, b""), {}

        client.meta.events.register_last(f"before-call.{self._event}", take)
        self._call(**operation.example)
        client.meta.events.unregister(f"before-call.{self._event}", take)
        return taken[0]


@dataclass(frozen=True, slots=True)
class _Template:
    """The request that botocore prepares for every query, except for its body and its signature."""

    url: str
    headers: dict[str, str]
    region: str
    signing_name: str
    max_attempts: int

    def signed(self, keys: AccessKeys, body: bytes) -> AWSPreparedRequest:
        request = AWSRequest("POST", self.url, self.headers, body, stream_output=True)
        SigV4Auth(credentials_of(keys), self.signing_name, self.region).add_auth(request)
        # Not signed, because they belong to the attempt.
        request.headers["amz-sdk-invocation-id"] = str(uuid4())
        request.headers["amz-sdk-request"] = f"attempt=1; max={self.max_attempts}"
        return request.prepare()


def _response(url: str, status: int, headers: Any, body: bytes) -> AWSResponse:  # noqa: ANN401 - any mapping will do
    """Return a response whose body botocore has yet to read."""
    return AWSResponse(url, status, headers, _Body(body))


class _Body(BytesIO):
    def stream(self) -> list[bytes]:
        return [self.getvalue()]
