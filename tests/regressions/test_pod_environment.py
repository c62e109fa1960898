"""A broken pod is not a broken account: what belongs to the process is told once, before any claim."""

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import cache
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from time import monotonic
from typing import Any
from unittest import mock

import pytest
from botocore.exceptions import DataNotFoundError
from botocore.loaders import Loader

from costbatch.adapters.aws import topics
from costbatch.adapters.aws.clients import AwsClients, AwsSettings
from costbatch.adapters.aws.environment import check_environment
from costbatch.adapters.aws.operations import ACCOUNT, DISCOVERY_SERVICES
from costbatch.adapters.aws.topics import Topics
from costbatch.application.doctor.findings import Mark
from costbatch.domain.accounts import AccessMethod, AccountStatus, AwsNeeds, Partition
from costbatch.errors import ConfigError, DeliveryError
from tests.support.fake_doctor import Ward
from tests.support.fake_doctor import make_account as make_row
from tests.support.harness import Finished, Harness, make_account
from tests.support.recorder import recording
from tests.support.slow_servers import dripping
from tests.support.web_servers import Answering

HUB, OTHER = make_account(1), make_account(2)
KEYS = {"AWS_ACCESS_KEY_ID": HUB.access_key_id, "AWS_SECRET_ACCESS_KEY": HUB.secret_access_key}
TOPIC = "arn:aws:sns:eu-west-1:123456789012:costs"
IRSA_ROLE = "arn:aws:iam::123456789012:role/costbatch"

