"""Managing accounts, against a database in memory."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest

from costbatch.application.accounts import Accounts
from costbatch.application.anomalies import Anomalies, Remark
from costbatch.application.registration import Registration
from costbatch.domain.accounts import AccessMethod, AccountStatus, Failing, Partition, Progress
from costbatch.domain.adaptive_memory import Memory
from costbatch.domain.anomalies import AnomalyState
from costbatch.domain.credentials import AccessKeys, Secret, StoredSecrets
from costbatch.domain.detection import Rule
from costbatch.domain.routing import Route
from costbatch.domain.second_opinion import IMPORT
from costbatch.errors import AccountError, ConfigError, ErrorKind
from tests.support.factories import make_account, make_anomaly
from tests.support.fake_store import FakeStore
from tests.support.fakes import FakeDatabase, FakeVault
from tests.support.run_harness import harness_with

NOW = datetime(2025, 3, 10, 7, tzinfo=UTC)
ID, OTHER = "111111111111", "222222222222"
ACCESS_KEY_ID = "AKIA" + "ABCDEFGHIJKLMNOP"
BY_KEY = Registration(aws_account_id=ID, name="production", access=AccessMethod.ACCESS_KEYS)
BY_POD = replace(BY_KEY, access=AccessMethod.POD_IDENTITY)
BY_ROLE = replace(
    BY_KEY, access=AccessMethod.ASSUMED_ROLE, role_arn="arn:aws:iam::111111111111:role/costbatch"
)


def keys(key_id: str = ACCESS_KEY_ID, secret: str = "s3cr3t/value", token: str = "") -> StoredSecrets:
    """Return an access key."""
    session_token = Secret(token) if token else None
    return StoredSecrets(
        access_keys=AccessKeys(
            access_key_id=Secret(key_id), secret_access_key=Secret(secret), session_token=session_token
        )
    )


def external_id(text: str = "partner-7") -> StoredSecrets:
    """Return the external id of a role."""
    return StoredSecrets(external_id=Secret(text))


@pytest.fixture
def database() -> FakeDatabase:
    """Return an empty database."""
    return FakeDatabase()


@pytest.fixture
def accounts(database: FakeDatabase) -> Accounts:
    """Return the use cases on that database."""
    return Accounts(database=database, vault=FakeVault(), now=lambda: NOW)


def refusal(accounts: Accounts, registration: Registration, secrets: StoredSecrets | None = None) -> str:
    """Return the sentence with which a registration is refused, having changed nothing."""
    before = accounts.list_accounts()
    with pytest.raises(ConfigError) as caught:
        accounts.add(registration, secrets or StoredSecrets())
    assert accounts.list_accounts() == before
    return str(caught.value)


def test_an_account_and_its_credentials_are_stored_together(
    accounts: Accounts, database: FakeDatabase
) -> None:
    """One transaction holds both, so nothing is ever half-done."""
    account = accounts.add(BY_KEY, keys())
    assert (account.aws_account_id, account.name, account.created_at) == (ID, "production", NOW)
    assert account.access is AccessMethod.ACCESS_KEYS
    assert FakeVault().open(ID, database.accounts.sealed[account.id]) == keys()
    assert database.transactions == 1


def test_without_a_key_nothing_is_stored(database: FakeDatabase) -> None:
    """An account whose credentials could not be sealed is not registered."""
    keyless = Accounts(database=database, vault=None, now=lambda: NOW)
    assert refusal(keyless, BY_KEY, keys()).startswith("ENCRYPTION_KEY is not set")
    assert keyless.add(BY_POD).access is AccessMethod.POD_IDENTITY


def test_an_account_is_checked_before_its_secrets_are_asked_for(database: FakeDatabase) -> None:
    """Duplicates and a missing key are reported before a secret is typed."""
    keyless = Accounts(database=database, vault=None, now=lambda: NOW)
    with pytest.raises(ConfigError, match="ENCRYPTION_KEY is not set"):
        keyless.check_new(BY_KEY)
    keyless.check_new(BY_POD)
    keyless.add(BY_POD)
    with pytest.raises(ConfigError, match="is already registered"):
        keyless.check_new(BY_POD)


def test_nothing_is_done_on_a_schema_that_is_not_ours(accounts: Accounts, database: FakeDatabase) -> None:
    """The sentence of the database is passed on as it is."""
    database.schema_problem = "Run `costbatch db upgrade`."
    with pytest.raises(ConfigError, match="Run `costbatch db upgrade`"):
        accounts.list_accounts()


def test_a_registered_account_is_not_registered_again(accounts: Accounts) -> None:
    """The sentence names it and the command that was perhaps meant."""
    accounts.add(BY_KEY, keys())
    sentence = refusal(accounts, BY_KEY, keys())
    assert sentence.startswith(f"Account {ID} (production) is already registered.")
    assert f"set-credentials {ID}" in sentence


def test_a_removed_account_comes_back_in_its_row(accounts: Accounts) -> None:
    """Its history belongs to the row."""
    first = accounts.add(BY_KEY, keys())
    accounts.remove(ID)
    again = accounts.add(replace(BY_POD, name="again"))
    assert (again.id, again.name, again.status) == (first.id, "again", AccountStatus.ACTIVE)


@pytest.mark.parametrize("given", ["12345678901", "1234567890123", "x", ""])
def test_an_account_id_has_12_digits(accounts: Accounts, given: str) -> None:
    """A digit too few is the commonest mistake."""
    assert "it must have 12 digits" in refusal(accounts, replace(BY_POD, aws_account_id=given))


@pytest.mark.parametrize("name", ["", "  ", "x" * 201, "a\x1b[31m"])
def test_a_name_is_short_and_printable(accounts: Accounts, name: str) -> None:
    """It is shown on terminals."""
    assert "1 to 200 printable characters" in refusal(accounts, replace(BY_POD, name=name))


def test_a_role_needs_no_secret_and_takes_an_external_id(accounts: Accounts, database: FakeDatabase) -> None:
    """The pod's own identity assumes it if no base is named."""
    account = accounts.add(BY_ROLE)
    assert (account.role_arn, account.base_account_id, database.accounts.sealed) == (
        BY_ROLE.role_arn,
        None,
        {},
    )
    accounts.set_credentials(ID, external_id())
    assert FakeVault().open(ID, database.accounts.sealed[account.id]) == external_id()


