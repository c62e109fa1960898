"""Advice that helps: each failure says what is wrong and what to do, and an unexpected one where."""

import ast
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from botocore import exceptions as botocore_errors

from costbatch import logs
from costbatch.adapters.aws.clients import AwsClients, AwsSettings
from costbatch.adapters.aws.errors import BeforeHistoryError, call_aws, translate
from costbatch.adapters.aws.operations import GET_COST_AND_USAGE
from costbatch.application.jobs.budget import ApiBudget, Meter
from costbatch.domain.accounts import Partition
from costbatch.domain.credentials import AccessKeys, Secret
from costbatch.errors import AccountError, ErrorKind
from costbatch.simulator.world import Fault
from tests.support.bills import stored
from tests.support.harness import TODAY, Finished, Harness, Row, make_account, steady
from tests.support.recorder import recording
from tests.support.web_servers import Answering

PACKAGE = Path(logs.__file__).parent
BROKEN = "100000000001"
QUESTION: dict[str, Any] = {
    "TimePeriod": {"Start": "2024-03-01", "End": "2024-03-04"},
    "Granularity": "DAILY",
    "Metrics": ("UnblendedCost",),
}
PLANTED = "arn:aws:iam::123456789012:user/planted"


def refusal(
    code: str, message: str = "", *, operation: str = "GetCostAndUsage", date: datetime | None = None
) -> AccountError:
    """Return what an error answer of AWS means."""
    headers = {"date": format_datetime(date, usegmt=True)} if date else {}
    answer: Any = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": 400, "HTTPHeaders": headers},
    }
    return translate(botocore_errors.ClientError(answer, operation), operation)


def now() -> datetime:
    """Return the time, as AWS and this machine have it."""
    return datetime.now(tz=UTC)


@pytest.mark.parametrize(
    "message",
    [
        "Linked account doesn't have access to Cost Explorer",
        "Linked account doesn\N{RIGHT SINGLE QUOTATION MARK}t have access to cost explorer.",
        "Access to Cost Explorer for member accounts was turned off by the management account",
    ],
)
def test_a_payer_that_keeps_its_members_out_is_named(message: str) -> None:
    """The preference is the management account's; the account's own policies are not the reason."""
    error = refusal("AccessDeniedException", message)
    assert error.kind is ErrorKind.ACCESS_DENIED
    assert "management (payer) account" in error.advice
    assert "linked account access" in error.advice
    assert "grant the identity" not in str(error)


@pytest.mark.parametrize(
    ("policy", "place"),
    [
        ("service control policy", "of the organization"),
        ("resource control policy", "of the organization"),
        ("permissions boundary", "of the identity"),
        ("session policy", "of the session"),
        ("identity-based policy", "of the identity"),
        ("resource-based policy", "trust policy"),
        ("VPC endpoint policy", "of the VPC endpoint"),
    ],
)
def test_an_explicit_deny_names_the_policy_that_denies(policy: str, place: str) -> None:
    """No grant helps against it, so none is asked for; the ARNs in AWS's text stay out."""
    text = f"User: {PLANTED} is not authorized to perform: ce:GetCostAndUsage on resource: {PLANTED} "
    for article, end in (("a", ""), ("an", f": {PLANTED}")):
        error = refusal("AccessDeniedException", f"{text}with an explicit deny in {article} {policy}{end}")
        assert f"An explicit deny in a {policy} forbids ce:GetCostAndUsage" in error.advice
        assert place in error.advice
        assert "planted" not in str(error)


@pytest.mark.parametrize("policy", ["service control policy", "permissions boundary", "session policy"])
def test_an_allow_that_is_missing_beside_the_identitys_own_is_named(policy: str) -> None:
    """AWS says which kind of policy has no allow."""
    text = f"User: {PLANTED} is not authorized to perform: x because no {policy} allows the x action"
    assert f"No {policy} allows ce:GetCostAndUsage." in refusal("AccessDeniedException", text).advice


def test_an_identity_without_the_permission_is_told_to_have_it_granted() -> None:
    """The ordinary case keeps the kind's own advice."""
    text = "because no identity-based policy allows the ce:GetCostAndUsage action"
    assert refusal("AccessDeniedException", text).advice == ErrorKind.ACCESS_DENIED.advice
    assert refusal("AccessDeniedException").advice == ErrorKind.ACCESS_DENIED.advice


