"""Registers the accounts of a local AWS: `python -m costbatch.demo.register URL`.

URL is where it answers; database and key are the environment's. What is registered already stays as it is.
"""

import os
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from urllib.error import URLError

from costbatch.application.accounts import Registration
from costbatch.cli.exit_status import ExitStatus
from costbatch.config import Settings
from costbatch.domain.accounts import AccessMethod
from costbatch.domain.credentials import AccessKeys, Secret, StoredSecrets
from costbatch.errors import ConfigError, CostbatchError
from costbatch.simulator.client import SimulatorClient
from costbatch.simulator.world import Account, Role
from costbatch.wiring import Wiring


def register_accounts(accounts: Iterable[Account], settings: Settings) -> str:
    """Register the accounts that are not there yet; return a sentence that says how many."""
    stories = Wiring(settings=settings, now=lambda: datetime.now(tz=UTC)).accounts()
    known = {account.aws_account_id for account in stories.list_accounts()}
    new = [account for account in accounts if account.account_id not in known]
    for account in new:
        if account.roles:
            stories.add(_by_role(account, account.roles[0]), _external_id(account.roles[0]))
        else:
            stories.add(_by_keys(account), _access_keys(account))
    return f"Registered {len(new)} accounts; {len(known)} were there already."


def _by_keys(account: Account) -> Registration:
    return Registration(aws_account_id=account.account_id, name=account.name, access=AccessMethod.ACCESS_KEYS)


def _access_keys(account: Account) -> StoredSecrets:
    keys = AccessKeys(
        access_key_id=Secret(account.access_key_id), secret_access_key=Secret(account.secret_access_key)
    )
    return StoredSecrets(access_keys=keys)


def _by_role(account: Account, role: Role) -> Registration:
    """Return the registration of an account whose role another account's keys assume."""
    return Registration(
        aws_account_id=account.account_id,
        name=account.name,
        access=AccessMethod.ASSUMED_ROLE,
        role_arn=f"arn:aws:iam::{account.account_id}:role/{role.name}",
        base=role.trusted_account_ids[0],
    )


def _external_id(role: Role) -> StoredSecrets:
    return StoredSecrets(external_id=Secret(role.external_id) if role.external_id else None)


def main(arguments: Sequence[str]) -> int:
    """Register the accounts of the local AWS at the one argument, its URL; return the exit status."""
    if len(arguments) != 1:
        sys.stderr.write("Usage: python -m costbatch.demo.register URL\n")
        return ExitStatus.USAGE
    try:
        accounts = SimulatorClient(arguments[0]).current_world().accounts
        sentence = register_accounts(accounts, Settings.from_environment(os.environ))
    except ConfigError as error:
        sys.stderr.writelines(f"Error: {problem}\n" for problem in error.problems)
        return ExitStatus.USAGE
    except (CostbatchError, URLError) as error:
        sys.stderr.write(f"Error: {error}\n")
        return ExitStatus.TOTAL_FAILURE
    sys.stdout.write(f"{sentence}\n")
    return ExitStatus.OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