def test_the_partition_comes_from_the_role(accounts: Accounts) -> None:
    """An ARN says it already."""
    chinese = replace(BY_ROLE, role_arn="arn:aws-cn:iam::111111111111:role/costbatch")
    assert accounts.add(chinese).partition is Partition.CHINA


@pytest.mark.parametrize(
    ("registration", "words"),
    [
        (replace(BY_ROLE, role_arn="arn:aws:iam::111111111111:user/x"), "is not the ARN of an IAM role"),
        (
            replace(BY_ROLE, role_arn=f"arn:aws:iam::{OTHER}:role/x"),
            f"belongs to account {OTHER}, not to {ID}",
        ),
        (replace(BY_ROLE, partition=Partition.CHINA), "is in the partition aws, not in aws-cn"),
        (replace(BY_ROLE, role_arn=None), "A role ARN is required"),
        (replace(BY_POD, role_arn=BY_ROLE.role_arn), "and not allowed otherwise"),
        (replace(BY_POD, base=OTHER), "A base account is for roles only"),
        (replace(BY_ROLE, base=OTHER), f"Account {OTHER} is not registered"),
        (replace(BY_ROLE, base="x"), "is not an AWS account id"),
        (replace(BY_ROLE, base=ID), "cannot be its own base"),
    ],
)
def test_a_role_that_cannot_work_is_refused(
    accounts: Accounts, registration: Registration, words: str
) -> None:
    """One sentence says which part does not fit."""
    assert words in refusal(accounts, registration)


