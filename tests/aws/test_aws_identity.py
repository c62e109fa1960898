"""How accounts are reached, over HTTP, with signatures that are checked."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from costbatch.application.jobs.budget import ApiBudget, Meter
from costbatch.domain.accounts import AccessMethod
from costbatch.domain.credentials import Access, AccessKeys, Secret, StoredSecrets
from costbatch.domain.periods import DateRange
from costbatch.errors import AccountError, ErrorKind
from tests.support.factories import rows_of

if TYPE_CHECKING:
    from costbatch.simulator.client import SimulatorProcess
    from tests.support.aws import Harness

ONE, TWO, THREE = "100000000001", "100000000002", "100000000003"


@pytest.fixture
def window() -> DateRange:
    """Return the days on which the simulated accounts have cost."""
    return DateRange(date(2024, 3, 1), date(2024, 3, 4))


def whose(aws: Harness, access: Access, window: DateRange) -> set[int]:
    """Return the numbers of the accounts whose cost comes back."""
    return {int(row.unblended) for row in rows_of(aws.source().fetch(access, window, aws.spend).costs)}


def failure(aws: Harness, access: Access, window: DateRange) -> AccountError:
    """Return the error that a fetch ends with; nothing was paid."""
    with pytest.raises(AccountError) as caught:
        aws.source().fetch(access, window, aws.spend)
    assert aws.requests == 0
    return caught.value


def act_as_pod(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Give the process the key of an account, as a pod gets one."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", f"AKIASIMULATED{number:07d}")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", f"secret+of/account{number:024d}")


def test_stored_keys_read_their_own_account(
    simulator: SimulatorProcess, aws: Harness, window: DateRange
) -> None:
    """Sealed keys are opened and sign; the pod's identity is not needed."""
    assert whose(aws, aws.simulated_keys(1), window) == {1}


