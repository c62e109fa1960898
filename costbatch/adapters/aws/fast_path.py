"""Sends an operation at a third of the CPU time of botocore's client.

A run makes the same request thousands of times, and nearly every response is good. So the first attempt is
assembled from botocore's own parts, around a request that botocore has prepared once, and signed here; a test
compares the signature with botocore's. Anything but HTTP status 200 is handed to botocore as the outcome of
the first attempt of an ordinary call: errors, pauses and retries are botocore's.

To remove it, delete this file, let clients.py make only ``RawRequests``, and drop ``Caller.first_outcome``
and ``Operation.example``.
"""

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from io import BytesIO
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSPreparedRequest, AWSRequest, AWSResponse
from botocore.credentials import Credentials
from botocore.exceptions import ConnectionError as AwsConnectionError
from botocore.exceptions import HTTPClientError
from botocore.response import StreamingBody
from typing_extensions import override

from costbatch.adapters.aws.hooks import OK, Caller
from costbatch.adapters.aws.operations import Operation
from costbatch.adapters.aws.rate_limiter import LimitedRequest, RateLimiter
from costbatch.adapters.aws.raw_requests import RawRequests
from costbatch.application.ports import Spend
from costbatch.domain.credentials import AccessKeys

# Most responses are read at once: each further read is a switch between threads.
_READ_BYTES = 4 * 1024 * 1024
_ALGORITHM = "AWS4-HMAC-SHA256"


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
        request = self._template.signed(keys, self._template.body(query), datetime.now(UTC))
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

    def _template_of(self, client: Any, operation: Operation, max_attempts: int) -> "Template":  # noqa: ANN401 - as the base's
        """Let botocore prepare a request, and take it before it is signed and sent."""
        taken: list[Template] = []

        def take(
            params: dict[str, Any],
            request_signer: Any,  # noqa: ANN401 - as above
            **_: object,
        ) -> tuple[AWSResponse, dict[str, Any]]:
            signing = params["context"].get("signing", {})
            region = signing.get("region") or request_signer.region_name
            name = signing.get("signing_name") or request_signer.signing_name
            form = params["body"] if isinstance(params["body"], dict) else None
            taken.append(
                Template.of(
                    params["url"],
                    params["headers"],
                    region=region,
                    signing_name=name,
                    max_attempts=max_attempts,
                    form=form,
                )
            )
            return _response(params["url"], OK, {}, b""), {}

        client.meta.events.register_last(f"before-call.{self._event}", take)
        self._call(**operation.example or {})
        client.meta.events.unregister(f"before-call.{self._event}", take)
        return taken[0]


@dataclass(frozen=True, slots=True)
class Template:
    """The request that botocore prepares for every query, except for its body and its signature.

    signed_headers: by lower-case name, as they are signed. canonical_head: method, path and query, also.
    form: what the form of an operation of the query protocol names, such as its version; None: it takes JSON.
    """

    url: str
    headers: Mapping[str, str]
    signed_headers: Mapping[str, str]
    canonical_head: str
    region: str
    signing_name: str
    max_attempts: int
    form: Mapping[str, str] | None

    @classmethod
    def of(
        cls,
        url: str,
        headers: Mapping[str, str],
        *,
        region: str,
        signing_name: str,
        max_attempts: int,
        form: Mapping[str, str] | None = None,
    ) -> "Template":
        """Let botocore say what is signed of a request without a body."""
        request = AWSRequest("POST", url, headers)
        signer = SigV4Auth(Credentials("", ""), signing_name, region)
        signed = {name: " ".join(value.split()) for name, value in signer.headers_to_sign(request).items()}
        head = "\n".join(signer.canonical_request(request).splitlines()[:3])
        # Named, so that what is sent is what is signed.
        sent = {**headers, "Host": signed["host"]}
        return cls(url, sent, signed, head, region, signing_name, max_attempts, form)

    def body(self, query: Mapping[str, Any]) -> bytes:
        """Return the query as the operation takes it; one of a form has no nested members."""
        if self.form is None:
            return json.dumps(query).encode()
        return urlencode({**self.form, **query}).encode()

    def signed(self, keys: AccessKeys, body: bytes, now: datetime) -> AWSPreparedRequest:
        """Return the request with this body, signed in version 4 of AWS's signatures.

        botocore's signer takes five times as long, nearly all of it for what never changes.
        """
        own = {"X-Amz-Date": now.strftime("%Y%m%dT%H%M%SZ")}
        if keys.session_token:
            own["X-Amz-Security-Token"] = keys.session_token.reveal()
        headers = {
            **self.headers,
            **own,
            "Authorization": self._authorization(keys, own, body),
            "Content-Length": str(len(body)),
            # Not signed, because they belong to the attempt.
            "amz-sdk-invocation-id": str(uuid4()),
            "amz-sdk-request": f"attempt=1; max={self.max_attempts}",
        }
        sent: Any = headers  # any mapping will do
        return AWSPreparedRequest("POST", self.url, sent, body, stream_output=True)

    def _authorization(self, keys: AccessKeys, own: Mapping[str, str], body: bytes) -> str:
        moment = own["X-Amz-Date"]
        signed = sorted(
            {**self.signed_headers, **{name.lower(): value for name, value in own.items()}}.items()
        )
        names = ";".join(name for name, _ in signed)
        lines = [f"{name}:{value}" for name, value in signed]
        request = "\n".join([self.canonical_head, *lines, "", names, sha256(body).hexdigest()])
        scope = f"{moment[:8]}/{self.region}/{self.signing_name}/aws4_request"
        to_sign = "\n".join([_ALGORITHM, moment, scope, sha256(request.encode()).hexdigest()])
        key = f"AWS4{keys.secret_access_key.reveal()}".encode()
        for part in (*scope.split("/"), to_sign):
            key = hmac.digest(key, part.encode(), "sha256")
        credential = f"{keys.access_key_id.reveal()}/{scope}"
        return f"{_ALGORITHM} Credential={credential}, SignedHeaders={names}, Signature={key.hex()}"


def _response(url: str, status: int, headers: Any, body: bytes) -> AWSResponse:  # noqa: ANN401 - any mapping will do
    """Return a response whose body botocore has yet to read."""
    return AWSResponse(url, status, headers, _Body(body))


class _Body(BytesIO):
    def stream(self) -> list[bytes]:
        return [self.getvalue()]
