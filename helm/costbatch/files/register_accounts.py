"""Registers the accounts of the local AWS, as a person would: with `costbatch accounts add`.

Runs in the trial mode's pods before each run; what is registered already stays as it is.
"""
# ruff: noqa: INP001 - the chart mounts this file, nobody imports it

import json
import sys
from contextlib import redirect_stdout
from datetime import UTC, datetime
from io import StringIO
from typing import TYPE_CHECKING

from costbatch.cli import cli
from costbatch.simulator.demo_world import EXTERNAL_ID, demo_world

if TYPE_CHECKING:
    from costbatch.simulator.world import Account


def main() -> None:
    """Register every account that is not there yet."""
    listed = json.loads(costbatch("accounts", "list", "--output", "json"))
    known = {account["aws_account_id"] for account in listed}
    new = [each for each in demo_world(datetime.now(tz=UTC).date()).accounts if each.account_id not in known]
    for account in new:
        secrets, options = access(account)
        arguments = [account.account_id, "--name", account.name, "--secrets-file", "-", *options]
        costbatch("accounts", "add", *arguments, stdin=json.dumps(secrets))
    sys.stdout.write(f"Registered {len(new)} accounts; {len(known)} were there already.\n")


def access(account: "Account") -> tuple[dict[str, str], list[str]]:
    """Return an account's secrets and the options that say what they are."""
    if not account.roles:
        secrets = {
            "access_key_id": account.access_key_id,
            "secret_access_key": account.secret_access_key,
        }
        return secrets, []
    role = account.roles[0]
    arn = f"arn:aws:iam::{account.account_id}:role/{role.name}"
    return {"external_id": EXTERNAL_ID}, ["--role-arn", arn, "--base-account", role.trusted_account_ids[0]]


def costbatch(*arguments: str, stdin: str = "") -> str:
    """Run a command in this process and return what it printed; end with its status where it fails."""
    sys.stdin, output = StringIO(stdin), StringIO()
    with redirect_stdout(output):
        status = cli(arguments, standalone_mode=False)
    if status:
        sys.exit(status)
    return output.getvalue()


if __name__ == "__main__":
    main()
