"""``costbatch accounts``: register AWS accounts and manage them. No command prints a secret."""

from dataclasses import dataclass
from datetime import datetime

import click

from costbatch.application.accounts import AccountDetails
from costbatch.application.registration import Registration
from costbatch.cli.context import Context, asking, pass_context
from costbatch.cli.options import JSON, AccountId, account_argument, example, output_option
from costbatch.cli.output import print_json, print_result, print_table
from costbatch.cli.secrets import prompt_for_secrets, read_external_id, read_secrets
from costbatch.domain.accounts import AccessMethod, Account, AccountStatus, Failing, Partition, Progress
from costbatch.domain.collection import COLLECT
from costbatch.domain.credentials import StoredSecrets
from costbatch.domain.discovery import DISCOVER
from costbatch.domain.jobs import JOBS
from costbatch.errors import ConfigError

_LIST_COLUMNS = ("account", "name", "status", "access", "collected to", "failing since", "why", "labels")

_secrets_file_option = click.option(
    "--secrets-file",
    metavar="FILE",
    help="Read the secrets from this file, or from standard input (-): JSON, a profile of an AWS "
    "credentials file, or an access key as the AWS console or CLI exports it; for a role, the JSON is "
    '{"external_id": "…"}.',
)
_no_verify_option = click.option(
    "--no-verify", is_flag=True, help="Store the credentials without asking AWS which account owns them."
)


@click.group(epilog=example("costbatch accounts add 123456789012 --name production"))
def accounts() -> None:
    """Register and manage AWS accounts."""


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
        """Return the one access method that the options name.

        Raises:
            ConfigError: options that contradict each other.

        """
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
        of_roles = self.base_account or self.external_id_stdin or self.external_id_file is not None
        if of_roles and method is not AccessMethod.ASSUMED_ROLE:
            raise ConfigError("--base-account and --external-id-… are for roles; give --role-arn too.")
        return method

    def secrets(self, context: Context, method: AccessMethod) -> StoredSecrets:
        """Return the secrets from the one source that the options name, or from a prompt.

        Raises:
            ConfigError: more than one source, or one that holds no secrets.

        """
        external_id_file = "-" if self.external_id_stdin else self.external_id_file
        files = [self.secrets_file, self.external_id_file, "-" if self.external_id_stdin else None]
        if sum(file is not None for file in files) > 1:
            raise ConfigError("Give only one of --secrets-file, --external-id-file and --external-id-stdin.")
        if self.secrets_file is not None:
            return read_secrets(self.secrets_file)
        if external_id_file is not None:
            return read_external_id(external_id_file)
        if method is AccessMethod.ACCESS_KEYS:
            return prompt_for_secrets(context, method)
        return StoredSecrets()


@accounts.command(
    short_help="Register an account.",
    epilog=example(
        "costbatch accounts add 123456789012 --name production",
        "costbatch accounts add 123456789012 --name production --secrets-file - < credentials.json",
        "costbatch accounts add 123456789012 --name production \\",
        "  --role-arn arn:aws:iam::123456789012:role/costbatch --external-id-file external-id",
        "costbatch accounts add 123456789012 --name tools --pod-identity",
    ),
)
@account_argument
@click.option("--name", required=True, help="Display name.")
@click.option("--access-key", is_flag=True, help="Use an access key (the default).")
@click.option("--role-arn", metavar="ARN", help="Assume this role.")
@click.option("--pod-identity", is_flag=True, help="Use the pod's own identity; no secret is stored.")
@click.option(
    "--base-account",
    type=AccountId(),
    metavar="AWS_ACCOUNT_ID",
    help="The registered account whose credentials assume the role.  [default: the pod's own identity]",
)
@click.option("--external-id-stdin", is_flag=True, help="Read the role's external id from standard input.")
@click.option("--external-id-file", metavar="FILE", help="Read the role's external id from this file.")
@_secrets_file_option
@click.option(
    "--partition",
    type=click.Choice([partition.value for partition in Partition]),
    help="AWS partition of the account.  [default: the role's, or aws]",
)
@_no_verify_option
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
    """Register an account; the next run collects it.

    An access key is prompted for without echo, or read with --secrets-file. Secrets are never options,
    because other users of the machine can see a command line. Adding a removed account restores its history.

    Before a stored key or a role with a base account is accepted, AWS is asked which account owns it. This is
    free. If AWS cannot be reached, nothing is registered; --no-verify skips the check.
    """
    asked = AccessOptions(**options)  # type: ignore[arg-type] # click gives every option by its name
    method = asked.access()
    registration = Registration(
        aws_account_id=aws_account_id,
        name=name,
        access=method,
        partition=Partition(partition) if partition else None,
        role_arn=asked.role_arn,
        base=asked.base_account,
    )
    use_cases = context.bootstrap().accounts(verify=not no_verify)
    # Before a secret is asked for.
    use_cases.check_new(registration)
    account = use_cases.add(registration, asked.secrets(context, method))
    sentence = f"Account {account} is registered; the next run collects it."
    print_result(sentence, account_document(account, use_cases.progress(account)), output)


