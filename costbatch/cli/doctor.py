"""``costbatch doctor``: examine the installation, and say of everything that is not well what to do."""

from collections.abc import Iterable, Sequence

import click

from costbatch.application.doctor.findings import CheckResult, Examination, Mark, PaidRequest
from costbatch.cli.context import Context, pass_context
from costbatch.cli.exit_status import ExitStatus
from costbatch.cli.lazy import example
from costbatch.cli.options import Seconds
from costbatch.cli.output import JSON, output_option, print_json, say_last
from costbatch.config import Settings
from costbatch.domain.accounts import parse_account_id
from costbatch.errors import ConfigError

_LIMIT_SECONDS = 15.0


@click.command(epilog=example("costbatch doctor", "costbatch doctor --paid --output json"))
@click.option("--paid", is_flag=True, help="Also make one real Cost Explorer request, which costs $0.01.")
@click.option(
    "--account", metavar="ID", help="The account to ask with --paid.  [default: the first active one]"
)
@click.option(
    "--timeout",
    "limit_seconds",
    type=Seconds("0.1", "600"),
    default=_LIMIT_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="How long one check may take.",
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
    """Examine the installation that it runs in, and say what to do about everything that is not well.

    Looks at the settings, the key, the database, the accounts, past runs, events, and the way to AWS and
    to the Pushgateway. Nothing is written, and nothing is paid without --paid.

    Exits with 0 when nothing failed, whatever it warns of, 1 when something failed, and 2 when the
    configuration, the key or the schema does not fit, so that trying again cannot help.
    """
    wish = _paid_request(paid=paid, account=account)
    settings, problems = _settings(context)
    bootstrap = context.wire(settings, context.now)
    examination = bootstrap.doctor(problems=problems, paid=wish, limit_seconds=limit_seconds)
    if output == JSON:
        whole = Examination(tuple(examination.examine()))
        print_json(whole.to_document())
    else:
        whole = _show([check.name for check in examination.checks()], examination.examine())
    status = _exit_status(whole)
    if status:
        failed = [result.name for result in whole.results if result.finding.mark is Mark.FAILURE]
        say_last(f"FAILED: {', '.join(failed)}; see the advice beside each check.")
    ctx.exit(status)


def _paid_request(*, paid: bool, account: str | None) -> PaidRequest | None:
    if account is not None and not paid:
        raise ConfigError("--account says whom to ask with --paid; without --paid nobody is asked.")
    try:
        return PaidRequest(aws_account_id=parse_account_id(account) if account else None) if paid else None
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _settings(context: Context) -> tuple[Settings, Sequence[str]]:
    """Return the settings, or the defaults and why there are no others."""
    try:
        return context.settings(), ()
    except ConfigError as error:
        context.configure_logs()
        return Settings(), error.problems


def _show(names: Sequence[str], results: Iterable[CheckResult]) -> Examination:
    from costbatch.cli.doctor_view import DoctorView  # noqa: PLC0415 - programs do not pay for tables
    from costbatch.cli.terminal import standard_output  # noqa: PLC0415 - as above

    view, seen = DoctorView(standard_output(), names), []
    for result in results:
        view.show(result)
        seen.append(result)
    examination = Examination(tuple(seen))
    view.conclude(examination)
    return examination


def _exit_status(examination: Examination) -> int:
    if examination.status is not Mark.FAILURE:
        return ExitStatus.OK
    return ExitStatus.USAGE if examination.is_configuration else ExitStatus.TOTAL_FAILURE
