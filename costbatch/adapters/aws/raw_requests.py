"""Sends operations through botocore's client, and takes the response as it was received."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from botocore import xform_name
from botocore.parsers import create_parser

from costbatch.adapters.aws.hooks import OK, Caller, calling_as
from costbatch.adapters.aws.operations import Operation
from costbatch.application.ports import Spend
from costbatch.domain.credentials import AccessKeys

# The member of botocore's response that keeps the body as it was received.
_RAW_BODY = "RawBody"


class RawRequests:
    """One operation of one client; safe to share between threads."""

    def __init__(self, client: Any, operation: Operation) -> None:  # noqa: ANN401 - botocore makes the methods at run time
        self._call = getattr(client, xform_name(operation.name))
        service = client.meta.service_model
        self._event = f"{service.service_id.hyphenize()}.{operation.name}"
        self._service, self._operation = service, operation
        keep = partial(_keep_raw_body, is_json=service.resolved_protocol.endswith("json"))
        client.meta.events.register(f"before-parse.{self._event}", keep)

    def send(self, query: Mapping[str, Any], keys: AccessKeys, spend: Spend | None = None) -> bytes | None:
        """Return the body of the response; None if it is neither an error nor HTTP status 200.

        spend: counts the attempts, if AWS charges for them.

        Raises:
            BotoCoreError: and anything else that botocore's client raises.
            BudgetSpent: raised by ``spend``, which is called before each attempt.

        """
        return self.send_as(Caller(keys, spend=spend), query)

    def answer(self, query: Mapping[str, Any], keys: AccessKeys) -> dict[str, Any]:
        """Return the response as botocore's parser reads it; raises as ``send``."""
        body = self.send(query, keys)
        if body is None:
            return {}
        shape = self._service.operation_model(self._operation.name).output_shape
        parsed: dict[str, Any] = create_parser(self._service.resolved_protocol).parse(
            {"status_code": OK, "headers": {}, "body": body}, shape
        )
        return parsed

    def send_as(self, caller: Caller, query: Mapping[str, Any]) -> bytes | None:
        """As ``send``, for a caller that may have made the first attempt already."""
        with calling_as(caller):
            response: dict[str, Any] = self._call(**query)
        return response.get(_RAW_BODY)


def _keep_raw_body(
    response_dict: dict[str, Any], customized_response_dict: dict[str, Any], *, is_json: bool, **_: object
) -> None:
    """Keep a good response; one of JSON from botocore's parser, which takes three times as long as ours."""
    if response_dict["status_code"] == OK:
        customized_response_dict[_RAW_BODY] = response_dict["body"]
        if is_json:
            response_dict["body"] = b"{}"