@accounts.command(
    "list",
    short_help="List the accounts.",
    epilog=example("costbatch accounts list", "costbatch accounts list --status paused"),
)
@click.option(
    "--status",
    "statuses",
    type=click.Choice([status.value for status in AccountStatus]),
    multiple=True,
    help="Only accounts with this status; may be repeated.  [default: all but removed]",
)
@output_option
@pass_context
def list_accounts(context: Context, statuses: tuple[str, ...], output: str) -> None:
    """List the accounts, how they are reached, whether they are collected, and what fails."""
    use_cases, wanted = context.bootstrap().accounts(), [AccountStatus(status) for status in statuses]
    found = use_cases.list_accounts(wanted)
    discovery = {account.id: each.failing for account, each in use_cases.list_accounts(wanted, job=DISCOVER)}
    if output == JSON:
        print_json([_listed_document(*each, discovery.get(each[0].id)) for each in found])
    elif found:
        rows = [
            (
                account.aws_account_id,
                account.name,
                account.status,
                account.access,
                progress.covered.last if progress.covered else None,
                *_failing_texts(progress.failing, discovery.get(account.id)),
                _labels_text(account),
            )
            for account, progress in found
        ]
        print_table(_LIST_COLUMNS, rows, names=("name",))
    else:
        click.echo("No accounts found; register one with `costbatch accounts add`.")


def _listed_document(account: Account, progress: Progress, discovery: Failing | None) -> dict[str, object]:
    failure = _failure(DISCOVER, discovery)
    return account_document(account, progress) | {
        f"discovery_failing_{name}": failure[name] for name in ("since", "kind")
    }


def _failing_texts(
    collection: Failing | None, discovery: Failing | None
) -> tuple[datetime | None, str | None]:
    """Return since when the account fails, and why; "discovery:" comes before why only discovery does."""
    why = [
        each
        for each in (collection and collection.kind, discovery and f"discovery: {discovery.kind}")
        if each
    ]
    since = [each.since for each in (collection, discovery) if each]
    return min(since, default=None), "; ".join(why) or None


def _labels_text(account: Account) -> str | None:
    return ", ".join(f"{key}={value}" for key, value in account.labels) or None


@accounts.command(short_help="Show one account.", epilog=example("costbatch accounts show 123456789012"))
@account_argument
@output_option
@pass_context
def show(context: Context, aws_account_id: str, output: str) -> None:
    """Show how an account is reached, what is stored of it and why it fails. Secrets are never shown."""
    details = context.bootstrap().accounts().show(aws_account_id)
    discovery = details.discovery
    failures = {job: _failure(job, details.failing.get(job)) for job in {**JOBS, **details.failing}}
    document = {
        **account_document(details.account, details.progress),
        "failing_advice": failures[COLLECT]["advice"],
        "discovered_at": discovery.discovered_at if discovery else None,
        "discovered_from": discovery.source.value if discovery else None,
        "regions": discovery.regions if discovery else None,
        "resources": discovery.resources if discovery else None,
        **{f"discovery_failing_{name}": value for name, value in failures[DISCOVER].items()},
        **{
            f"{job}_failing_{name}": value
            for job in sorted(failures.keys() - {COLLECT, DISCOVER})
            for name, value in failures[job].items()
        },
        "base_account": details.base.aws_account_id if details.base else None,
        "credentials_key_id": details.key_id,
        "credentials": _credentials_text(details),
    }
    if output == JSON:
        print_json(document)
        return
    aws_account_id = details.account.aws_account_id
    document["labels"] = _labels_text(details.account)
    rows = [(name.replace("_", " "), value) for name, value in document.items()]
    print_table(("account", aws_account_id), rows[1:], texts=(aws_account_id,))


def _failure(job: str, failing: Failing | None) -> dict[str, object]:
    """Return since when and why a job fails for an account, and what to do about it."""
    # A job of a later release has no words here.
    advice = JOBS[job].advice_for(failing.kind) if failing and job in JOBS else None
    return {
        "since": failing.since if failing else None,
        "kind": failing.kind if failing else None,
        "advice": advice,
    }


def _credentials_text(details: AccountDetails) -> str:
    if details.is_withheld:
        return "not visible to this database role"
    if details.key_id is None:
        return "none stored"
    if details.opens is None:
        return "not checked, because ENCRYPTION_KEY is not set"
    return (
        "can be decrypted with ENCRYPTION_KEY" if details.opens else "cannot be decrypted with ENCRYPTION_KEY"
    )


