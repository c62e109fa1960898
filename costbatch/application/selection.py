"""Which accounts a run works on."""

from collections.abc import Sequence

from costbatch.application.ports import Transaction
from costbatch.domain.accounts import Account, AccountStatus
from costbatch.errors import ConfigError


def select_accounts(tx: Transaction, aws_account_ids: Sequence[str]) -> list[Account]:
    """Return the active accounts, or those asked for.

    Raises:
        ConfigError: one that was asked for is unknown or not active.

    """
    if not aws_account_ids:
        return tx.accounts.list_all([AccountStatus.ACTIVE])
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