# Name, the variables (with {folder} for a folder of files), and what the one sentence says.
FOR_EVERYONE = [
    (
        "a bundle that is not there",
        {"AWS_CA_BUNDLE": "/nonexistent.pem"},
        "/nonexistent.pem, which does not exist",
    ),
    (
        "a bundle of requests",
        {"REQUESTS_CA_BUNDLE": "/nonexistent.pem"},
        "REQUESTS_CA_BUNDLE names /nonexistent",
    ),
    ("a bundle without certificates", {"AWS_CA_BUNDLE": "{folder}/empty"}, "no certificate in PEM form"),
    ("a bundle that is a folder", {"AWS_CA_BUNDLE": "{folder}"}, "which is not a file"),
    ("a bundle in a profile", {"AWS_CONFIG_FILE": "{folder}/bundle.ini"}, "ca_bundle in"),
    (
        "a secret for a bundle",
        {"AWS_CA_BUNDLE": "planted" * 100},
        "AWS_CA_BUNDLE names something that is not a path",
    ),
    (
        "an address without a scheme",
        {"AWS_ENDPOINT_URL": "localhost:4566"},
        "AWS_ENDPOINT_URL is not an address",
    ),
    (
        "an address without a host",
        {"AWS_ENDPOINT_URL_STS": "https://"},
        "AWS_ENDPOINT_URL_STS is not an address",
    ),
    (
        "an address with a bad port",
        {"AWS_ENDPOINT_URL": "http://a:99999"},
        "AWS_ENDPOINT_URL is not an address",
    ),
    (
        "an address with a space",
        {"AWS_ENDPOINT_URL_COST_EXPLORER": "https://a b"},
        "AWS_ENDPOINT_URL_COST_EXPLORER",
    ),
    (
        "a config file that is no such",
        {"AWS_CONFIG_FILE": "{folder}/broken.ini"},
        "there is an error in line 3.",
    ),
    ("a binary config file", {"AWS_CONFIG_FILE": "{folder}/binary.ini"}, "is not a text file"),
    (
        "an address in a profile",
        {"AWS_CONFIG_FILE": "{folder}/address.ini", "AWS_ENDPOINT_URL": ""},
        "AWS_CONFIG_FILE",
    ),
    ("a mode that is unknown", {"AWS_DEFAULTS_MODE": "turbo"}, "AWS_DEFAULTS_MODE has a value"),
    (
        "a checksum that is unknown",
        {"AWS_REQUEST_CHECKSUM_CALCULATION": "x"},
        "AWS_REQUEST_CHECKSUM_CALCULATION",
    ),
    (
        "FIPS without an endpoint",
        {"AWS_USE_FIPS_ENDPOINT": "true", "AWS_ENDPOINT_URL": ""},
        "AWS_USE_FIPS_ENDPOINT",
    ),
    (
        "a proxy without a host",
        {"HTTPS_PROXY": "http://user:planted@:3128"},
        "HTTPS_PROXY is not the address",
    ),
    ("a proxy of another kind", {"HTTP_PROXY": "socks5://proxy:1080"}, "HTTP_PROXY is not the address"),
    ("a proxy in mixed case", {"Https_Proxy": "socks5://proxy:1"}, "Https_Proxy is not the address"),
    ("a proxy with half an address", {"https_proxy": "http://[::1"}, "https_proxy is not the address"),
]
FOR_THE_POD = [
    (
        "a profile that is not there",
        {"AWS_PROFILE": "planted"},
        "AWS_PROFILE names a profile that is in neither",
    ),
    ("a default profile", {"AWS_DEFAULT_PROFILE": "planted"}, "AWS_DEFAULT_PROFILE names a profile"),
    ("a profile beside keys", {"AWS_PROFILE": "planted", **KEYS}, "AWS_PROFILE names a profile"),
    (
        "half a key",
        {"AWS_ACCESS_KEY_ID": "planted"},
        "AWS_ACCESS_KEY_ID is set and AWS_SECRET_ACCESS_KEY is not",
    ),
    (
        "the other half",
        {"AWS_SECRET_ACCESS_KEY": "planted"},
        "AWS_SECRET_ACCESS_KEY is set and AWS_ACCESS_KEY_ID",
    ),
    (
        "a credentials file",
        {"AWS_SHARED_CREDENTIALS_FILE": "{folder}/broken.ini"},
        "there is an error in line 3.",
    ),
    (
        "no credentials file",
        {"AWS_SHARED_CREDENTIALS_FILE": "/nonexistent"},
        "/nonexistent, which does not exist",
    ),
    ("a source that is not there", {"AWS_CONFIG_FILE": "{folder}/source.ini"}, "names a file with a setting"),
    (
        "a token that is not there",
        {"AWS_WEB_IDENTITY_TOKEN_FILE": "/nonexistent", "AWS_ROLE_ARN": IRSA_ROLE},
        "AWS_WEB_IDENTITY_TOKEN_FILE names /nonexistent, which does not exist",
    ),
    (
        "a token that is empty",
        {"AWS_WEB_IDENTITY_TOKEN_FILE": "{folder}/empty", "AWS_ROLE_ARN": IRSA_ROLE},
        "which is empty",
    ),
    ("a token without a role", {"AWS_WEB_IDENTITY_TOKEN_FILE": "{folder}/token"}, "AWS_ROLE_ARN is not"),
    ("a role without a token", {"AWS_ROLE_ARN": IRSA_ROLE}, "AWS_WEB_IDENTITY_TOKEN_FILE is not"),
    (
        "an ARN of a user",
        {"AWS_WEB_IDENTITY_TOKEN_FILE": "{folder}/token", "AWS_ROLE_ARN": "arn:aws:iam::1:user/planted"},
        "AWS_ROLE_ARN is not the ARN of an IAM role",
    ),
    (
        "a place without a scheme",
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "planted"},
        "FULL_URI is not an address",
    ),
    (
        "a place that is not trusted",
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://planted.example/v1"},
        "AWS_CONTAINER_CREDENTIALS_FULL_URI must begin with https://",
    ),
    (
        "a token of Pod Identity that is not there",
        {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1/credentials",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/nonexistent",
        },
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE names /nonexistent, which does not exist",
    ),
    ("attempts that are no number", {"AWS_MAX_ATTEMPTS": "many"}, "AWS_MAX_ATTEMPTS has a value"),
    ("a way of retrying", {"AWS_RETRY_MODE": "often"}, "AWS_RETRY_MODE has a value"),
    ("a way to STS", {"AWS_STS_REGIONAL_ENDPOINTS": "x"}, "AWS_STS_REGIONAL_ENDPOINTS has a value"),
]


