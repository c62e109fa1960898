"""The accounts store on a real PostgreSQL."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from threading import Thread
from time import sleep

import pytest

from costbatch.adapters.postgres import PostgresDatabase
from costbatch.application.accounts import Accounts
from costbatch.application.registration import Registration
from costbatch.domain.accounts import AccessMethod, Account, AccountStatus, Failing, Partition, Progress
from costbatch.domain.collection import COLLECT
from costbatch.domain.credentials import AccessKeys, SealedCredentials, Secret, StoredSecrets
from costbatch.domain.periods import DateRange
from costbatch.errors import ConfigError
from tests.postgres.conftest import Query
from tests.support.database_rows import (
    NOW,
    account_id,
    add_account,
    assumed_role,
    cost_row,
    new_account,
    prepare_months,
    store,
)
from tests.support.fakes import FakeVault

SEALED = SealedCredentials("key-1", bytes(range(256)))


def test_an_account_reads_back_as_it_was_added(database: PostgresDatabase) -> None:
    """Every field survives the round trip, leading zeros too."""
    with database.transaction() as tx:
        added = tx.accounts.add(replace(assumed_role(7), partition=Partition.CHINA), now=NOW)
        found = tx.accounts.find("000000000007")
    assert found == added
    assert (added.status, added.access, added.partition, added.created_at) == (
        AccountStatus.ACTIVE,
        AccessMethod.ASSUMED_ROLE,
        Partition.CHINA,
        NOW,
    )
    assert (added.role_arn, added.base_account_id) == ("arn:aws:iam::000000000007:role/costbatch", None)


def test_an_unknown_account_is_not_found(database: PostgresDatabase) -> None:
    """Looking for nothing finds nothing."""
    with database.transaction() as tx:
        assert tx.accounts.find(account_id(1)) is None


def test_an_account_cannot_be_added_twice(database: PostgresDatabase) -> None:
    """The second one is refused with a sentence, and the first one stays as it is."""
    first = add_account(database, name="first")
    with pytest.raises(ConfigError, match=r"^Account 000000000001 is already registered\.$"):
        add_account(database, name="second")
    with database.transaction() as tx:
        assert tx.accounts.list_all() == [first]


@pytest.mark.parametrize("history", ["new", "removed"])
def test_of_two_adds_at_once_one_is_refused(
    database: PostgresDatabase, other: PostgresDatabase, history: str
) -> None:
    """Both looked and found nothing; the later one waits for the earlier and gets a clean sentence."""
    if history == "removed":
        removed = add_account(database)
        with database.transaction() as tx:
            tx.accounts.set_status(removed, AccountStatus.REMOVED, now=NOW)
    refused: list[ConfigError] = []

    def add_as_well() -> None:
        try:
            add_account(other, name="late")
        except ConfigError as error:
            refused.append(error)

    with database.transaction() as tx:
        tx.accounts.add(new_account(name="early"), now=NOW)
        thread = Thread(target=add_as_well)
        thread.start()
        sleep(0.2)
        assert thread.is_alive()
    thread.join(10)
    assert len(refused) == 1
    with database.transaction() as tx:
        assert [account.name for account in tx.accounts.list_all()] == ["early"]


@pytest.mark.parametrize("command", ["label", "resume", "set_credentials", "add"])
def test_a_command_waits_for_another_one_of_the_account(
    database: PostgresDatabase, other: PostgresDatabase, query: Query, command: str
) -> None:
    """It sees the account as the other one left it: no label is lost, and what was removed stays removed."""
    account = add_account(database, access=AccessMethod.ACCESS_KEYS)
    use_cases = Accounts(database=other, vault=FakeVault(), now=lambda: NOW)
    keys = AccessKeys(access_key_id=Secret("AKIA" + "A" * 16), secret_access_key=Secret("s"))
    role = Registration(
        aws_account_id=account_id(2),
        name="second",
        access=AccessMethod.ASSUMED_ROLE,
        role_arn=f"arn:aws:iam::{account_id(2)}:role/r",
        base=account_id(1),
    )
    commands: dict[str, Callable[[], Account]] = {
        "label": lambda: use_cases.label(account_id(1), ["env=prod"]),
        "resume": lambda: use_cases.resume(account_id(1)),
        "set_credentials": lambda: use_cases.set_credentials(account_id(1), StoredSecrets(access_keys=keys)),
        "add": lambda: use_cases.add(role),
    }
    with database.transaction() as tx:
        tx.accounts.set_status(account, AccountStatus.PAUSED, now=NOW)
    with ThreadPoolExecutor(1) as pool:
        with database.transaction() as tx:
            if command == "label":
                tx.accounts.set_labels(account, (("team", "payments"),), now=NOW)
            else:
                tx.accounts.set_status(account, AccountStatus.REMOVED, now=NOW)
            waiting = pool.submit(commands[command])
            sleep(0.2)
            assert not waiting.done()
        error = waiting.exception(timeout=10)
    if command == "label":
        assert error is None
        assert query("SELECT labels FROM accounts") == [({"env": "prod", "team": "payments"},)]
    else:
        assert "was removed" in str(error)
        assert query("SELECT status FROM accounts") == [("removed",)]
        assert query("SELECT count(*) FROM account_credentials") == [(0,)]


def test_a_removed_account_comes_back_with_its_history(database: PostgresDatabase) -> None:
    """The row, its progress and the costs are the old ones; when it was added and what was given are new."""
    prepare_months(database)
    account = add_account(database)
    store(database, account, [cost_row()])
    days = DateRange(date(2026, 1, 1), date(2026, 3, 10))
    with database.transaction() as tx:
        progress = Progress(covered=days, failing=Failing(since=NOW, kind="throttled"))
        tx.progress.save(COLLECT, {account.id: progress})
        tx.accounts.set_status(account, AccountStatus.REMOVED, now=NOW)
        later = NOW + timedelta(days=1)
        back = tx.accounts.add(replace(assumed_role(1), name="reborn"), now=later)
        assert tx.costs.first_days({back.id: ["USD"]}) == {(back.id, "USD"): date(2026, 3, 9)}
        assert tx.progress.load(COLLECT) == {account.id: progress}
    assert (back.id, back.created_at) == (account.id, later)
    assert (back.name, back.status, back.access) == (
        "reborn",
        AccountStatus.ACTIVE,
        AccessMethod.ASSUMED_ROLE,
    )


def test_accounts_are_listed_by_id_and_status(database: PostgresDatabase) -> None:
    """The order is that of the 12 digits; a status not asked for is left out."""
    third, first, second = (add_account(database, number) for number in (3, 1, 2))
    with database.transaction() as tx:
        tx.accounts.set_status(second, AccountStatus.PAUSED, now=NOW)
        assert [account.id for account in tx.accounts.list_all()] == [first.id, second.id, third.id]
        active = tx.accounts.list_all([AccountStatus.ACTIVE])
        assert [account.id for account in active] == [first.id, third.id]
        assert tx.accounts.list_all([]) == []


def test_credentials_come_back_byte_for_byte_and_are_replaced(database: PostgresDatabase) -> None:
    """Any bytes survive; saving again leaves only the newer ones."""
    account = add_account(database)
    newer = SealedCredentials("key-2", b"\x00\xff\\x'")
    with database.transaction() as tx:
        assert tx.accounts.load_access(account).sealed is None
        tx.accounts.save_credentials(account, SEALED, now=NOW)
        assert tx.accounts.load_access(account).sealed == SEALED
        tx.accounts.save_credentials(account, newer, now=NOW)
        assert tx.accounts.load_access(account).sealed == newer


def test_removing_erases_the_credentials_and_pausing_does_not(
    database: PostgresDatabase, query: Query
) -> None:
    """A removed account leaves no secret behind; the row itself stays."""
    account = add_account(database)
    with database.transaction() as tx:
        tx.accounts.save_credentials(account, SEALED, now=NOW)
        tx.accounts.set_status(account, AccountStatus.PAUSED, now=NOW)
    assert query("SELECT key_id FROM account_credentials") == [("key-1",)]
    with database.transaction() as tx:
        tx.accounts.set_status(account, AccountStatus.REMOVED, now=NOW)
        found = tx.accounts.find(account.aws_account_id)
    assert query("SELECT key_id FROM account_credentials") == []
    assert found is not None
    assert found.status is AccountStatus.REMOVED


def test_access_is_the_whole_chain_of_accounts(database: PostgresDatabase) -> None:
    """A role's base may itself be reached by a role; each link carries its own credentials."""
    with database.transaction() as tx:
        root = tx.accounts.add(new_account(1, access=AccessMethod.ACCESS_KEYS), now=NOW)
        middle = tx.accounts.add(assumed_role(2, root), now=NOW)
        leaf = tx.accounts.add(assumed_role(3, middle), now=NOW)
        tx.accounts.save_credentials(root, SEALED, now=NOW)
        access = tx.accounts.load_access(leaf)
    assert (access.account, access.sealed) == (leaf, None)
    assert access.base is not None
    assert (access.base.account, access.base.sealed) == (middle, None)
    assert access.base.base is not None
    assert (access.base.base.account, access.base.base.sealed) == (root, SEALED)
    assert access.base.base.base is None