@pytest.mark.parametrize(
    ("operation", "action"),
    [
        ("GetAnomalies", "ce:GetAnomalies"),
        ("GetResources", "tag:GetResources"),
        ("GetAccountSummary", "GetAccountSummary"),
    ],
)
def test_a_denied_operation_names_its_own_permission(operation: str, action: str) -> None:
    """Only collecting is helped by the permission that collecting needs, also if a new job is denied."""
    assert refusal("AccessDenied", operation=operation).advice == (
        f"The credentials are valid but lack a permission; grant the identity {action}."
    )


def test_discovery_that_is_denied_is_not_advised_about_costs(harness: Harness) -> None:
    """By the run, by `doctor` and by `accounts show`: another permission is missing than that of costs."""
    harness.open(make_account(1, faults=(Fault("access_denied", operation="GetResources"),)))
    run = harness.run("discover", "--output", "json")
    message = run.account(harness.ids[0])["error"]["message"]
    assert "tag:GetResources" in message
    doctor = harness.run("doctor", "--output", "json").summary["checks"]
    (check,) = [each for each in doctor if each["name"] == "discovery"]
    shown = harness.run("accounts", "show", harness.ids[0], "--output", "json").summary
    for advice in (message, check["advice"], shown["discovery_failing_advice"]):
        assert "ce:GetCostAndUsage" not in advice
        assert "permission" in advice


def test_a_role_that_cannot_be_assumed_speaks_of_its_trust_policy() -> None:
    """STS says neither that the role is missing nor that the external id is wrong."""
    advice = refusal(
        "AccessDenied", "not authorized to perform: sts:AssumeRole", operation="AssumeRole"
    ).advice
    assert "trust policy" in advice
    assert "external id" in advice


EXPIRED = (
    "Signature expired: 20260101T000000Z is now earlier than 20260101T001000Z (20260101T001500Z - 5 min.)"
)
CLOCK = [
    ("SignatureDoesNotMatch", EXPIRED, "15 minutes behind"),
    (
        "InvalidSignatureException",
        "Signature not yet current: 20260101T020000Z is still later than … (20260101T000000Z + 5 min.)",
        "2 h 0 min ahead of",
    ),
    ("InvalidSignatureException", "Signature expired: 20269999T000000Z", ""),
    ("RequestTimeTooSkewed", "The difference between the request time and ours is too large.", ""),
    ("RequestExpired", "Request has expired.", ""),
]


@pytest.mark.parametrize(("code", "message", "span"), CLOCK)
def test_a_signature_out_of_its_time_speaks_of_the_clock(code: str, message: str, span: str) -> None:
    """By how much, if AWS says it; never of credentials that are to be replaced."""
    error = refusal(code, message, date=now())
    assert error.kind is ErrorKind.WRONG_CLOCK
    assert "clock" in str(error)
    assert "rejected the credentials" not in str(error)
    assert f"{span} AWS's." in error.detail if span else "AWS's" not in error.detail
    assert "20260101" not in str(error)


@pytest.mark.parametrize("code", ["SignatureDoesNotMatch", "InvalidClientTokenId", "ExpiredTokenException"])
@pytest.mark.parametrize(
    ("minutes", "words"), [(12, "12 minutes behind AWS's"), (-90, "1 h 30 min ahead of AWS's")]
)
def test_a_date_minutes_away_speaks_of_the_clock(code: str, minutes: int, words: str) -> None:
    """The Date header of the refusal is AWS's own time: nothing that is signed by this clock is accepted."""
    error = refusal(
        code, "The request signature we calculated does not match", date=now() + timedelta(minutes=minutes)
    )
    assert error.kind is ErrorKind.WRONG_CLOCK
    assert words in error.detail


