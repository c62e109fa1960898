"""Reading costs over HTTP: paging, faults, retries, and many accounts at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from costbatch.adapters.aws import hooks
from costbatch.adapters.aws.clients import AwsClients, AwsSettings, signing_as
from costbatch.adapters.aws.operations import COST_EXPLORER, STS
from costbatch.application.jobs.budget import ApiBudget, Meter
from costbatch.domain.accounts import Partition
from costbatch.domain.credentials import AccessKeys, Secret
from costbatch.domain.periods import DateRange
from costbatch.errors import AccountError, BudgetSpent, ErrorKind
from costbatch.simulator.faults import KINDS
from costbatch.simulator.world import World
from tests.support.aws import simulated_account
from tests.support.factories import rows_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from costbatch.simulator.client import SimulatorProcess
    from tests.support.aws import Harness

ONE = "100000000001"
WINDOW = DateRange(date(2024, 3, 1), date(2024, 3, 4))
ACCOUNTS = 200


def failure(aws: Harness, **settings: Any) -> AccountError:
    """Return the error that reading account 1 ends with."""
    with pytest.raises(AccountError) as caught:
        aws.source(**settings).fetch(aws.simulated_keys(1), WINDOW, aws.spend)
    return caught.value


def test_every_page_is_read_and_paid_once(simulator: SimulatorProcess, aws: Harness) -> None:
    """Eight groups on pages of three are three requests, and a day may lie on two pages."""
    fetched = aws.source().fetch(aws.simulated_keys(1), WINDOW, aws.spend)
    assert fetched.window == WINDOW
    assert [(row.usage_date.day, row.service) for row in rows_of(fetched.costs)] == [
        (day, f"Service {n}") for day in (1, 3) for n in range(4)
    ]
    assert fetched.api_requests == aws.requests == simulator.paid(ONE) == 3


def test_a_payer_is_read_without_its_members(changed_simulator: SimulatorProcess, aws: Harness) -> None:
    """AWS gives a management account its organization's cost; the members are read by themselves."""
    accounts = tuple(map(simulated_account, (1, 2, 3)))
    world = World(accounts=accounts, today=date(2024, 3, 20), management_account_id=ONE)
    changed_simulator.replace_world(world)
    read = [rows_of(aws.source().fetch(aws.simulated_keys(n), WINDOW, aws.spend).costs) for n in (1, 2, 3)]
    # Each of an account's eight rows costs its number.
    assert [round(sum(row.unblended for row in rows)) for rows in read] == [8, 16, 24]


FAULTS = [
    ("throttling", {}, ErrorKind.THROTTLED),
    ("limit_exceeded", {}, ErrorKind.THROTTLED),
    ("access_denied", {}, ErrorKind.ACCESS_DENIED),
    ("not_enabled", {}, ErrorKind.COST_EXPLORER_NOT_ENABLED),
    ("data_unavailable", {}, ErrorKind.DATA_UNAVAILABLE),
    ("bill_expiration", {}, ErrorKind.DATA_UNAVAILABLE),
    ("expired_token", {}, ErrorKind.CREDENTIALS_REJECTED),
    ("invalid_token", {}, ErrorKind.CREDENTIALS_REJECTED),
    ("validation", {}, ErrorKind.INTERNAL),
    ("http_500", {}, ErrorKind.TIMEOUT),
    ("http_503", {}, ErrorKind.TIMEOUT),
    ("hang", {"seconds": 2.0}, ErrorKind.TIMEOUT),
    ("latency", {"seconds": 2.0}, ErrorKind.TIMEOUT),
    ("reset", {}, ErrorKind.TIMEOUT),
    ("truncated", {}, ErrorKind.MALFORMED_RESPONSE),
    ("not_json", {}, ErrorKind.MALFORMED_RESPONSE),
    ("missing_fields", {"field": "Estimated"}, ErrorKind.MALFORMED_RESPONSE),
    ("repeat_token", {}, ErrorKind.MALFORMED_RESPONSE),
    ("endless_pages", {}, ErrorKind.MALFORMED_RESPONSE),
    ("wrong_account", {}, ErrorKind.WRONG_ACCOUNT),
    ("body", {"body": "[]"}, ErrorKind.MALFORMED_RESPONSE),
    ("body", {"body": "", "status": 204}, ErrorKind.MALFORMED_RESPONSE),
    ("body", {"body": "nginx says no", "status": 403}, ErrorKind.MALFORMED_RESPONSE),
    ("body", {"body": "[1]", "status": 400}, ErrorKind.MALFORMED_RESPONSE),
    ("body", {"body": '{"__type": 7}', "status": 400}, ErrorKind.MALFORMED_RESPONSE),
    ("body", {"body": "", "status": 429}, ErrorKind.THROTTLED),
    ("body", {"body": "<html>Bad Gateway</html>", "status": 502}, ErrorKind.TIMEOUT),
    ("body", {"body": '{"__type": "NewException"}', "status": 400}, ErrorKind.INTERNAL),
    ("body", {"body": '{"__type": "NewException"}', "status": 500}, ErrorKind.TIMEOUT),
    ("body", {"body": '{"__type": "RequestChangedException"}', "status": 400}, ErrorKind.INTERNAL),
]