def test_a_circle_made_by_hand_does_not_hang(database: PostgresDatabase, query: Query) -> None:
    """The chain ends where it would begin again."""
    with database.transaction() as tx:
        first = tx.accounts.add(assumed_role(1), now=NOW)
        second = tx.accounts.add(assumed_role(2, first), now=NOW)
    query("UPDATE accounts SET base_account_id = :base WHERE id = :id", base=second.id, id=first.id)
    with database.transaction() as tx:
        access = tx.accounts.load_access(replace(first, base_account_id=second.id))
    assert access.base is not None
    assert (access.account.id, access.base.account.id, access.base.base) == (first.id, second.id, None)


def test_dependents_are_those_that_are_not_removed(database: PostgresDatabase) -> None:
    """A removed account no longer needs its base."""
    base = add_account(database, 1)
    with database.transaction() as tx:
        paused = tx.accounts.add(assumed_role(2, base), now=NOW)
        removed = tx.accounts.add(assumed_role(3, base), now=NOW)
        tx.accounts.add(assumed_role(4), now=NOW)
        tx.accounts.set_status(paused, AccountStatus.PAUSED, now=NOW)
        tx.accounts.set_status(removed, AccountStatus.REMOVED, now=NOW)
        assert [account.id for account in tx.accounts.dependents(base)] == [paused.id]