def test_the_date_header_of_a_real_answer_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over HTTP, by the quick way in which costs are asked for."""
    theirs = format_datetime(now() + timedelta(minutes=30), usegmt=True)
    monkeypatch.setattr(BaseHTTPRequestHandler, "date_time_string", lambda _: theirs)
    keys = AccessKeys(access_key_id=Secret("AKIAPLANTED"), secret_access_key=Secret("a-secret"))
    with recording() as recorder:
        recorder.answers.append((400, {"__type": "InvalidSignatureException", "Message": "does not match"}))
        monkeypatch.setenv("AWS_ENDPOINT_URL", recorder.url)
        costs = AwsClients(AwsSettings(version="0", max_attempts=1)).requests(
            GET_COST_AND_USAGE, Partition.AWS
        )
        with pytest.raises(AccountError, match="30 minutes behind AWS's") as caught:
            call_aws("GetCostAndUsage", lambda: costs.send(QUESTION, keys, Meter(ApiBudget())))
    assert caught.value.kind is ErrorKind.WRONG_CLOCK


def test_a_refusal_at_the_right_time_is_about_the_credentials() -> None:
    """A minute is how long an answer may take; a header that is no date says nothing."""
    for date in (now(), now() - timedelta(minutes=1), None):
        assert (
            refusal("SignatureDoesNotMatch", "does not match", date=date).kind
            is ErrorKind.CREDENTIALS_REJECTED
        )


TOO_EARLY = [
    "You haven't enabled historical data beyond 14 months",
    "Start date is too early; the earliest is 2024-09-01",
    "The start date is older than 12 months",
]
WRONG_CLOCK = {
    "__type": "InvalidSignatureException",
    "Message": (
        "Signature expired: 20260101T000000Z is now earlier than 20260101T001000Z (20260101T001500Z - 5 min.)"
    ),
}
FAULTS: dict[object, Fault] = {
    **{
        (message, times): Fault("validation", message=message, times=times)
        for message in TOO_EARLY
        for times in (1, 2)
    },
    "no history": Fault("validation", message=TOO_EARLY[0]),
    "wrong clock": Fault("body", body=json.dumps(WRONG_CLOCK), status=400),
    "internal": Fault("validation", message=f"planted {PLANTED}"),
}


class Night:
    """A run over an account for each fault."""

    def __init__(self, harness: Harness) -> None:
        accounts = {
            name: make_account(n, faults=(fault,), rows=steady("10"))
            for n, (name, fault) in enumerate(FAULTS.items(), 1)
        }
        self.harness = harness
        self.ids: dict[object, str] = {name: account.account_id for name, account in accounts.items()}
        harness.open(*accounts.values())
        self.run = harness.collect()
        requests = harness.aws.requests()["accounts"]
        self.asked = {
            name: requests[one]["requests"].get("GetCostAndUsage") for name, one in self.ids.items()
        }

    def account(self, name: object) -> Row:
        """Return an account of the summary."""
        return self.run.account(self.ids[name])

    def logs(self, event: str, name: object) -> list[Row]:
        """Return the log lines of an account."""
        return [line for line in self.run.logs(event) if line["aws_account_id"] == self.ids[name]]

    def recorded(self, column: str, name: object) -> object:
        """Return what the run's record says of an account."""
        query = (
            f"SELECT {column} FROM run_items AS i LEFT JOIN cost_collections ON run_item_id = i.id "
            "JOIN accounts AS a ON a.id = i.account_id WHERE a.aws_account_id = %s"
        )
        return self.harness.value(query, self.ids[name])


@pytest.fixture(scope="module")
def night(shared: Harness) -> Night:
    """Collect every account once."""
    return Night(shared)


def told(run: Finished, aws_account_id: str = BROKEN) -> str:
    """Return the sentence of an account that failed."""
    return str(run.account(aws_account_id)["error"]["message"])


def test_a_wrong_clock_is_told_by_a_run(night: Night) -> None:
    """It is an error kind of its own, in the summary and in the database."""
    error = night.account("wrong clock")["error"]
    assert error["kind"] == "wrong_clock"
    assert "This machine's clock is 15 minutes behind AWS's." in error["message"]
    assert night.recorded("error_kind", "wrong clock") == "wrong_clock"


