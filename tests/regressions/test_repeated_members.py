"""JSON with the same member twice is refused wherever it is read: "the last one wins" is a guess."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import pytest

from costbatch.adapters.aws.clients import AwsClients, AwsSettings, signing_as
from costbatch.adapters.aws.cost_explorer.parse import CostResponse
from costbatch.adapters.aws.errors import call_aws
from costbatch.domain import strict_json
from costbatch.domain.accounts import Partition
from costbatch.domain.credentials import AccessKeys, Secret
from costbatch.domain.periods import ONE_DAY, DateRange
from costbatch.errors import AccountError, ErrorKind
from tests.support.harness import Finished, Harness, make_account

DAY = date(2025, 3, 1)
WINDOW = DateRange(DAY, DAY + 2 * ONE_DAY)
METRICS = ("UnblendedCost", "AmortizedCost", "NetUnblendedCost", "NetAmortizedCost", "UsageQuantity")


def page(service: str = "EC2", metrics: tuple[str, ...] = METRICS) -> str:
    """Return an answer for two days, as AWS writes it."""
    group = {
        "Keys": [service, "Usage"],
        "Metrics": {each: {"Amount": "1.5", "Unit": "USD"} for each in metrics},
    }
    days = [
        {
            "TimePeriod": {"Start": f"{day}", "End": f"{day + ONE_DAY}"},
            "Total": {},
            "Groups": [group],
            "Estimated": False,
        }
        for day in WINDOW
    ]
    return json.dumps({"GroupDefinitions": [], "ResultsByTime": days}, separators=(",", ":"))


def read(text: str) -> int:
    """Return how many rows an answer holds."""
    answer = CostResponse(WINDOW)
    answer.add_page(text.encode())
    return len(answer.fetched(1).costs)


def again(old: str, new: str) -> Callable[[str], str]:
    """Return what writes a member twice in the first day of a page."""
    return lambda text: text.replace(old, f"{new}{old}", 1)


TWICE = {
    "amount": again('"Amount":"1.5"', '"Amount":"9.5",'),
    "unit": again('"Unit":"USD"', '"Unit":"EUR",'),
    "metric": again('"UnblendedCost":', '"UnblendedCost":{"Amount":"9","Unit":"USD"},'),
    "keys": again('"Keys":', '"Keys":["S3","Usage"],'),
    "metrics": again('"Metrics":', '"Metrics":{},'),
    "groups": again('"Groups":', '"Groups":[],'),
    "groups after": lambda text: text.replace('"Estimated"', '"Groups":[],"Estimated"', 1),
    "estimated": again('"Estimated":', '"Estimated":true,'),
    "period": again('"TimePeriod":', '"TimePeriod":{},'),
    "start": again('"Start":', '"Start":"2025-02-01",'),
    "end": again('"End":', '"End":"2025-02-01",'),
    "total": again('"Total":', '"Total":{"UnblendedCost":{"Amount":"7","Unit":"USD"}},'),
    "results": again('"ResultsByTime":', '"ResultsByTime":[],'),
    "token": lambda text: text[:-1] + ',"NextPageToken":"a","NextPageToken":null}',
    "escaped": again('"Amount":"1.5"', '"Am\\u006funt":"9.5",'),
    "escaped outside": again('"Groups":', '"Gr\\u006fups":[],'),
}


@pytest.mark.parametrize("change", TWICE.values(), ids=TWICE.keys())
@pytest.mark.parametrize(
    "text",
    [page(), page("Any: service"), page("Groups [x]"), page(metrics=METRICS[:2]), page().replace(":", " : ")],
    ids=["plain", "colon", "name of a member", "no discounts", "spaces"],
)
def test_an_answer_that_says_something_twice_is_malformed(text: str, change: Callable[[str], str]) -> None:
    """Wherever it stands, however it is spelt, and whatever else is in the answer."""
    spaced = " : " in text
    changed = change(text.replace(" : ", ":"))
    if spaced:
        changed = changed.replace('":', '" : ')
    with pytest.raises(AccountError, match=r"with the same member twice\.") as caught:
        read(changed)
    assert caught.value.kind is ErrorKind.MALFORMED_RESPONSE


@pytest.mark.parametrize(
    "text",
    [
        page(),
        page("Any: service"),
        page('Groups "Groups"'),
        page("tab-\\u00e9"),
        page(metrics=METRICS[:2]),
        page().replace('":', '" : '),
        page().replace('"Groups"', '"New":{"a":1},"Groups"'),
    ],
)
def test_an_answer_that_does_not_is_read(text: str) -> None:
    """What costs a second look is as good as the rest."""
    assert read(text) == 2


ID = "100000000001"
TAGS = '[{"Key":"Owner","Value":"web"}]'
ARN = f"arn:aws:ec2:us-east-1:{ID}:instance/i-1"
# The operation, and a body of which the member that comes last would hide what comes first.
OF_DISCOVERY = {
    "token": ("GetResources", '{"PaginationToken":"more","ResourceTagMappingList":[],"PaginationToken":""}'),
    "list": (
        "GetResources",
        f'{{"ResourceTagMappingList":[{{"ResourceARN":"{ARN}","Tags":{TAGS}}}],"ResourceTagMappingList":[]}}',
    ),
    "arn": (
        "GetResources",
        f'{{"ResourceTagMappingList":[{{"ResourceARN":"x","ResourceARN":"{ARN}","Tags":{TAGS}}}]}}',
    ),
    "value": (
        "GetResources",
        f'{{"ResourceTagMappingList":[{{"ResourceARN":"{ARN}","Tags":[{{"Key":"a","Value":"1","Value":"2"}}]}}]}}',
    ),
    "escaped": (
        "GetResources",
        f'{{"ResourceTagMappingList":[{{"Resource\\u0041RN":"x","ResourceARN":"{ARN}","Tags":[]}}]}}',
    ),
    "spaced": (
        "GetResources",
        f'{{"ResourceTagMappingList":[{{"ResourceARN" :"x","ResourceARN":"{ARN}","Tags":[]}}]}}',
    ),
    "unknown": ("GetResources", '{"ResourceTagMappingList":[],"New":{"a":1,"a":2}}'),
    "regions": (
        "ListRegions",
        '{"Regions":[{"RegionName":"us-east-1","RegionName":"eu-west-1","RegionOptStatus":"ENABLED"}]}',
    ),
}


# Whatever their texts look like.
ONCE = {
    "plain": f'{{"PaginationToken":"","ResourceTagMappingList":[{{"ResourceARN":"{ARN}","Tags":{TAGS}}}]}}',
    "spaces": (
        f'{{"ResourceTagMappingList": [{{"ResourceARN": "{ARN}", "Tags": [{{"Key": "a", "Value":" x"}}]}}]}}'
    ),
    "a colon": (
        f'{{"ResourceTagMappingList":[{{"ResourceARN":"{ARN}","Tags":[{{"Key":":a","Value":null}}]}}]}}'
    ),
    "a quotation mark": (
        f'{{"ResourceTagMappingList":[{{"ResourceARN":"{ARN}","Tags":[{{"Key":"a\\":"}}]}}],"New":1}}'
    ),
}


@dataclass(frozen=True)
class Discovery:
    """A run over an account for each response. ids: by the name of the response."""

    harness: Harness
    run: Finished
    ids: dict[str, str]


@pytest.fixture(scope="module")
def discovery(shared: Harness) -> Discovery:
    """Give each account a response of its own, and discover them all."""
    bodies = {**OF_DISCOVERY, **{name: ("GetResources", body) for name, body in ONCE.items()}}
    accounts = {name: make_account(n, regions=("us-east-1",)) for n, name in enumerate(bodies, 1)}
    shared.open(*accounts.values())
    ids = {name: account.account_id for name, account in accounts.items()}
    for name, (operation, body) in bodies.items():
        shared.aws.add_fault(ids[name], "body", body=body.replace(ID, ids[name]), operation=operation)
    return Discovery(shared, shared.run("discover", "--source", "tagging", "--output", "json"), ids)


@pytest.mark.parametrize("case", OF_DISCOVERY)
def test_a_list_of_resources_that_says_something_twice_is_malformed(discovery: Discovery, case: str) -> None:
    """A page token that hides another one would let resources seem to be gone."""
    one = discovery.ids[case]
    assert discovery.run.outcomes[one] == "malformed_response"
    assert "the same member twice" in discovery.run.account(one)["error"]["message"]


@pytest.mark.parametrize("case", ONCE)
def test_a_list_of_resources_that_does_not_is_read(discovery: Discovery, case: str) -> None:
    """It is stored."""
    one = discovery.ids[case]
    assert discovery.run.outcomes[one] == "discovered"
    own = "account_id = (SELECT id FROM accounts WHERE aws_account_id = %s)"
    assert discovery.harness.value(f"SELECT arn FROM resources WHERE {own}", one) == ARN.replace(ID, one)


def test_the_error_of_aws_that_names_two_codes_is_no_code(
    idle: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Botocore would take the last one, and the account would fail with its advice."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", idle.aws.url)
    keys = AccessKeys(access_key_id=Secret("AKIAIOSFODNN7EXAMPLE"), secret_access_key=Secret("x"))
    client = AwsClients(AwsSettings(version="0", max_attempts=1)).get("ce", Partition.AWS)
    body = b'{"__type":"AccessDeniedException","__type":"LimitExceededException"}'

    def answer(response_dict: dict[str, object], **_: object) -> None:
        response_dict.update(status_code=400, body=body, headers={})

    client.meta.events.register_first("before-parse.cost-explorer", answer)
    question = {
        "TimePeriod": {"Start": "2025-03-01", "End": "2025-03-02"},
        "Granularity": "DAILY",
        "Metrics": ["UnblendedCost"],
    }
    with signing_as(keys), pytest.raises(AccountError, match="no error code") as caught:
        call_aws("X", lambda: client.get_cost_and_usage(**question))
    assert caught.value.kind is ErrorKind.MALFORMED_RESPONSE


@pytest.mark.parametrize(
    "document",
    [
        '{"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "one", "secret_access_key": "two"}',
        '{"external_id": "x7", "external_id": "x7"}',
    ],
)
def test_a_secrets_file_that_gives_a_secret_twice_is_refused(idle: Harness, document: str) -> None:
    """Also if both are the same; neither is shown."""
    command = ("accounts", "add", "123456789012", "--name", "x", "--secrets-file", "-")
    finished = idle.run(*command, stdin=document)
    assert finished.status == 2
    assert finished.sentences == [
        "Standard input holds an object with the same member twice; keep one of them."
    ]


def test_nested_objects_are_looked_at_too() -> None:
    """The rule is of every object of a document."""
    with pytest.raises(strict_json.RepeatedMemberError):
        strict_json.loads('[{"a": {"b": 1, "c": [{"d": 1, "d": 1}]}}]')
    assert strict_json.loads('[{"a": {"b": 1}}, {"a": {"b": 1}}]') == [{"a": {"b": 1}}] * 2