@pytest.mark.parametrize(("fault", "parameters", "kind"), FAULTS)
def test_every_fault_has_its_kind(
    simulator: SimulatorProcess, aws: Harness, fault: str, parameters: dict[str, Any], kind: ErrorKind
) -> None:
    """Whatever AWS or the network does ends in one of the closed list of kinds, with nothing chained."""
    simulator.add_fault(ONE, fault, **parameters)
    error = failure(aws, max_attempts=2, read_timeout_seconds=0.4, page_limit=10)
    assert error.kind is kind, error.detail
    assert error.__context__ is None


def test_every_fault_kind_of_the_simulator_is_tried() -> None:
    """A new kind of fault must be given its error kind here; a currency is no failure."""
    assert {fault for fault, _, _ in FAULTS} == KINDS - {"other_currency"}


def test_another_currency_is_stored_as_it_is(simulator: SimulatorProcess, aws: Harness) -> None:
    """Not every account bills in dollars."""
    simulator.add_fault(ONE, "other_currency", currency="EUR")
    rows = rows_of(aws.source().fetch(aws.simulated_keys(1), WINDOW, aws.spend).costs)
    assert {row.currency for row in rows} == {"EUR"}


def test_a_missing_field_is_named_with_its_place(simulator: SimulatorProcess, aws: Harness) -> None:
    """The detail leads to the place, and shows nothing of the rest."""
    simulator.add_fault(ONE, "missing_fields", field="AmortizedCost")
    assert failure(aws).detail == (
        "GetCostAndUsage: ResultsByTime[0].Groups[0].Metrics.AmortizedCost is absent, not an object."
    )


def _rows_of_one() -> list[dict[str, Any]]:
    return [
        {"date": day, "service": f"Service {n}", "unblended": "1.0000000001", "usage": n}
        for day in ("2024-03-01", "2024-03-03")
        for n in range(4)
    ]


@pytest.fixture
def one_page(simulator: SimulatorProcess) -> Iterator[None]:
    """Take the cost of account 1 away, so that its answer is one page."""
    simulator.set_rows(ONE, [])
    yield
    simulator.set_rows(ONE, _rows_of_one())


def test_throttled_twice_and_then_fine_costs_one_request(
    simulator: SimulatorProcess, aws: Harness, one_page: None
) -> None:
    """AttemptHooks that botocore repeats are free, so they are one request to the budget."""
    simulator.add_fault(ONE, "limit_exceeded", times=2)
    fetched = aws.source().fetch(aws.simulated_keys(1), WINDOW, aws.spend)
    assert len(fetched.costs) == 0
    assert fetched.api_requests == aws.requests == simulator.paid(ONE) == 1


def test_a_repeated_token_ends_at_once(simulator: SimulatorProcess, aws: Harness, one_page: None) -> None:
    """The same token twice would be an endless answer; it costs two requests, not two hundred."""
    simulator.add_fault(ONE, "repeat_token")
    assert failure(aws).detail == "GetCostAndUsage: page 2 of the response repeats an earlier page token."
    assert aws.requests == 2


def test_endless_pages_end_at_the_limit(simulator: SimulatorProcess, aws: Harness, one_page: None) -> None:
    """Pages that never end are bounded by the setting, and no more are paid."""
    simulator.add_fault(ONE, "endless_pages")
    assert failure(aws, page_limit=7).detail == "GetCostAndUsage: the response has more than 7 pages."
    assert aws.requests == 7