@pytest.fixture(scope="module", autouse=True)
def _list_services_once() -> Iterator[None]:
    """Keep what botocore finds in its folders anew for each session: a third of this file's CPU."""
    names = cache(Loader().list_available_services)
    with mock.patch.object(Loader, "list_available_services", lambda _, type_name: names(type_name)):
        yield


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with broken files, and a token that looks like one."""
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "token").write_text("header.claims.signature")
    (tmp_path / "broken.ini").write_text("[default]\nregion = us-east-1\n[planted\n")
    (tmp_path / "binary.ini").write_bytes(b"[default]\nregion = \xff\xfe\n")
    (tmp_path / "bundle.ini").write_text("[default]\nca_bundle = /nonexistent.pem\n")
    (tmp_path / "address.ini").write_text("[default]\nendpoint_url = localhost:4566\n")
    (tmp_path / "source.ini").write_text(f"[default]\nrole_arn = {IRSA_ROLE}\nsource_profile = planted\n")
    return tmp_path


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Callable[[dict[str, str]], None]:
    """Return what puts variables into the process's environment, whose home has no AWS files."""
    monkeypatch.setenv("HOME", str(folder))

    def set_them(variables: dict[str, str]) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value.format(folder=folder))

    return set_them


def problems(*, pod: bool, partition: Partition = Partition.AWS) -> list[str]:
    """Return what is wrong with the environment."""
    needs = AwsNeeds(partitions=frozenset({partition}), pod_identity=pod)
    try:
        check_environment(AwsClients(AwsSettings(version="0")), needs)
    except ConfigError as error:
        return list(error.problems)
    return []


@pytest.mark.parametrize("pod", [False, True], ids=["keys", "pod"])
@pytest.mark.parametrize(
    ("variables", "words"), [each[1:] for each in FOR_EVERYONE], ids=[e[0] for e in FOR_EVERYONE]
)
def test_what_every_account_needs_is_told_in_one_sentence(
    given: Callable[[dict[str, str]], None],
    variables: dict[str, str],
    words: str,
    pod: bool,  # noqa: FBT001 - a parameter of pytest
) -> None:
    """The sentence names the variable or the file, and shows no value but a path."""
    given(variables)
    (problem,) = problems(pod=pod)
    assert words in problem
    assert "planted" not in problem


@pytest.mark.parametrize(
    ("variables", "words"), [each[1:] for each in FOR_THE_POD], ids=[e[0] for e in FOR_THE_POD]
)
def test_a_broken_identity_is_told_if_it_is_needed_only(
    given: Callable[[dict[str, str]], None], variables: dict[str, str], words: str
) -> None:
    """Accounts with stored keys need no profile, no token and no keys of the pod."""
    given(variables)
    (problem,) = problems(pod=True)
    assert words in problem
    assert "planted" not in problem
    given(variables)
    assert problems(pod=False) == []


def test_an_empty_variable_counts_as_not_set(given: Callable[[dict[str, str]], None]) -> None:
    """To botocore it is a value; an empty certificate bundle even is one that trusts nothing."""
    names = {name for _, each, _ in [*FOR_EVERYONE, *FOR_THE_POD] for name in each}
    given(dict.fromkeys(names, ""))
    assert problems(pod=True) == []
    assert [name for name in sorted(names) if os.environ.get(name)] == []