def test_stored_keys_win_over_the_pods_identity(
    simulator: SimulatorProcess, aws: Harness, window: DateRange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An account with keys is never read with what the pod has."""
    act_as_pod(monkeypatch, 2)
    assert whose(aws, aws.simulated_keys(1), window) == {1}


def test_the_pods_identity_reads_its_own_account(
    simulator: SimulatorProcess, aws: Harness, window: DateRange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pod identity is what boto3's own chain finds."""
    act_as_pod(monkeypatch, 2)
    assert whose(aws, Access(account=aws.account(TWO, AccessMethod.POD_IDENTITY)), window) == {2}


def test_the_pods_identity_of_another_account_is_refused(
    simulator: SimulatorProcess, aws: Harness, window: DateRange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pod's own account is not stored under another one's name."""
    act_as_pod(monkeypatch, 2)
    error = failure(aws, Access(account=aws.account(THREE, AccessMethod.POD_IDENTITY)), window)
    assert error.kind is ErrorKind.WRONG_ACCOUNT
    assert TWO in error.detail


def test_a_pod_without_identity_says_so(simulator: SimulatorProcess, aws: Harness, window: DateRange) -> None:
    """No credentials in the pod's environment are not refused credentials: nobody was asked."""
    error = failure(aws, Access(account=aws.account(TWO, AccessMethod.POD_IDENTITY)), window)
    assert error.kind is ErrorKind.POD_IDENTITY_MISSING
    assert "no AWS identity" in error.detail


def test_an_unknown_profile_is_no_identity(
    simulator: SimulatorProcess, aws: Harness, window: DateRange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A misconfigured pod fails as such, by the name of botocore's error."""
    source = aws.source()
    source.fetch(aws.simulated_keys(1), window, Meter(ApiBudget()))
    monkeypatch.setenv("AWS_PROFILE", "there-is-none")
    with pytest.raises(AccountError, match="ProfileNotFound") as caught:
        source.fetch(Access(account=aws.account(TWO, AccessMethod.POD_IDENTITY)), window, aws.spend)
    assert caught.value.kind is ErrorKind.POD_IDENTITY_MISSING


def test_a_role_with_the_right_external_id_is_assumed(
    simulator: SimulatorProcess, aws: Harness, window: DateRange
) -> None:
    """Another account's stored keys assume the role, and the role reads its own account."""
    assert whose(aws, aws.role(THREE, base=aws.simulated_keys(1)), window) == {3}


def test_the_pods_identity_assumes_a_role(
    simulator: SimulatorProcess, aws: Harness, window: DateRange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a base account, the pod itself assumes the role."""
    act_as_pod(monkeypatch, 2)
    assert whose(aws, aws.role(THREE, base=None), window) == {3}


@pytest.mark.parametrize("external_id", ["a wrong one", None])
def test_a_role_with_a_wrong_external_id_is_denied(
    simulator: SimulatorProcess, aws: Harness, window: DateRange, external_id: str | None
) -> None:
    """A wrong or missing external id is access denied, told by operation and code only."""
    error = failure(aws, aws.role(THREE, base=aws.simulated_keys(1), external_id=external_id), window)
    assert error.kind is ErrorKind.ACCESS_DENIED
    assert error.detail == "AWS answered AssumeRole with AccessDenied."


def test_roles_are_assumed_one_from_another(
    simulator: SimulatorProcess, aws: Harness, window: DateRange
) -> None:
    """A base may be a role itself, a few times over."""
    chain = aws.role(ONE, base=aws.role(TWO, base=aws.role(THREE, base=aws.simulated_keys(4))))
    assert whose(aws, chain, window) == {1}


def test_a_chain_that_is_too_long_is_refused(
    simulator: SimulatorProcess, aws: Harness, window: DateRange
) -> None:
    """Chains are bounded, and no request is made for one that is too long."""
    chain: Access = aws.simulated_keys(9)
    for number in range(1, 5):
        chain = aws.role(f"{100_000_000_000 + number}", base=chain)
    assert "More than 4 accounts in a row" in failure(aws, chain, window).detail


def test_roles_in_a_circle_are_refused(simulator: SimulatorProcess, aws: Harness, window: DateRange) -> None:
    """A circle is a sentence about the accounts, not an endless loop."""
    error = failure(aws, aws.role(ONE, base=aws.role(TWO, base=aws.role(ONE, base=None))), window)
    assert error.detail == f"Roles are assumed in a circle to reach account {ONE}."


def test_an_access_key_account_ignores_a_base(
    simulator: SimulatorProcess, aws: Harness, window: DateRange
) -> None:
    """A leftover base of an account with keys changes nothing."""
    keys = aws.simulated_keys(1)
    assert whose(aws, Access(account=keys.account, sealed=keys.sealed, base=keys), window) == {1}


def test_keys_of_another_account_are_refused_before_anything_paid(
    simulator: SimulatorProcess, aws: Harness, window: DateRange
) -> None:
    """One customer's cost is never stored under another: STS is asked first."""
    simulator.add_fault(ONE, "wrong_account")
    error = failure(aws, aws.simulated_keys(1), window)
    assert error.kind is ErrorKind.WRONG_ACCOUNT
    assert error.detail == f"The credentials stored for account {ONE} are those of account 999999999999."
    assert simulator.paid() == 0


@pytest.mark.parametrize(
    ("access_key_id", "secret"), [("AKIANOTKNOWN00000000", "secret"), ("AKIASIMULATED0000001", "wrong")]
)
def test_unknown_keys_and_wrong_secrets_are_rejected(
    simulator: SimulatorProcess, aws: Harness, window: DateRange, access_key_id: str, secret: str
) -> None:
    """What AWS does not accept is rejected credentials, whatever its code for it."""
    error = failure(aws, aws.keys(ONE, access_key_id, secret), window)
    assert error.kind is ErrorKind.CREDENTIALS_REJECTED


@pytest.mark.parametrize("text", ["", "AKIA WITH SPACE", "AKIA\r\nX-Injected: 1", "AKIAÄÖÜ"])
def test_keys_that_cannot_stand_in_a_header_never_reach_one(
    simulator: SimulatorProcess, aws: Harness, window: DateRange, text: str
) -> None:
    """The HTTP library would quote such a key in its error; ours does not."""
    error = failure(aws, aws.keys(ONE, text, "secret"), window)
    assert error.kind is ErrorKind.CREDENTIALS_REJECTED
    assert "AKIA" not in str(error)


def test_an_account_without_stored_keys_says_so(
    simulator: SimulatorProcess, aws: Harness, window: DateRange
) -> None:
    """Nothing sealed, or a seal without keys, is unreadable credentials."""
    account = aws.account(ONE, AccessMethod.ACCESS_KEYS)
    empty = aws.vault.seal(ONE, StoredSecrets())
    for sealed in (None, empty):
        error = failure(aws, Access(account=account, sealed=sealed), window)
        assert error.kind is ErrorKind.CREDENTIALS_UNREADABLE
        assert error.detail == f"No access key is stored for account {ONE}."


def test_an_account_without_a_stored_role_says_so(
    simulator: SimulatorProcess, aws: Harness, window: DateRange
) -> None:
    """An assumed role needs its ARN."""
    error = failure(aws, Access(account=aws.account(ONE, AccessMethod.ASSUMED_ROLE)), window)
    assert error.detail == f"No role is stored for account {ONE}."


def test_credentials_sealed_for_another_account_do_not_open(
    simulator: SimulatorProcess, aws: Harness, window: DateRange
) -> None:
    """A sealed blob that was copied to another row is refused before any request."""
    mine, others = aws.simulated_keys(1), aws.simulated_keys(2)
    error = failure(aws, Access(account=mine.account, sealed=others.sealed), window)
    assert error.kind is ErrorKind.CREDENTIALS_UNREADABLE


def test_a_session_token_signs_too(simulator: SimulatorProcess, aws: Harness, window: DateRange) -> None:
    """Stored temporary credentials work until AWS says that they have expired."""
    source = aws.source()
    role = aws.role(THREE, base=aws.simulated_keys(1))
    keys: AccessKeys = source._identities.resolve(role)
    account = aws.account(THREE, AccessMethod.ACCESS_KEYS)
    access = Access(account=account, sealed=aws.vault.seal(THREE, StoredSecrets(access_keys=keys)))
    assert len(source.fetch(access, window, Meter(ApiBudget())).costs) == 8
    simulator.expire_sessions()
    assert failure(aws, access, window).kind is ErrorKind.CREDENTIALS_REJECTED


def test_keys_that_are_proven_are_not_asked_about_again(
    simulator: SimulatorProcess, aws: Harness, window: DateRange
) -> None:
    """A broken STS does not keep an account from its costs, once it has said whose they are."""
    simulator.add_fault(ONE, "http_500", operation="GetCallerIdentity")
    assert failure(aws, aws.simulated_keys(1), window).kind is ErrorKind.TIMEOUT
    assert whose(aws, replace(aws.simulated_keys(1), is_proven=True), window) == {1}


def test_the_pods_identity_is_asked_about_each_time(
    simulator: SimulatorProcess, aws: Harness, window: DateRange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pod may be given another identity from one night to the next."""
    act_as_pod(monkeypatch, 2)
    access = Access(account=aws.account(THREE, AccessMethod.POD_IDENTITY), is_proven=True)
    assert failure(aws, access, window).kind is ErrorKind.WRONG_ACCOUNT


_SESSION = (
    "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIA</AccessKeyId>"
    "<SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken></Credentials>"
    "<AssumedRoleUser><Arn>{}</Arn></AssumedRoleUser></AssumeRoleResult></AssumeRoleResponse>"
)


@pytest.mark.parametrize(
    ("arn", "kind"),
    [
        (f"arn:aws:sts::{TWO}:assumed-role/costs/session", ErrorKind.WRONG_ACCOUNT),
        ("arn:aws:sts::none:assumed-role/costs/session", ErrorKind.MALFORMED_RESPONSE),
        ("costs", ErrorKind.MALFORMED_RESPONSE),
        ("", ErrorKind.MALFORMED_RESPONSE),
    ],
)
def test_a_role_of_another_account_is_refused(
    simulator: SimulatorProcess, aws: Harness, window: DateRange, arn: str, kind: ErrorKind
) -> None:
    """What STS says about the session is believed, not what was asked for."""
    simulator.add_fault(THREE, "body", operation="AssumeRole", body=_SESSION.format(arn))
    assert failure(aws, aws.role(THREE, base=aws.simulated_keys(1)), window).kind is kind


ANSWERS = [
    ("AssumeRole", "<AssumeRoleResponse><AssumeRoleResult/></AssumeRoleResponse>", "contains no credentials"),
    ("GetCallerIdentity", "<A><GetCallerIdentityResult/></A>", "names no account"),
    ("GetCallerIdentity", "this is not XML", "GetCallerIdentity failed: ResponseParserError"),
]


@pytest.mark.parametrize(("operation", "body", "sentence"), ANSWERS)
def test_answers_of_sts_that_are_not_as_documented_are_refused(
    simulator: SimulatorProcess, aws: Harness, window: DateRange, operation: str, body: str, sentence: str
) -> None:
    """STS is read as strictly as Cost Explorer."""
    number = THREE if operation == "AssumeRole" else ONE
    simulator.add_fault(number, "body", operation=operation, body=body)
    access: Any = aws.role(THREE, base=aws.simulated_keys(1)) if number == THREE else aws.simulated_keys(1)
    error = failure(aws, access, window)
    assert error.kind is ErrorKind.MALFORMED_RESPONSE
    assert sentence in error.detail


def test_secrets_are_named_nowhere_in_an_error(
    simulator: SimulatorProcess, aws: Harness, window: DateRange
) -> None:
    """Neither the error nor anything in its chain holds AWS's words or a secret."""
    error = failure(aws, aws.keys(ONE, "AKIASIMULATED0000001", "wrong-secret"), window)
    assert error.__cause__ is None
    assert error.__context__ is None
    assert "wrong-secret" not in str(error)
    assert Secret("wrong-secret").reveal() not in repr(error)