def test_a_role_can_be_assumed_with_another_accounts_credentials(accounts: Accounts) -> None:
    """The base is registered; the details name it."""
    base = accounts.add(replace(BY_KEY, aws_account_id=OTHER, name="payer"), keys())
    account = accounts.add(replace(BY_ROLE, base=OTHER))
    assert account.base_account_id == base.id
    assert accounts.show(ID).base == base


def test_a_base_of_another_partition_is_refused(accounts: Accounts) -> None:
    """Credentials are valid in one partition only."""
    accounts.add(replace(BY_KEY, aws_account_id=OTHER, partition=Partition.GOVCLOUD), keys())
    assert "cannot assume a role in aws" in refusal(accounts, replace(BY_ROLE, base=OTHER))


def test_a_removed_base_is_refused(accounts: Accounts) -> None:
    """Its credentials are erased."""
    accounts.add(replace(BY_KEY, aws_account_id=OTHER), keys())
    accounts.remove(OTHER)
    assert "was removed" in refusal(accounts, replace(BY_ROLE, base=OTHER))


def test_a_circle_of_bases_is_refused(accounts: Accounts, database: FakeDatabase) -> None:
    """Even if the rows were changed by hand."""
    first = accounts.add(BY_ROLE)
    accounts.add(replace(BY_ROLE, aws_account_id=OTHER, role_arn=f"arn:aws:iam::{OTHER}:role/x", base=ID))
    database.accounts.rows[first.id] = replace(first, status=AccountStatus.REMOVED)
    assert f"its own credentials come from {ID}" in refusal(accounts, replace(BY_ROLE, base=OTHER))


@pytest.mark.parametrize(
    ("registration", "secrets", "words"),
    [
        (BY_KEY, StoredSecrets(), "An access key is required"),
        (BY_KEY, external_id(), "An access key is required"),
        (BY_ROLE, keys(), "A role takes only an external id"),
        (BY_POD, keys(), "reached with the pod's own identity"),
        (BY_ROLE, external_id("x"), "An external id must have 2 to 1224"),
        (BY_ROLE, external_id("two words"), "An external id must have 2 to 1224"),
        (BY_KEY, keys(secret="  "), "The secret access key is empty."),
        (BY_KEY, keys("akia"), "The access key id is invalid"),
        (BY_KEY, keys("abc/def+ghi", ACCESS_KEY_ID), "look swapped"),
        (BY_KEY, keys(secret="abc def"), "contains a space"),
        (BY_KEY, keys("ASIA" + "ABCDEFGHIJKLMNOP"), "is temporary"),
    ],
)
def test_implausible_secrets_are_refused_without_showing_them(
    accounts: Accounts, registration: Registration, secrets: StoredSecrets, words: str
) -> None:
    """The sentence says what is wrong with them, not what they are."""
    sentence = refusal(accounts, registration, secrets)
    assert words in sentence
    assert ACCESS_KEY_ID not in sentence


def test_a_temporary_key_with_its_token_is_taken(accounts: Accounts) -> None:
    """It works for hours, which is enough for a try."""
    assert accounts.add(BY_KEY, keys("ASIA" + "ABCDEFGHIJKLMNOP", token="token")).name == "production"


def test_the_list_leaves_the_removed_out_unless_they_are_asked_for(accounts: Accounts) -> None:
    """What is collected, or could be again, comes first to mind."""
    for digit in "123":
        accounts.add(replace(BY_POD, aws_account_id=digit * 12))
    accounts.pause("2" * 12)
    accounts.remove("3" * 12)
    assert [account.aws_account_id[0] for account, _ in accounts.list_accounts()] == ["1", "2"]
    assert [one.aws_account_id[0] for one, _ in accounts.list_accounts([AccountStatus.REMOVED])] == ["3"]


def test_the_details_say_whether_the_key_opens_the_credentials(
    accounts: Accounts, database: FakeDatabase
) -> None:
    """True, false, or unknown without a key; nothing if there are none."""
    accounts.add(BY_KEY, keys())
    accounts.add(replace(BY_POD, aws_account_id=OTHER))
    other_key = Accounts(database=database, vault=FakeVault("99998888"), now=lambda: NOW)
    no_key = Accounts(database=database, vault=None, now=lambda: NOW)
    assert [stories.show(ID).opens for stories in (accounts, other_key, no_key)] == [True, False, None]
    assert accounts.show(ID).key_id == "11112222"
    assert (accounts.show(OTHER).key_id, accounts.show(OTHER).opens) == (None, None)