@pytest.mark.parametrize(
    "variables",
    [
        KEYS,
        {"AWS_WEB_IDENTITY_TOKEN_FILE": "{folder}/token", "AWS_ROLE_ARN": IRSA_ROLE},
        {
            "AWS_WEB_IDENTITY_TOKEN_FILE": "{folder}/token",
            "AWS_ROLE_ARN": "arn:aws-us-gov:iam::123456789012:role/a/b",
        },
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1/credentials"},
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "https://credentials.example/v1"},
        {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/x"},
        {"HTTPS_PROXY": "proxy.example:3128", "HTTP_PROXY": "//user:p^ss@proxy:1"},
        {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull},
        {"AWS_ENDPOINT_URL_S3": "not ours"},
        {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true", "AWS_ENDPOINT_URL": "nonsense"},
        {},
    ],
    ids=lambda variables: " ".join(variables) or "nothing",
)
def test_what_works_is_not_refused(
    given: Callable[[dict[str, str]], None], variables: dict[str, str]
) -> None:
    """Every way in which a pod gets its identity, and what other programs need."""
    given(variables)
    assert problems(pod=True) == []
    assert problems(pod=True, partition=Partition.CHINA) == []


def test_several_problems_are_told_at_once(given: Callable[[dict[str, str]], None]) -> None:
    """So that a pod is mended in one go."""
    given({"AWS_CA_BUNDLE": "/nonexistent", "HTTPS_PROXY": "http://", "AWS_PROFILE": "gone"})
    assert [problem.split()[0] for problem in problems(pod=True)] == [
        "AWS_CA_BUNDLE",
        "HTTPS_PROXY",
        "AWS_PROFILE",
    ]


def test_several_settings_that_the_library_refuses_are_told_at_once(
    given: Callable[[dict[str, str]], None],
) -> None:
    """None of them alone makes the difference; what is in order is not named."""
    given({"AWS_DEFAULTS_MODE": "turbo", "AWS_REQUEST_CHECKSUM_CALCULATION": "x", "AWS_REGION": "eu-west-1"})
    assert [problem.split()[0] for problem in problems(pod=False)] == [
        "AWS_DEFAULTS_MODE",
        "AWS_REQUEST_CHECKSUM_CALCULATION",
    ]


def test_a_service_that_the_image_left_out_is_named_and_no_variable_is_blamed() -> None:
    """Whatever is changed in the pod, it stays so."""
    needs = AwsNeeds(partitions=frozenset({Partition.AWS}), pod_identity=False)
    load = Loader.load_service_model

    def load_what_is_there(loader: Loader, service_name: str, *args: Any, **options: Any) -> Any:
        if service_name == ACCOUNT:
            raise DataNotFoundError(data_path="account/service-2")
        return load(loader, service_name, *args, **options)

    with (
        mock.patch.object(Loader, "load_service_model", load_what_is_there),
        pytest.raises(ConfigError) as error,
    ):
        check_environment(AwsClients(AwsSettings(version="0")), needs, DISCOVERY_SERVICES)
    (problem,) = error.value.problems
    assert problem.startswith("AWS's library (botocore) has no description of the service account (")


def refused(harness: Harness, run: Finished, *, runs: int = 0) -> str:
    """Return the one sentence of a run that did nothing. runs: how many there were before."""
    assert run.status == 2
    (sentence,) = run.sentences
    assert run.stdout == ""
    assert harness.value("SELECT count(*) FROM runs") == runs
    assert harness.aws.paid() == 0
    return sentence


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"AWS_CA_BUNDLE": "/nonexistent.pem"}, "AWS_CA_BUNDLE names /nonexistent.pem"),
        ({"AWS_ENDPOINT_URL": "127.0.0.1:4566"}, "AWS_ENDPOINT_URL is not an address"),
    ],
)
def test_a_run_in_a_broken_pod_is_2_and_claims_nothing(
    harness: Harness, variables: dict[str, str], words: str
) -> None:
    """No account fails, no attempt is made, nothing is written; `doctor` says the same sentence."""
    harness.open(HUB, OTHER)
    sentence = refused(harness, harness.collect(**variables))
    assert words in sentence
    doctor = harness.run("doctor", "--output", "json", **variables)
    found = {check["name"]: check for check in doctor.summary["checks"]}
    assert doctor.status == 2
    assert found["AWS settings"]["found"] == sentence
    assert found["AWS endpoints"]["status"] == "skipped"