def test_a_spent_budget_passes_through(simulator: SimulatorProcess, aws: Harness) -> None:
    """The cap stops before the request that would exceed it."""
    with pytest.raises(BudgetSpent):
        aws.source().fetch(aws.simulated_keys(1), WINDOW, Meter(ApiBudget(1)))
    assert simulator.paid(ONE) == 1


def test_an_unreachable_aws_is_a_timeout(aws: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens: a passing failure."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert failure(aws, max_attempts=1).kind is ErrorKind.TIMEOUT


def test_an_impossible_endpoint_is_told_without_a_crash(
    aws: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A configuration that botocore refuses is this account's error, not a traceback."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "not an address")
    assert "Creating the client of sts failed" in failure(aws).detail


def test_broken_accounts_do_not_use_up_the_retries_of_others(
    simulator: SimulatorProcess, aws: Harness
) -> None:
    """The retry quota of botocore is per client and ours is shared: it must not couple accounts."""
    source = aws.source(max_attempts=5)
    simulator.add_fault(ONE, "throttling")
    simulator.add_fault("100000000002", "limit_exceeded", times=4)
    for _ in range(30):
        with pytest.raises(AccountError):
            source.fetch(aws.simulated_keys(1), WINDOW, aws.spend)
    assert len(source.fetch(aws.simulated_keys(2), WINDOW, aws.spend).costs) == 8


def test_many_threads_never_mix_accounts(simulator: SimulatorProcess, aws: Harness) -> None:
    """200 accounts on 16 threads with throttling: each answer is its account's and every signature right."""
    for number in range(1, ACCOUNTS + 1, 3):
        simulator.add_fault(f"{100_000_000_000 + number}", "throttling", times=2)
    source = aws.source(concurrency=16)

    def read(number: int) -> set[int]:
        access = aws.simulated_keys(number)
        if number % 5 == 0:
            access = aws.role(access.account.aws_account_id, base=aws.simulated_keys(number - 1))
        return {int(row.unblended) for row in rows_of(source.fetch(access, WINDOW, Meter(ApiBudget())).costs)}

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(read, range(1, ACCOUNTS + 1)))
    assert answers == [{number} for number in range(1, ACCOUNTS + 1)]
    assert simulator.paid() == 3 * ACCOUNTS


def test_a_request_that_belongs_to_no_account_is_not_made(
    simulator: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unbound requests fail, even where the pod has credentials that would work."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIASIMULATED0000001")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret+of/account000000000000000000000001")
    client = AwsClients(AwsSettings(version="1")).get(STS, Partition.AWS)
    with pytest.raises(AccountError, match="without an account"):
        client.get_caller_identity()
    assert simulator.requests()["total"]["requests"] == 0


@pytest.mark.parametrize(
    ("service", "partition", "endpoint"),
    [
        (COST_EXPLORER, Partition.AWS, "https://ce.us-east-1.amazonaws.com"),
        (COST_EXPLORER, Partition.CHINA, "https://ce.cn-northwest-1.amazonaws.com.cn"),
        (COST_EXPLORER, Partition.GOVCLOUD, "https://ce.us-gov-west-1.amazonaws.com"),
        (STS, Partition.AWS, "https://sts.us-east-1.amazonaws.com"),
        (STS, Partition.CHINA, "https://sts.cn-northwest-1.amazonaws.com.cn"),
        (STS, Partition.GOVCLOUD, "https://sts.us-gov-west-1.amazonaws.com"),
    ],
)
def test_each_partition_has_its_own_endpoint(service: str, partition: Partition, endpoint: str) -> None:
    """The clouds of AWS are apart: each has its region, and STS is the regional one."""
    clients = AwsClients(AwsSettings(version="1.2.3", max_attempts=4, concurrency=7))
    client = clients.get(service, partition)
    assert client.meta.endpoint_url == endpoint
    assert client is clients.get(service, partition)
    assert client.meta.config.max_pool_connections == 7
    assert "costbatch/1.2.3" in client.meta.config.user_agent_extra
    assert client._request_signer._credentials is None


def test_credentials_are_bound_only_inside(simulator: SimulatorProcess) -> None:
    """What one account binds is gone afterwards, also after an error."""
    keys = AccessKeys(access_key_id=Secret("a"), secret_access_key=Secret("b"))
    with pytest.raises(KeyError), signing_as(keys):
        raise KeyError
    assert hooks._current_caller.get() is None