def test_pausing_and_resuming_set_the_status(accounts: Accounts) -> None:
    """Doing it twice is the same as doing it once."""
    accounts.add(BY_POD)
    assert [accounts.pause(ID).status, accounts.pause(ID).status] == [AccountStatus.PAUSED] * 2
    assert [accounts.resume(ID).status, accounts.show(ID).account.status] == [AccountStatus.ACTIVE] * 2


def test_removing_erases_the_credentials_and_keeps_the_row(
    accounts: Accounts, database: FakeDatabase
) -> None:
    """History outlives access; what a detector has learned does not."""
    row = accounts.add(BY_KEY, keys()).id
    memory = Memory(version="1/x", newest=date(2026, 3, 1), snapshot=None, mornings=b"x")
    database.memories.rows = {(row, "USD"): memory, (row + 1, "USD"): memory}
    assert accounts.remove(ID).status is AccountStatus.REMOVED
    assert database.accounts.sealed == {}
    assert database.memories.rows == {(row + 1, "USD"): memory}
    assert accounts.show(ID).account.status is AccountStatus.REMOVED


@pytest.mark.parametrize("denials", [0, 2])
def test_a_removed_account_does_not_fail_and_its_recovery_is_still_reported(denials: int) -> None:
    """Its alert is open at the receivers: only the next success after it is added again can end it.

    If it fails again before that, this is told once, as of an account that is new. Until then it is shown
    as one that does not fail, as the doctor shows it.
    """
    harness = harness_with(1, 2)
    denied = AccountError(ErrorKind.ACCESS_DENIED, "No.")
    harness.source.answers = {1: [*[denied] * (1 + denials), None]}
    harness.collect(key="night 1")
    accounts = Accounts(database=harness.store, vault=None, now=lambda: harness.now)
    removed = accounts.remove("000000000001")
    assert accounts.progress(removed).failing is None
    assert [progress.failing for _, progress in accounts.list_accounts([AccountStatus.REMOVED])] == [None]
    harness.now += timedelta(days=100)
    added = accounts.add(replace(BY_POD, aws_account_id=removed.aws_account_id))
    assert accounts.progress(added).failing is None
    assert [each.failing for _, each in accounts.list_accounts()] == [None, None]
    since = harness.now + timedelta(days=1)
    for n in range(denials):
        harness.now += timedelta(days=1)
        harness.collect(key=f"denied {n}")
        assert accounts.progress(added).failing == Failing(since=since, kind=ErrorKind.ACCESS_DENIED)
    harness.collect(key="accepted")
    types = [each for each in harness.event_types if each != "run.completed"]
    assert types == [*["account.failed"] * (2 if denials else 1), "account.recovered"]


def test_an_account_fails_since_it_was_added_for_the_last_time(
    accounts: Accounts, database: FakeDatabase
) -> None:
    """In every job; what was before is neither shown nor listed."""
    row = accounts.add(BY_POD).id
    for since, is_shown in ((NOW - timedelta(days=1), False), (NOW, True)):
        failing = Progress(failing=Failing(since=since, kind="throttled"))
        database.progress.rows, database.progress.discovery = {row: failing}, {row: failing}
        database.progress.others = {"scan": {row: failing}}
        shown = accounts.show(ID)
        assert shown.progress.failing == (failing.failing if is_shown else None)
        jobs = ("collect", "discover", "scan") if is_shown else ()
        assert shown.failing == dict.fromkeys(jobs, failing.failing)
        assert accounts.list_accounts() == [(shown.account, shown.progress)]


