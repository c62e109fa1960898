"""Asks for costs at a third of what a call of botocore's client costs, and leaves all trouble to botocore.

A run makes the same request thousands of times, and nearly every answer is good. So the first attempt is
put together from botocore's own parts, around a request that it has prepared once. What is not a good
answer becomes the first attempt's outcome of an ordinary call: errors, pauses and further attempts are
those of botocore, to the letter.
"""

import json
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from uuid import uuid4

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSPreparedRequest, AWSRequest, AWSResponse
from botocore.exceptions import ConnectionError as AwsConnectionError
from botocore.exceptions import HTTPClientError
from botocore.response import StreamingBody

from costbatch.adapters.aws.hooks import OK, Caller, calling_as, credentials_of
from costbatch.adapters.aws.rate_limiter import Limiter, Turn
from costbatch.application.ports import Spend
from costbatch.domain.credentials import AccessKeys

# The member of an answer of botocore that holds its body as it came.
_RAW_BODY = "RawBody"
_EVENT = "cost-explorer.GetCostAndUsage"
# A good answer is read at once; each further read is a switch between threads.
_READ_BYTES = 4 * 1024 * 1024
_ANY_QUESTION: dict[str, Any] = {
    "TimePeriod": {"Start": "2000-01-01", "End": "2000-01-02"},
    "Granularity": "DAILY",
    "Metrics": ["UnblendedCost"],
}


class CostQuestions:
    """GetCostAndUsage of one client; safe to share between threads. ``max_attempts`` includes the first."""

    def __init__(self, client: Any, limiter: Limiter, max_attempts: int) -> None:  # noqa: ANN401 - botocore makes the methods at run time
        self._client = client
        self._limiter = limiter
        self._template = _template_of(client, max_attempts)
        # One pool, with the proxies, certificates and timeouts of the client. There is no other way to it;
        # a test proves that both kinds of attempt share its connections.
        self._http = client._endpoint.http_session  # noqa: SLF001 - see above
        client.meta.events.register(f"before-parse.{_EVENT}", _keep_raw_body)

    def ask(self, keys: AccessKeys, question: dict[str, Any], spend: Spend) -> bytes | None:
        """Return the body of the answer; None where it was neither an error nor HTTP status 200.

        Raises:
            BotoCoreError: and whatever else botocore's client raises.
            BudgetSpent: raised by ``spend``, which hears of every attempt.

        """
        turn = Turn(keys)
        self._limiter.wait(turn)
        request = self._template.signed(keys, json.dumps(question).encode())
        spend()
        outcome: AWSResponse | Exception
        try:
            response, body = self._send(request)
        except (AwsConnectionError, HTTPClientError) as error:
            outcome = error
        else:
            if response.status_code == OK:
                spend.charged()
                self._limiter.served(turn)
                return body
            outcome = _answer(response.url, response.status_code, response.headers, body)
        # Outside of the handler: what fails later must not have this failure for its context.
        return self._go_on(Caller(keys, turn, spend, outcome), question)

    def _send(self, request: AWSPreparedRequest) -> tuple[AWSResponse, bytes]:
        response = self._http.send(request)
        # Half an answer is malformed, as it is to botocore's client, so there is no length to check.
        unchecked: Any = None
        return response, b"".join(StreamingBody(response.raw, unchecked).iter_chunks(_READ_BYTES))

    def _go_on(self, caller: Caller, question: dict[str, Any]) -> bytes | None:
        with calling_as(caller):
            answer: dict[str, Any] = self._client.get_cost_and_usage(**question)
        return answer.get(_RAW_BODY)


@dataclass(frozen=True, slots=True)
class _Template:
    """The request that botocore makes of every question, but for its body and its signature."""

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


def _template_of(client: Any, max_attempts: int) -> _Template:  # noqa: ANN401 - as above
    """Let botocore prepare a request, and take it before it is signed and sent."""
    taken: list[_Template] = []

    def take(params: dict[str, Any], request_signer: Any, **_: object) -> tuple[AWSResponse, dict[str, Any]]:  # noqa: ANN401 - as above
        signing = params["context"].get("signing", {})
        region = signing.get("region") or request_signer.region_name
        name = signing.get("signing_name") or request_signer.signing_name
        taken.append(_Template(params["url"], params["headers"], region, name, max_attempts))
        return _answer(params["url"], OK, {}, b""), {}

    client.meta.events.register_last(f"before-call.{_EVENT}", take)
    client.get_cost_and_usage(**_ANY_QUESTION)
    client.meta.events.unregister(f"before-call.{_EVENT}", take)
    return taken[0]


def _keep_raw_body(
    response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object
) -> None:
    """Take a good answer before botocore's parser walks it, which costs three times as much as ours."""
    if response_dict["status_code"] == OK:
        customized_response_dict[_RAW_BODY] = response_dict["body"]
        response_dict["body"] = b"{}"


def _answer(url: str, status: int, headers: Any, body: bytes) -> AWSResponse:  # noqa: ANN401 - any mapping will do
    """Return an answer whose body botocore has yet to read."""
    return AWSResponse(url, status, headers, _Body(body))


class _Body(BytesIO):
    def stream(self) -> list[bytes]:
        return [self.getvalue()]
