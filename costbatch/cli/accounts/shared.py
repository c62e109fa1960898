"""What the account commands have in common: the account's argument, and how an account is shown."""

import click

from costbatch.domain.accounts import NO_PROGRESS, Account, Progress, parse_account_id
from costbatch.errors import ErrorKind


class AccountId(click.ParamType[str]):
    """The 12 digits of an AWS account, with or without the console's dashes."""

    name = "aws_account_id"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the 12 digits, or end with a sentence."""
        try:
            return parse_account_id(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


account_argument = click.argument("aws_account_id", type=AccountId(), metavar="AWS_ACCOUNT_ID")


def account_document(account: Account, progress: Progress = NO_PROGRESS) -> dict[str, object]:
    """Return an account as a JSON document; it holds no secret."""
    collected, failing = progress.covered, progress.failing
    return {
        "aws_account_id": account.aws_account_id,
        "name": account.name,
        "status": account.status,
        "access": account.access,
        "partition": account.partition,
        "role_arn": account.role_arn,
        "collected_from": collected.start if collected else None,
        "collected_to": collected.last if collected else None,
        "failing_since": failing.since if failing else None,
        "failing_kind": failing.kind if failing else None,
        "added_at": account.created_at,
    }


def advice_for(kind: str) -> str:
    """Return what to do about a kind of failure."""
    return ErrorKind(kind).advice if kind in set(ErrorKind) else ""