def test_an_import_is_no_job_that_can_fail(accounts: Accounts, database: FakeDatabase) -> None:
    """It notes when it last asked AWS, and why it stopped, in the place of a failure."""
    row = accounts.add(BY_POD).id
    asked = Progress(failing=Failing(since=NOW, kind="api_cost_cap"))
    database.progress.others = {IMPORT: {row: asked}}
    assert accounts.show(ID).failing == {}


def test_removing_an_account_resolves_its_open_anomalies() -> None:
    """With an event of what was heard of; what is silent has none, and other accounts keep theirs."""
    store = FakeStore()
    store.tables.accounts.rows = {row: make_account(row) for row in (1, 2)}
    open_, silent, other = (
        make_anomaly(id=UUID(int=n), account_id=row) for n, row in ((1, 1), (2, 1), (3, 2))
    )
    silent = replace(silent, service="Amazon EC2")
    for each in (open_, silent, other):
        store.tables.anomalies.save(each, run_id=UUID(int=9), now=NOW)
    answering = Anomalies(database=store, rule_of=lambda _: Rule(), routes=(), now=lambda: NOW)
    answering.dismiss(str(silent.id), Remark(author="alice"))
    told = len(store.tables.outbox.events)
    log = Route(sink="log")
    accounts = Accounts(database=store, vault=None, now=lambda: NOW, routes=[log])
    accounts.pause("000000000001")
    assert {each.state for each in store.tables.anomalies.rows.values()} == {AnomalyState.OPEN}
    accounts.remove("000000000001")
    found = store.tables.anomalies.rows
    assert [found[each.id].resolution for each in (open_, silent, other)] == ["removed", "removed", None]
    (event,) = store.tables.outbox.events[told:]
    assert (event.type, event.data["anomaly"]["id"]) == ("anomaly.resolved", str(open_.id))
    assert (event.data["anomaly"]["resolution"], event.data["run_id"]) == ("removed", None)
    assert [sink for id_, sink in store.tables.outbox.posted if id_ == event.id] == ["log"]


def test_a_base_is_not_removed_before_the_roles_that_need_it(accounts: Accounts) -> None:
    """The sentence names them; without them it goes."""
    accounts.add(replace(BY_KEY, aws_account_id=OTHER, name="payer"), keys())
    accounts.add(replace(BY_ROLE, base=OTHER))
    with pytest.raises(ConfigError, match=rf"assume the roles of {ID} \(production\)\. Remove those first"):
        accounts.remove(OTHER)
    accounts.remove(ID)
    assert accounts.remove(OTHER).status is AccountStatus.REMOVED


def test_setting_credentials_replaces_them(accounts: Accounts, database: FakeDatabase) -> None:
    """The old ones are gone."""
    account = accounts.add(BY_KEY, keys())
    accounts.set_credentials(ID, keys(secret="another"))
    assert FakeVault().open(ID, database.accounts.sealed[account.id]) == keys(secret="another")


@pytest.mark.parametrize(
    ("registration", "secrets", "words"),
    [
        (BY_POD, StoredSecrets(), "no credentials to store"),
        (BY_ROLE, StoredSecrets(), "A role takes only an external id"),
        (BY_ROLE, keys(), "A role takes only an external id"),
    ],
)
def test_credentials_that_do_not_fit_the_access_are_refused(
    accounts: Accounts, registration: Registration, secrets: StoredSecrets, words: str
) -> None:
    """How an account is reached does not change by the way."""
    accounts.add(registration)
    with pytest.raises(ConfigError, match=words):
        accounts.set_credentials(ID, secrets)


def test_what_is_not_registered_or_was_removed_cannot_be_changed(accounts: Accounts) -> None:
    """Each sentence says what to do instead."""
    with pytest.raises(ConfigError, match=r"^Account 2{12} is not registered; `costbatch accounts list`"):
        accounts.pause(OTHER)
    accounts.add(BY_POD)
    accounts.remove(ID)
    for story in (accounts.pause, accounts.resume, accounts.remove):
        with pytest.raises(ConfigError, match=r"was removed; `costbatch accounts add 1{12}` restores it"):
            story(ID)
