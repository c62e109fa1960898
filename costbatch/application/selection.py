"""Which accounts are meant: those that a run works on, also one that is resumed, and those that are named."""

from collections.abc import Iterable, Sequence

from costbatch.application.ports import Transaction
from costbatch.domain.accounts import Account, AccountStatus, parse_account_id
from costbatch.domain.runs import ItemState, Run, RunRequest
from costbatch.errors import ConfigError


def select_accounts(tx: Transaction, aws_account_ids: Sequence[str]) -> list[Account]:
    """Return the active accounts, or those asked for.

    Raises:
        ConfigError: one that was asked for is unknown or not active.

    """
    if not aws_account_ids:
        return active_accounts(tx, ())
    found = {account.aws_account_id: account for account in tx.accounts.list_all()}
    problems = []
    for aws_account_id in aws_account_ids:
        account = found.get(aws_account_id)
        if account is None or account.status is AccountStatus.REMOVED:
            problems.append(
                f"Account {aws_account_id} is not registered; add it with `costbatch accounts add`."
            )
        elif account.status is AccountStatus.PAUSED:
            problems.append(
                f"Account {account} is paused; resume it with `costbatch accounts resume {aws_account_id}`."
            )
    if problems:
        raise ConfigError(*problems)
    return [found[aws_account_id] for aws_account_id in aws_account_ids]


def active_accounts(tx: Transaction, aws_account_ids: Sequence[str]) -> list[Account]:
    """Return the active accounts, or those of them that are named."""
    active = tx.accounts.list_all([AccountStatus.ACTIVE])
    return [each for each in active if not aws_account_ids or each.aws_account_id in aws_account_ids]


def find_run(tx: Transaction, key: str, request: RunRequest) -> Run | None:
    """Return the run that a process with this key resumes; None: it begins a new one.

    Raises:
        ConfigError: the run was asked for something else.

    """
    run = tx.runs.find(request.job, key)
    if run is not None:
        run.check_request(request)
    return run


def accounts_left(tx: Transaction, request: RunRequest, resumed: Run | None) -> list[Account]:
    """Return the accounts that a run has still to read; resumed: None: it is new, and has all to read.

    Raises:
        ConfigError: the run is new, and one that was asked for is unknown or not active.

    """
    if resumed is None:
        return select_accounts(tx, request.aws_account_ids)
    done = {each.aws_account_id for each in tx.items.records(resumed) if each.state is ItemState.SUCCEEDED}
    active = active_accounts(tx, request.aws_account_ids)
    return [account for account in active if account.aws_account_id not in done]


def find_account(tx: Transaction, aws_account_id: str, *, lock: bool = False) -> Account:
    """Return an account that is or was registered. lock: as the store's.

    Raises:
        ConfigError: there is none with this id, or it is no id.

    """
    try:
        aws_account_id = parse_account_id(aws_account_id)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    account = tx.accounts.find(aws_account_id, lock=lock)
    if account is None:
        raise ConfigError(_not_registered(aws_account_id))
    return account


def check_registered(tx: Transaction, aws_account_ids: Iterable[str]) -> None:
    """Refuse accounts that were never registered.

    Raises:
        ConfigError: with a sentence for each.

    """
    problems = [_not_registered(each) for each in aws_account_ids if tx.accounts.find(each) is None]
    if problems:
        raise ConfigError(*problems)


def _not_registered(aws_account_id: str) -> str:
    return f"Account {aws_account_id} is not registered; `costbatch accounts list` shows all that are."