def test_doctor_compares_the_clock_with_awss(
    harness: Harness, answering: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AWS's time is in every answer, also in a refusal."""
    harness.wake_at(now())
    harness.open(make_account(1))
    theirs = format_datetime(now() - timedelta(minutes=11), usegmt=True)
    monkeypatch.setattr(BaseHTTPRequestHandler, "date_time_string", lambda _: theirs)
    found = harness.run("doctor", "--output", "json", AWS_ENDPOINT_URL=answering.url)
    (check,) = [each for each in found.summary["checks"] if each["name"] == "AWS endpoints"]
    assert check["status"] == "failure"
    assert "This machine's clock is 0:1" in check["found"]
    assert "ahead of AWS's." in check["found"]
    assert "NTP" in check["advice"]


def test_a_pod_without_identity_is_told_how_to_get_one(harness: Harness) -> None:
    """AWS was not asked, so it refused nothing."""
    harness.register(make_account(1), pod=True)
    run = harness.collect(HOME="/nonexistent")
    assert run.outcomes == {BROKEN: "pod_identity_missing"}
    assert "serviceAccount.annotations" in told(run)
    assert "EKS Pod Identity" in told(run)
    assert "does not accept" not in run.stdout + run.stderr


@pytest.mark.parametrize("message", TOO_EARLY)
@pytest.mark.parametrize(("times", "first_day"), [(1, "2024-03-01"), (2, "2024-09-01")])
def test_a_first_collection_falls_back_to_what_aws_gives(
    night: Night, message: str, times: int, first_day: str
) -> None:
    """One request more for each step; the log says from when on, and which setting asks for less at once."""
    case = (message, times)
    assert (night.account(case)["state"], night.account(case)["attempts"]) == ("collected", 1)
    assert f"{night.recorded('window_start', case)}" == first_day
    (line,) = night.logs("history_shortened", case)
    assert line["first_day"] == first_day
    assert "13 months" in line["reason"]
    assert "COSTBATCH_HISTORY_MONTHS" in line["reason"]
    assert len(stored(night.harness, night.ids[case])) > 30
    assert night.asked[case] == times + 1


def test_an_account_of_which_aws_gives_nothing_fails_after_the_last_step(night: Night) -> None:
    """The steps end; no second attempt asks for the same again."""
    account = night.account("no history")
    assert account["error"]["kind"] == "data_unavailable"
    assert "COSTBATCH_HISTORY_MONTHS" in account["error"]["message"]
    assert account["attempts"] == 1
    assert night.asked["no history"] == 5


def test_an_ordinary_night_that_missed_none_falls_back_to_nothing(harness: Harness) -> None:
    """Fewer days than were asked for would leave a hole. The advice is for a night, not only for --from."""
    harness.open(make_account(1))
    harness.collect()
    harness.aws.add_fault(BROKEN, "validation", message=TOO_EARLY[0], times=1)
    run = harness.collect()
    assert run.outcomes == {BROKEN: "data_unavailable"}
    assert "--from" in told(run)
    assert "COSTBATCH_WINDOW_DAYS" in told(run)
    assert run.logs("history_shortened") == []


@pytest.mark.parametrize(("refusals", "first_day"), [(1, "2025-03-01"), (2, "2025-06-01")])
def test_a_night_after_a_long_outage_falls_back_to_what_aws_gives(
    harness: Harness, refusals: int, first_day: str
) -> None:
    """Or it would ask for the same days every night, for ever. A hole begins what is stored anew."""
    harness.open(make_account(1))
    harness.collect()
    today = TODAY + timedelta(days=200)
    harness.sleep_until(today)
    harness.aws.set_rows(BROKEN, steady("100", until=today, days=300))
    harness.aws.add_fault(BROKEN, "validation", message=TOO_EARLY[0], times=refusals)
    run = harness.collect()
    assert run.outcomes == {BROKEN: "collected"}
    (line,) = run.logs("history_shortened")
    assert line["first_day"] == first_day
    has_hole = first_day > str(TODAY)
    covered = harness.value("SELECT covered_start FROM account_progress")
    assert (str(covered) == first_day) is has_hole
    assert harness.collect("--from", str(TODAY)).outcomes == {BROKEN: "collected"}


def test_refused_steps_cost_nothing(harness: Harness) -> None:
    """AWS does not charge them, so that they count neither as paid nor against the cap."""
    harness.open(make_account(1, faults=(Fault("validation", message=TOO_EARLY[0], times=3),)))
    run = harness.collect("--max-api-cost", "0.02")
    assert run.outcomes == {BROKEN: "collected"}
    assert run.account(BROKEN)["api"]["requests"] == harness.aws.paid() <= 2
    assert harness.aws.requests()["accounts"][BROKEN]["requests"]["GetCostAndUsage"] > 3


@pytest.mark.parametrize(
    "message", ["Start date (and hour) should be before end date (and hour)", "No such metric"]
)
def test_another_validation_error_is_not_about_history(message: str) -> None:
    """It is our fault, and stays internal."""
    error = refusal("ValidationException", message)
    assert error.kind is ErrorKind.INTERNAL
    assert not isinstance(error, BeforeHistoryError)


@pytest.mark.parametrize("limit", [3, 4])
def test_the_page_limit_says_what_more_would_cost(shared: Harness, limit: int) -> None:
    """It names the setting and the price; it does not ask for a report."""
    large = make_account(100, rows=steady("10"))
    shared.open(large, page_size=5)
    run = shared.collect("--account", large.account_id, COSTBATCH_PAGE_LIMIT=f"{limit}")
    assert run.outcomes == {large.account_id: "malformed_response"}
    sentence = told(run, large.account_id)
    assert f"more than {limit} pages" in sentence
    assert "COSTBATCH_PAGE_LIMIT" in sentence
    assert f"{limit * 2} pages cost up to ${limit * 2 / 100:.2f}" in sentence
    assert "report" not in sentence


@pytest.mark.parametrize(
    "error",
    [
        botocore_errors.ParamValidationError(report="planted"),
        OSError("planted"),
        botocore_errors.InvalidConfigError(error_msg="planted"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_translated_error_keeps_where_it_happened(error: Exception) -> None:
    """The frames are those of the failure, and nothing of its text is chained to them."""

    def deep_inside() -> None:
        raise error

    with pytest.raises(AccountError) as caught:
        call_aws("GetCostAndUsage", deep_inside)
    assert caught.value.kind is ErrorKind.INTERNAL
    assert "deep_inside" in [entry.name for entry in caught.traceback]
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    assert "planted" not in str(caught.value)


def test_an_internal_failure_logs_its_traceback(night: Night) -> None:
    """As its advice promises: once for each attempt, with the account, without AWS's text."""
    assert night.account("internal")["error"]["kind"] == "internal"
    lines = night.run.logs("account_crashed")
    assert [line["aws_account_id"] for line in lines] == [night.ids["internal"]] * 3
    assert all("Traceback" in line["exception"] and "botocore" in line["exception"] for line in lines)
    assert "planted" not in night.run.stdout + night.run.stderr


def test_awss_text_is_logged_at_debug_only_and_without_secrets(harness: Harness) -> None:
    """The plain words of AWS's text help to find a reason; what may be a key, a token or an ARN is masked."""
    message = (
        f"The key AKIAABCDEFGHIJKLMNOP of {PLANTED} is planted; t0ken IQoJb3JpZ2lu/+== may not ce:GetIt."
    )
    harness.open(make_account(1, faults=(Fault("access_denied", message=message),)))
    run = harness.collect(COSTBATCH_LOG_LEVEL="debug")
    (line,) = [line for line in run.logs("aws_call_failed") if line["operation"] == "GetCostAndUsage"]
    assert line["text"].endswith("The key *** of *** is planted; *** *** may not ce:GetIt.")
    assert "planted" not in run.stdout
    assert harness.value("SELECT count(*) FROM run_items WHERE error_message LIKE '%%planted%%'") == 0


@pytest.mark.parametrize(
    "text",
    [
        "DATABASE_URL must look like postgresql://USER:PASSWORD@HOST:5432/DATABASE.",
        'A role takes an external id only: {"external_id": "…"}.',
        "an access key such as AKIAIOSFODNN7EXAMPLE",
    ],
)
def test_an_example_in_our_advice_is_not_masked(text: str) -> None:
    """It holds no secret, and the advice needs it."""
    assert logs.redact(text) == text


def test_a_real_url_is_masked_even_if_it_looks_like_the_example() -> None:
    """The example is known by all of its words."""
    for url in (
        "postgresql://USER:secret@HOST/x",
        "postgresql://costs:PASSWORD@db/x",
        "https://USER:PASSWORD@HOSTILE/",
    ):
        assert "***" in logs.redact(url)


def test_no_sentence_of_ours_looks_like_a_secret() -> None:
    """Whatever the program says of itself passes the masks unchanged."""
    assert [text for text in set(sentences()) if logs.redact(text) != text] == []


def sentences() -> list[str]:
    """Return every text in the program's source, with its variable parts left out."""
    found = []
    for path in sorted(set(PACKAGE.rglob("*.py")) - {Path(logs.__file__)}):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = (part.value if isinstance(part, ast.Constant) else "VALUE" for part in node.values)
                found.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


def test_the_example_of_the_database_url_is_readable(idle: Harness) -> None:
    """In the sentence that a user gets."""
    run = idle.run("db", "current", DATABASE_URL="postgresql://host")
    assert run.status == 2
    assert "postgresql://USER:PASSWORD@HOST:5432/DATABASE" in run.stderr
