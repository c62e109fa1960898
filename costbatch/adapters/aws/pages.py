"""Reads responses of AWS that are typed as documented, page by page until the last."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from costbatch.adapters.aws.clients import AwsClients
from costbatch.adapters.aws.errors import call_aws
from costbatch.adapters.aws.operations import Operation
from costbatch.application.ports import Spend
from costbatch.domain import strict_json
from costbatch.domain.accounts import Partition
from costbatch.domain.credentials import AccessKeys
from costbatch.errors import AccountError, ErrorKind

# A hostile body may be nested deeper than any stack.
_UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)


class Page(msgspec.Struct, gc=False):
    """One response; without a token it is the last one."""

    token: str | None = msgspec.field(default=None, name="NextToken")

    def has_members_once(self, body: bytes) -> bool:  # noqa: ARG002 - few pages come so often that it pays
        """Whether no member stands twice in the text of the page; false if that is not known."""
        return False


P = TypeVar("P", bound=Page)


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads responses of one account with its credentials. spend: counts requests that are charged."""

    clients: AwsClients
    keys: AccessKeys
    partition: Partition
    page_limit: int
    spend: Spend | None = None

    def read(
        self, kind: type[P], operation: Operation, query: dict[str, Any], region: str | None = None
    ) -> P:
        """Return one response.

        Raises:
            AccountError: AWS refused the request, did not answer, or not as documented.

        """
        requests = self.clients.requests(operation, self.partition, region)
        body = call_aws(operation.name, lambda: requests.send(query, self.keys, self.spend))
        if body is None:
            raise malformed(operation, "the response is neither an error nor HTTP status 200")
        try:
            page = msgspec.json.decode(body, type=kind)
            # msgspec takes the last of repeated members; parsing the text again takes five times as long.
            if not page.has_members_once(body):
                strict_json.loads(body)
        except _UNREADABLE as error:
            problem = f"the response is not as documented ({error})"
        else:
            return page
        raise malformed(operation, problem)

    def pages(
        self, kind: type[P], operation: Operation, query: dict[str, Any], region: str | None = None
    ) -> Iterator[P]:
        """Yield every page of a response; raises as ``read``, and if the pages do not end."""
        (token_name,) = (each.encode_name for each in msgspec.structs.fields(kind) if each.name == "token")
        seen = set[str]()
        for number in range(1, self.page_limit + 1):
            page = self.read(kind, operation, query, region)
            yield page
            if not page.token:
                return
            if page.token in seen:
                raise malformed(operation, f"page {number} of the response repeats an earlier page token")
            seen.add(page.token)
            query = {**query, token_name: page.token}
        raise malformed(operation, f"the response has more than {self.page_limit:,} pages")


def malformed(operation: Operation, problem: str) -> AccountError:
    """Return the error about a response that is not as documented."""
    return AccountError(ErrorKind.MALFORMED_RESPONSE, f"{operation.name}: {problem}.")