def test_credentials_are_counted_by_key(database: PostgresDatabase) -> None:
    """A rotation sees how many credentials each key has sealed."""
    accounts = [add_account(database, number) for number in (1, 2, 3)]
    with database.transaction() as tx:
        assert tx.accounts.credential_key_ids() == {}
        for account, key_id in zip(accounts, ("old", "new", "new"), strict=True):
            tx.accounts.save_credentials(account, replace(SEALED, key_id=key_id), now=NOW)
        assert tx.accounts.credential_key_ids() == {"old": 1, "new": 2}


def test_proof_is_of_the_very_credentials_that_were_tried(database: PostgresDatabase) -> None:
    """New credentials are not proven, not even when the proof of the old ones comes late."""
    account, newer = add_account(database), replace(SEALED, sealed=b"newer")
    with database.transaction() as tx:
        tx.accounts.save_credentials(account, SEALED, now=NOW)
        tried = tx.accounts.load_access(account)
        assert not tried.is_proven
        tx.accounts.save_proven([tried], now=NOW)
        assert tx.accounts.load_access(account).is_proven
        tx.accounts.save_credentials(account, newer, now=NOW)
        assert not tx.accounts.load_access(account).is_proven
        tx.accounts.save_proven([tried], now=NOW)
        assert not tx.accounts.load_access(account).is_proven