def test_a_run_with_a_broken_proxy_is_2(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is with AWS's own variables."""
    harness.open(HUB)
    monkeypatch.setenv("HTTPS_PROXY", "http://user:planted@:1")
    sentence = refused(harness, harness.collect())
    assert "HTTPS_PROXY is not the address of an HTTP proxy" in sentence
    assert "planted" not in sentence


def test_a_profile_that_is_not_there_matters_to_the_pods_accounts_only(harness: Harness) -> None:
    """A run over stored keys works with it; a run that needs the pod's identity says so before it begins."""
    harness.open(HUB)
    harness.register(OTHER, pod=True)
    assert "AWS_PROFILE names a profile" in refused(harness, harness.collect(AWS_PROFILE="gone"))
    run = harness.collect("--account", HUB.account_id, AWS_PROFILE="gone")
    assert run.outcomes == {HUB.account_id: "collected"}


def test_a_run_takes_empty_variables_for_none(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chart's `value: ""` is what a value that is not set becomes."""
    harness.open(HUB)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "")
    empty = dict.fromkeys(("AWS_PROFILE", "AWS_CA_BUNDLE", "AWS_WEB_IDENTITY_TOKEN_FILE"), "")
    for name in empty:
        monkeypatch.setenv(name, "")
    assert harness.collect(**empty).outcomes == {HUB.account_id: "collected"}


def test_commands_that_need_no_aws_do_not_look_at_it(harness: Harness) -> None:
    """A dry run and the list of accounts work in any pod."""
    harness.open(HUB)
    broken = {"AWS_CA_BUNDLE": "/nonexistent.pem", "AWS_PROFILE": "gone"}
    assert harness.run("accounts", "list", **broken).status == 0
    assert harness.collect("--dry-run", **broken).status == 0


def test_a_run_without_accounts_is_0_in_a_broken_pod(harness: Harness) -> None:
    """It makes no call."""
    assert harness.collect(AWS_CA_BUNDLE="/nonexistent.pem").status == 0


@pytest.mark.parametrize("access", [AccessMethod.ACCESS_KEYS, AccessMethod.POD_IDENTITY])
def test_doctor_asks_for_what_the_active_accounts_need(access: AccessMethod) -> None:
    """An account that is paused needs nothing; what is found is the configuration's fault."""
    paused = make_row(2, access=AccessMethod.POD_IDENTITY, status=AccountStatus.PAUSED)
    china = Partition.CHINA
    ward = Ward(accounts=(make_row(1, access=access, partition=china), paused))
    assert ward.find("AWS settings").mark is Mark.OK
    is_pod = access is AccessMethod.POD_IDENTITY
    assert ward.aws.needs == [AwsNeeds(partitions=frozenset({china}), pod_identity=is_pod)]
    ward.aws.environment_error = ConfigError("AWS_CA_BUNDLE is broken.")
    finding = ward.find("AWS settings")
    assert (finding.mark, finding.is_configuration) == (Mark.FAILURE, True)
    assert finding.found == "AWS_CA_BUNDLE is broken."


# Addresses of other services, and settings that a topic has its own of.
NOT_OF_TOPICS = {
    *("AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL_COST_EXPLORER", "AWS_USE_FIPS_ENDPOINT"),
    *("AWS_MAX_ATTEMPTS", "AWS_RETRY_MODE"),
}


def test_discovery_is_not_begun_in_a_broken_pod_either(harness: Harness) -> None:
    """Each service that it calls may have an address of its own; `doctor` says the same if it is in use."""
    harness.open(HUB)
    assert harness.run("discover").status == 0
    for service in ("RESOURCE_GROUPS_TAGGING_API", "RESOURCE_EXPLORER_2", "ACCOUNT", "EC2", "STS"):
        name = f"AWS_ENDPOINT_URL_{service}"
        sentence = refused(harness, harness.run("discover", **{name: "localhost:1"}), runs=1)
        assert f"{name} is not an address" in sentence
    doctor = harness.run("doctor", "--output", "json", **{name: "localhost:1"})
    found = {check["name"]: check for check in doctor.summary["checks"]}
    assert (doctor.status, found["AWS settings"]["found"]) == (2, sentence)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        *(
            (variables, words)
            for _, variables, words in (*FOR_EVERYONE, *FOR_THE_POD)
            if not NOT_OF_TOPICS & variables.keys()
        ),
        ({"AWS_ENDPOINT_URL_SNS": "localhost:1"}, "AWS_ENDPOINT_URL_SNS is not an address"),
    ],
)
def test_a_topic_says_what_is_broken(
    given: Callable[[dict[str, str]], None], variables: dict[str, str], words: str
) -> None:
    """Each message that cannot be sent says which variable is wrong; nothing is asked for."""
    given(variables)
    with pytest.raises(DeliveryError) as caught:
        Topics("0").publish("eu-west-1", {"TopicArn": TOPIC, "Message": "x"})
    assert words in f"{caught.value}"
    assert "planted" not in f"{caught.value}"