@accounts.command(
    short_help="Set and remove an account's labels.",
    epilog=example(
        "costbatch accounts label 123456789012 team=payments env=prod",
        "costbatch accounts label 123456789012 env-",
    ),
)
@account_argument
@click.argument("changes", nargs=-1, required=True, metavar="KEY=VALUE|KEY-...")
@output_option
@pass_context
def label(context: Context, aws_account_id: str, changes: tuple[str, ...], output: str) -> None:
    """Set labels of an account (KEY=VALUE) and remove others (KEY-).

    Events carry the labels that the account has when they are raised. A sink can filter by labels, so that a
    team receives only the events of its own accounts.
    """
    use_cases = context.bootstrap().accounts()
    account = use_cases.label(aws_account_id, changes)
    sentence = f"Account {account} has the labels {_labels_text(account)}."
    if not account.labels:
        sentence = f"Account {account} has no labels."
    print_result(sentence, account_document(account, use_cases.progress(account)), output)


@accounts.command(
    short_help="Stop collecting an account for a while.",
    epilog=example("costbatch accounts pause 123456789012"),
)
@account_argument
@output_option
@pass_context
def pause(context: Context, aws_account_id: str, output: str) -> None:
    """Skip an account until you resume it; its stored costs stay."""
    use_cases = context.bootstrap().accounts()
    account = use_cases.pause(aws_account_id)
    sentence = f"Account {account} is paused; it will be skipped until you resume it."
    print_result(sentence, account_document(account, use_cases.progress(account)), output)


@accounts.command(
    short_help="Collect a paused account again.", epilog=example("costbatch accounts resume 123456789012")
)
@account_argument
@output_option
@pass_context
def resume(context: Context, aws_account_id: str, output: str) -> None:
    """Collect a paused account again, including the days that it missed."""
    use_cases = context.bootstrap().accounts()
    account = use_cases.resume(aws_account_id)
    sentence = f"Account {account} is active; the next run collects it, including the days that it missed."
    print_result(sentence, account_document(account, use_cases.progress(account)), output)


@accounts.command(
    short_help="Erase an account's credentials, keep its history.",
    epilog=example("costbatch accounts remove 123456789012", "costbatch accounts remove 123456789012 --yes"),
)
@account_argument
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@output_option
@pass_context
def remove(context: Context, aws_account_id: str, output: str, *, yes: bool) -> None:
    """Erase an account's credentials and stop collecting it; its costs and anomalies stay.

    Its open anomalies are resolved, because no run judges them any more; the next run, or `costbatch events
    deliver`, tells the sinks. An account whose credentials assume the roles of other accounts can only be
    removed after them.
    """
    use_cases = context.bootstrap().accounts()
    account = use_cases.show(aws_account_id).account
    if not yes:
        if not context.can_ask():
            raise ConfigError("Removing an account needs confirmation and there is no terminal; pass --yes.")
        question = f"Erase the credentials of account {account} and stop collecting it?"
        with asking():
            is_wanted = click.confirm(question, err=True)
        if not is_wanted:
            click.echo("Nothing was changed.", err=True)
            return
    removed = use_cases.remove(aws_account_id)
    sentence = f"Account {removed} is removed: its credentials are erased, its history is kept."
    print_result(sentence, account_document(removed, use_cases.progress(removed)), output)


@accounts.command(
    "set-credentials",
    short_help="Replace an account's credentials.",
    epilog=example(
        "costbatch accounts set-credentials 123456789012",
        "costbatch accounts set-credentials 123456789012 --secrets-file - < credentials.json",
    ),
)
@account_argument
@_secrets_file_option
@_no_verify_option
@output_option
@pass_context
def set_credentials(
    context: Context, aws_account_id: str, secrets_file: str | None, output: str, *, no_verify: bool
) -> None:
    """Replace an account's credentials; the old ones are erased.

    Without --secrets-file they are prompted for without echo. They are never options, because other users of
    the machine can see a command line. AWS is asked first which account owns them, which is free; credentials
    of another account are refused. A role is verified with the key of its base account: replace that first.
    """
    use_cases = context.bootstrap().accounts(verify=not no_verify)
    access = use_cases.show(aws_account_id).account.access
    secrets = read_secrets(secrets_file) if secrets_file is not None else prompt_for_secrets(context, access)
    account = use_cases.set_credentials(aws_account_id, secrets)
    sentence = f"The credentials of account {account} are replaced."
    print_result(sentence, account_document(account, use_cases.progress(account)), output)


def account_document(account: Account, progress: Progress) -> dict[str, object]:
    """Return an account as a JSON document; it holds no secret."""
    collected, failing = progress.covered, progress.failing
    return {
        "aws_account_id": account.aws_account_id,
        "name": account.name,
        "status": account.status,
        "access": account.access,
        "partition": account.partition,
        "role_arn": account.role_arn,
        "labels": dict(account.labels),
        "collected_from": collected.start if collected else None,
        "collected_to": collected.last if collected else None,
        "failing_since": failing.since if failing else None,
        "failing_kind": failing.kind if failing else None,
        "added_at": account.created_at,
    }
