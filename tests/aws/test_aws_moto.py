"""Our client against moto: an idea of AWS that is not ours."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from costbatch.domain.periods import ONE_DAY, DateRange
from costbatch.domain.resources import SourceChoice
from costbatch.errors import AccountError, ErrorKind
from tests.support.factories import rows_of
from tests.support.recorder import recording

if TYPE_CHECKING:
    from tests.support.aws import Harness

MOTO_ACCOUNT = "123456789012"
ROLE_ACCOUNT = "210987654321"


def queue_answers(url: str, *answers: dict[str, Any], account_id: str = MOTO_ACCOUNT) -> None:
    """Let moto give these answers to the next questions about an account."""
    body = json.dumps({"account_id": account_id, "results": answers}).encode()
    request = Request(f"{url}/moto-api/static/ce/cost-and-usage-results", data=body, method="POST")
    build_opener(ProxyHandler({})).open(request, timeout=5).close()


def result_of(day: date, *amounts: str) -> dict[str, Any]:
    """Return one day as AWS's documentation shows it."""
    metrics = ("UnblendedCost", "AmortizedCost", "NetUnblendedCost", "NetAmortizedCost")
    groups = [
        {
            "Keys": [f"Service {n}", "Usage"],
            "Metrics": {m: {"Amount": amount, "Unit": "USD"} for m in metrics},
        }
        for n, amount in enumerate(amounts)
    ]
    period = {"Start": day.isoformat(), "End": (day + ONE_DAY).isoformat()}
    return {"TimePeriod": period, "Total": {}, "Groups": groups, "Estimated": True}


@pytest.fixture
def window() -> DateRange:
    """Return two days."""
    return DateRange(date(2024, 3, 1), date(2024, 3, 3))


def test_static_keys_collect_two_pages_from_moto(moto: str, aws: Harness, window: DateRange) -> None:
    """Identity, paging and exact amounts work against a server that is not ours."""
    first = {"ResultsByTime": [result_of(window.start, "1.10", "-9.0E-10")], "NextPageToken": "page 2"}
    queue_answers(moto, first, {"ResultsByTime": [result_of(window.last, "3")]})

    fetched = aws.source().fetch(aws.keys(MOTO_ACCOUNT, "AKIAMOTO", "secret"), window, aws.spend)

    assert [row.unblended for row in rows_of(fetched.costs)] == [
        Decimal("1.10"),
        Decimal("-9.0E-10"),
        Decimal(3),
    ]
    assert rows_of(fetched.costs)[0].usage_quantity is None
    assert fetched.api_requests == aws.requests == 2


def test_an_assumed_role_collects_from_moto(moto: str, aws: Harness, window: DateRange) -> None:
    """A role of another account, assumed by static keys, is that account to STS."""
    answer = {"ResultsByTime": [result_of(window.start, "7"), result_of(window.last)]}
    queue_answers(moto, answer, account_id=ROLE_ACCOUNT)
    role = aws.role(ROLE_ACCOUNT, base=aws.keys(MOTO_ACCOUNT, "AKIAMOTO", "secret"))

    fetched = aws.source().fetch(role, window, aws.spend)

    assert [row.unblended for row in rows_of(fetched.costs)] == [Decimal(7)]


def test_keys_of_another_account_are_refused_by_moto(moto: str, aws: Harness, window: DateRange) -> None:
    """STS's word counts: nothing paid happens with another account's credentials."""
    with pytest.raises(AccountError, match=f"{ROLE_ACCOUNT} are those of account {MOTO_ACCOUNT}") as caught:
        aws.source().fetch(aws.keys(ROLE_ACCOUNT, "AKIAMOTO", "secret"), window, aws.spend)
    assert caught.value.kind is ErrorKind.WRONG_ACCOUNT
    assert aws.requests == 0


def test_regions_are_listed_by_motos_ec2(moto: str, aws: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the account service denies them; moto lists those of every partition."""
    with recording() as denying, recording() as tagging:
        denying.answers = [(403, {"__type": "AccessDeniedException"})]
        tagging.answers = [(200, {"ResourceTagMappingList": []})] * 100
        monkeypatch.setenv("AWS_ENDPOINT_URL_ACCOUNT", denying.url)
        monkeypatch.setenv("AWS_ENDPOINT_URL_RESOURCE_GROUPS_TAGGING_API", tagging.url)
        access = aws.keys(MOTO_ACCOUNT, "AKIAMOTO", "secret")
        found = aws.resources().find(access, SourceChoice.TAGGING)
    assert found.regions.keys() >= {"us-east-1", "eu-west-1", "af-south-1"}
    assert len(tagging.asked) == len(found.regions) - 1