def test_a_topic_takes_empty_variables_for_none(idle: Harness, tmp_path: Path) -> None:
    """Also in a command that calls AWS for nothing else."""
    sinks = tmp_path / "sinks.yaml"
    sinks.write_text(f"sinks:\n  topic:\n    type: sns\n    topic_arn: {TOPIC}\n")
    empty = dict.fromkeys(("AWS_PROFILE", "AWS_CA_BUNDLE", "AWS_WEB_IDENTITY_TOKEN_FILE"), "")
    run = idle.run("events", "test", "topic", COSTBATCH_SINKS_FILE=f"{sinks}", **empty)
    assert (run.status, run.sentences) == (
        1,
        ["SNS in eu-west-1 cannot be called: the pod has no AWS identity."],
    )


def test_a_topic_speaks_of_a_wrong_clock(
    given: Callable[[dict[str, str]], None], answering: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an account does: the Date header of the refusal is AWS's own time."""
    given({**KEYS, "AWS_ENDPOINT_URL": answering.url})
    answering.status = 403
    answering.body = b"<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code></Error></ErrorResponse>"
    theirs = format_datetime(datetime.now(tz=UTC) - timedelta(minutes=11), usegmt=True)
    monkeypatch.setattr(BaseHTTPRequestHandler, "date_time_string", lambda _: theirs)
    with pytest.raises(DeliveryError, match="This machine's clock is 11 minutes ahead of AWS's"):
        Topics("0").publish("eu-west-1", {"TopicArn": TOPIC, "Message": "x"})


@pytest.mark.parametrize("headers", [True, False], ids=["headers", "body"])
def test_a_topic_whose_answer_drips_ends_at_the_limit(
    given: Callable[[dict[str, str]], None], monkeypatch: pytest.MonkeyPatch, *, headers: bool
) -> None:
    """The time-out is of the whole answer, as that of costs."""
    monkeypatch.setattr(topics, "_READ_SECONDS", 0.5)
    monkeypatch.setattr(topics, "_MOST_ATTEMPTS", 1)
    with dripping(headers=headers) as url:
        given({**KEYS, "AWS_ENDPOINT_URL": url})
        begun = monotonic()
        with pytest.raises(DeliveryError, match="cannot be used"):
            Topics("0").publish("eu-west-1", {"TopicArn": TOPIC, "Message": "x"})
    assert monotonic() - begun < 5


def test_an_answer_that_is_not_from_sns_is_said(given: Callable[[dict[str, str]], None]) -> None:
    """As a proxy gives one; it is no unexpected error."""
    with recording() as recorder:
        given({**KEYS, "AWS_ENDPOINT_URL": recorder.url})
        with pytest.raises(DeliveryError, match="answered with something that is not from SNS"):
            Topics("0").publish("eu-west-1", {"TopicArn": TOPIC, "Message": "x"})
