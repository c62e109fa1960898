"""``costbatch accounts add``."""

from dataclasses import dataclass

import click

from costbatch.application.registration import Registration
from costbatch.cli.accounts.secrets import (
    ask_for_secrets,
    no_verify_option,
    read_external_id,
    read_secrets,
    secrets_file_option,
)
from costbatch.cli.accounts.shared import AccountId, account_argument, account_document
from costbatch.cli.context import Context, pass_context
from costbatch.cli.lazy import example
from costbatch.cli.output import output_option, tell
from costbatch.domain.accounts import AccessMethod, Partition
from costbatch.domain.credentials import StoredSecrets
from costbatch.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessOptions:
    """The options that say how the account is reached and where its secrets are."""

    access_key: bool
    role_arn: str | None
    pod_identity: bool
    base_account: str | None
    external_id_stdin: bool
    external_id_file: str | None
    secrets_file: str | None

    def access(self) -> AccessMethod:
        """Return the one access method that the options name."""
        chosen = [
            method
            for method, is_chosen in (
                (AccessMethod.ACCESS_KEYS, self.access_key),
                (AccessMethod.ASSUMED_ROLE, self.role_arn is not None),
                (AccessMethod.POD_IDENTITY, self.pod_identity),
            )
            if is_chosen
        ]
        if len(chosen) > 1:
            raise ConfigError("Give only one of --access-key, --role-arn and --pod-identity.")
        method = chosen[0] if chosen else AccessMethod.ACCESS_KEYS
        of_roles = self.base_account or self.external_id_stdin or self.external_id_file
        if of_roles and method is not AccessMethod.ASSUMED_ROLE:
            raise ConfigError("--base-account and --external-id-… are for roles; give --role-arn too.")
        return method

    def secrets(self, context: Context, method: AccessMethod) -> StoredSecrets:
        """Return the secrets from the one place that the options name, or from a person."""
        external_id_file = "-" if self.external_id_stdin else self.external_id_file
        sources = [self.secrets_file, self.external_id_file, self.external_id_stdin]
        if sum(map(bool, sources)) > 1:
            raise ConfigError("Give only one of --secrets-file, --external-id-file and --external-id-stdin.")
        if self.secrets_file:
            return read_secrets(self.secrets_file)
        if external_id_file:
            return read_external_id(external_id_file)
        if method is AccessMethod.ACCESS_KEYS:
            return ask_for_secrets(context, method)
        return StoredSecrets()


@click.command(
    epilog=example(
        "costbatch accounts add 123456789012 --name production",
        "costbatch accounts add 123456789012 --name production --secrets-file - < credentials.json",
        "costbatch accounts add 123456789012 --name production \\",
        "  --role-arn arn:aws:iam::123456789012:role/costbatch --external-id-file external-id",
        "costbatch accounts add 123456789012 --name tools --pod-identity",
    )
)
@account_argument
@click.option("--name", required=True, help="What people call the account.")
@click.option("--access-key", is_flag=True, help="Reach it with an access key. This is the default.")
@click.option("--role-arn", metavar="ARN", help="Reach it by assuming this role.")
@click.option("--pod-identity", is_flag=True, help="Reach it with the pod's own identity; nothing is stored.")
@click.option(
    "--base-account",
    type=AccountId(),
    metavar="AWS_ACCOUNT_ID",
    help="The registered account whose credentials assume the role. By default the pod's own identity does.",
)
@click.option("--external-id-stdin", is_flag=True, help="Read the role's external id from standard input.")
@click.option("--external-id-file", metavar="FILE", help="Read the role's external id from this file.")
@secrets_file_option
@click.option(
    "--partition",
    type=click.Choice([partition.value for partition in Partition]),
    help="AWS's cloud in which the account lies. By default the role's, or aws.",
)
@no_verify_option
@output_option
@pass_context
def add(
    context: Context,
    /,
    aws_account_id: str,
    name: str,
    partition: str | None,
    output: str,
    *,
    no_verify: bool,
    **options: object,
) -> None:
    """Register an account, so that the next run collects it.

    An access key is asked for and not shown, or read with --secrets-file; secrets are never
    taken from the command line, where other users of the machine could see them. An account
    that was removed comes back with its history.

    Before a stored key or a role of a registered account is accepted, AWS says whose it is, which
    costs nothing. If AWS cannot be asked, nothing is registered; --no-verify skips this.
    """
    ways = AccessOptions(**options)  # type: ignore[arg-type] # click gives every option by its name
    method = ways.access()
    registration = Registration(
        aws_account_id=aws_account_id,
        name=name,
        access=method,
        partition=Partition(partition) if partition else None,
        role_arn=ways.role_arn,
        base=ways.base_account,
    )
    accounts = context.bootstrap().accounts(verify=not no_verify)
    accounts.check_new(registration)
    account = accounts.add(registration, ways.secrets(context, method))
    tell(f"Account {account} is registered; the next run collects it.", account_document(account), output)
