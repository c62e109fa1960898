"""Registers the demonstration's accounts: `python -m costbatch.demo.register`.

Database and key are the environment's. What is registered already stays as it is.
"""

import os
import sys
from collections.abc import Iterable
from datetime import UTC, datetime

from costbatch.application.registration import Registration
from costbatch.bootstrap import Bootstrap
from costbatch.cli.exit_status import ExitStatus
from costbatch.config import Settings
from costbatch.domain.accounts import AccessMethod
from costbatch.domain.credentials import AccessKeys, Secret, StoredSecrets
from costbatch.errors import ConfigError, CostbatchError
from costbatch.simulator.demo_world import demo_world
from costbatch.simulator.world import Account


def register_accounts(accounts: Iterable[Account], settings: Settings) -> str:
    """Register the accounts that are not there yet; return a sentence that says how many."""
    use_cases = Bootstrap(settings=settings, now=lambda: datetime.now(tz=UTC)).accounts()
    known = {account.aws_account_id for account, _ in use_cases.list_accounts()}
    new = [account for account in accounts if account.account_id not in known]
    for account in new:
        if account.roles:
            # Another account's keys assume it.
            role = account.roles[0]
            registration = Registration(
                aws_account_id=account.account_id,
                name=account.name,
                access=AccessMethod.ASSUMED_ROLE,
                role_arn=f"arn:aws:iam::{account.account_id}:role/{role.name}",
                base=role.trusted_account_ids[0],
            )
            stored = StoredSecrets(external_id=Secret(role.external_id) if role.external_id else None)
        else:
            registration = Registration(
                aws_account_id=account.account_id, name=account.name, access=AccessMethod.ACCESS_KEYS
            )
            key_id, secret = Secret(account.access_key_id), Secret(account.secret_access_key)
            stored = StoredSecrets(access_keys=AccessKeys(access_key_id=key_id, secret_access_key=secret))
        use_cases.add(registration, stored)
    return f"Registered {len(new)} accounts; {len(known)} were there already."


def main() -> int:
    """Register the demonstration's accounts in the database of the environment; return the exit status."""
    try:
        world = demo_world(datetime.now(tz=UTC).date())
        sentence = register_accounts(world.accounts, Settings.from_environment(os.environ))
    except ConfigError as error:
        sys.stderr.writelines(f"Error: {problem}\n" for problem in error.problems)
        return ExitStatus.USAGE
    except CostbatchError as error:
        sys.stderr.write(f"Error: {error}\n")
        return ExitStatus.TOTAL_FAILURE
    sys.stdout.write(f"{sentence}\n")
    return ExitStatus.OK


if __name__ == "__main__":
    sys.exit(main())
