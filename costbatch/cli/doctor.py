"""``costbatch doctor``: check the installation, and give advice for every problem."""

from collections.abc import Sequence

import click

from costbatch.application.doctor.findings import Examination, Mark, PaidRequest
from costbatch.cli.context import Context, pass_context
from costbatch.cli.exit_status import ExitStatus
from costbatch.cli.options import JSON, Seconds, example, output_option
from costbatch.cli.output import print_json, print_last_line, standard_output
from costbatch.cli.views.doctor import DoctorView
from costbatch.config import Settings
from costbatch.domain.accounts import parse_account_id
from costbatch.errors import ConfigError

_LIMIT_SECONDS = 15.0


@click.command(epilog=example("costbatch doctor", "costbatch doctor --paid --output json"))
@click.option("--paid", is_flag=True, help="Also make one real Cost Explorer request, which costs $0.01.")
@click.option(
    "--account",
    metavar="ID",
    help="Account of the paid request; needs --paid.  [default: the first active account]",
)
@click.option(
    "--timeout",
    "limit_seconds",
    type=Seconds("0.1", "600"),
    default=_LIMIT_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="Time limit of each check.",
)
@output_option
@pass_context
@click.pass_context
def doctor(
    ctx: click.Context,
    context: Context,
    /,
    *,
    paid: bool,
    account: str | None,
    limit_seconds: float,
    output: str,
) -> None:
    """Check this installation for problems, and give advice for each.

    Checks the settings, the key, the database, the accounts, past runs, events, and the connections to AWS
    and the Pushgateway. Nothing is written, and nothing is paid without --paid.

    Exits with 0 if no check failed, even with warnings, and with 1 if one failed. Exits with 2 if the
    configuration, the key or the schema is wrong: a retry cannot help.
    """
    if account is not None and not paid:
        raise ConfigError("--account requires --paid.")
    try:
        wanted = None if account is None else parse_account_id(account)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    paid_request = PaidRequest(aws_account_id=wanted) if paid else None
    problems: Sequence[str] = ()
    try:
        settings = context.settings()
    except ConfigError as error:
        # The rest is checked with the defaults.
        context.configure_logs()
        settings, problems = Settings(), error.problems
    bootstrap = context.wire(settings, context.now)
    examination = bootstrap.doctor(problems=problems, paid=paid_request, limit_seconds=limit_seconds)
    if output == JSON:
        whole = Examination(tuple(examination.examine()))
        print_json(whole.to_document())
    else:
        view = DoctorView(standard_output(), [check.name for check in examination.checks()])
        whole = view.show_all(examination.examine())
    if whole.status is not Mark.FAILURE:
        ctx.exit(ExitStatus.OK)
    failed = [result.name for result in whole.results if result.finding.mark is Mark.FAILURE]
    print_last_line(f"FAILED: {', '.join(failed)}; see the advice for each check.")
    ctx.exit(ExitStatus.USAGE if whole.is_configuration else ExitStatus.TOTAL_FAILURE)
