"""Checks the Pushgateway, the way to AWS and the pod's identity, and makes one paid request if asked to."""

from dataclasses import replace
from datetime import datetime, timedelta

from costbatch.application.discover.ports import ResourceSource
from costbatch.application.doctor.findings import LONG, Finding, Mark, failure, ok, warning
from costbatch.application.doctor.ports import AwsProbe, DatabaseHealth, Endpoint, Gateway
from costbatch.application.doctor.records import newest_used
from costbatch.application.jobs.budget import ApiBudget, Meter
from costbatch.application.ports import Database
from costbatch.application.selection import select_accounts
from costbatch.application.sources import CostSource
from costbatch.domain.accounts import (
    NO_PROGRESS,
    AccessMethod,
    AccountStatus,
    Partition,
    needs_of,
    users_of_pod,
)
from costbatch.domain.costs import REQUEST_PRICE_USD
from costbatch.domain.discovery import DISCOVER, choice_for
from costbatch.domain.periods import ONE_DAY, DateRange, utc_day
from costbatch.domain.plural import many
from costbatch.domain.resources import SourceChoice
from costbatch.errors import AccountError, BudgetSpent

_SERVER_ERROR = 500
# AWS accepts 5 minutes, and a clock that drifts gets there.
_CLOCK_TOLERANCE_SECONDS = 120.0


def check_gateway(gateway: Gateway | None) -> Finding:
    """Check that the Pushgateway is ready."""
    if gateway is None:
        return warning(
            "PUSHGATEWAY_URL is not set, so no metrics are pushed and no alert fires if runs stop.",
            "Set it, or monitor the CronJob some other way.",
        )
    gateway.check_ready()
    return ok(f"The Pushgateway at {gateway.address} is ready and accepts the credentials in its URL.")


def check_aws_environment(database: Database, aws: AwsProbe) -> Finding:
    """Check the variables, files, proxies and certificates for calling AWS."""
    with database.transaction() as tx:
        registered = tx.accounts.list_all([AccountStatus.ACTIVE, AccountStatus.PAUSED])
        discovers = bool(tx.progress.load(DISCOVER) or tx.resources.discoveries())
    active = [account for account in registered if account.status is AccountStatus.ACTIVE]
    needs = needs_of(active, registered)
    # The first account is most likely to be in the ordinary partition.
    needs = replace(needs, partitions=needs.partitions or frozenset({Partition.AWS}))
    aws.check_environment(needs, discovers=discovers)
    return ok("The variables and files for calling AWS are valid.")


def check_endpoints(database: Database, aws: AwsProbe) -> Finding:
    """Check every address that the active accounts need."""
    with database.transaction() as tx:
        accounts = tx.accounts.list_all([AccountStatus.ACTIVE])
    # The first account is most likely to be in the ordinary partition.
    partitions = sorted({account.partition for account in accounts} or {Partition.AWS})
    endpoints = [endpoint for partition in partitions for endpoint in aws.endpoints(partition)]
    # With AWS_ENDPOINT_URL, both services have the same address.
    endpoints = list({endpoint.address: endpoint for endpoint in endpoints}.values())
    found = "\n".join(_describe(endpoint) for endpoint in endpoints)
    broken = [endpoint for endpoint in endpoints if endpoint.problem]
    if broken:
        return failure(found, " ".join(dict.fromkeys(endpoint.advice for endpoint in broken)))
    ahead = max((endpoint.seconds_ahead or 0.0 for endpoint in endpoints), key=abs)
    if abs(ahead) > _CLOCK_TOLERANCE_SECONDS:
        order = "ahead of" if ahead > 0 else "behind"
        return failure(
            f"{found}\nThis machine's clock is {timedelta(seconds=round(abs(ahead)))} {order} AWS's.",
            "Synchronize this machine's clock (NTP): AWS refuses requests that are 5 minutes off.",
        )
    if any(endpoint.http_status >= _SERVER_ERROR for endpoint in endpoints):
        return warning(found, "Try again later: AWS, or a proxy in between, has a problem.")
    return ok(found)


def _describe(endpoint: Endpoint) -> str:
    by = f" through the proxy {endpoint.proxy}" if endpoint.proxy else ""
    if endpoint.problem:
        return f"{endpoint.address}{by} {endpoint.problem}."
    if endpoint.http_status >= _SERVER_ERROR:
        return f"{endpoint.address} responds{by} with HTTP status {endpoint.http_status}."
    how = "over trusted TLS" if endpoint.is_encrypted else "over plain HTTP, as a simulated AWS may"
    return f"{endpoint.address} responds{by} {how}."


def check_pod(database: Database, aws: AwsProbe) -> Finding:
    """Ask STS for the pod's identity, if an account is reached with it."""
    with database.transaction() as tx:
        accounts = tx.accounts.list_all([AccountStatus.ACTIVE, AccountStatus.PAUSED])
    users = users_of_pod([each for each in accounts if each.status is AccountStatus.ACTIVE], accounts)
    if not users:
        return ok("No active account uses the pod's AWS identity.")
    sentences, strangers = [], []
    for partition in sorted({account.partition for account in users}):
        caller = aws.pod(partition)
        own = [each for each in users if each.partition is partition]
        sentences.append(
            f"The pod is {caller.arn}; it reaches {many(len(own), 'account')} in partition {partition}."
        )
        strangers += [
            each
            for each in own
            if each.access is AccessMethod.POD_IDENTITY and each.aws_account_id != caller.aws_account_id
        ]
    if strangers:
        names = ", ".join(map(str, strangers))
        return failure(
            "\n".join(
                [
                    *sentences,
                    f"It does not belong to accounts that are registered as its own: {names}.",
                ]
            ),
            "Register them with a role instead (`costbatch accounts add --role-arn …`).",
        )
    return ok("\n".join(sentences))


def check_discovery_access(
    database: Database, health: DatabaseHealth, source: ResourceSource, choice: SourceChoice, now: datetime
) -> Finding:
    """Ask AWS, free of charge, for the regions of one account and a resource, if discovery is used."""
    # What is stored may be of a try with one account long ago: only a run of all accounts is asked again.
    run = newest_used(health, DISCOVER, now)
    if run is None:
        return ok("Discovery is not in use, so nothing was asked.")
    if now - run.started_at > LONG:
        return ok("There has been no run over all accounts in 2 days, so nothing was asked.")
    with database.transaction() as tx:
        accounts = select_accounts(tx, [])
        if not accounts:
            return ok("No account is active, so nothing was asked.")
        known, progress = tx.resources.discoveries(), tx.progress.load(DISCOVER)
        # One that discovery works for; that it fails for another one, the check of all accounts says.
        working = [
            each
            for each in accounts
            if each.id in known
            and now - known[each.id].discovered_at <= LONG
            and progress.get(each.id, NO_PROGRESS).failing is None
        ]
        account = (working or accounts)[0]
        access = tx.accounts.load_access(account)
    last = known[account.id].source if account.id in known else None
    try:
        regions = source.check(access, choice_for(choice, last))
    except AccountError as error:
        return failure(f"{account}: {error.detail}", error.advice)
    number = len(regions.names)
    if regions.unlisted is not None:
        return ok(
            f"{account}: AWS denies the list of its enabled regions, so discovery reads the "
            f"{many(number, 'region')} of COSTBATCH_REGIONS; AWS lists the resources of one."
        )
    return ok(f"{account}: AWS lists its {many(number, 'enabled region')} and the resources of one.")


def check_cost_explorer(
    database: Database, source: CostSource, now: datetime, aws_account_id: str | None
) -> Finding:
    """Request one day of one account from Cost Explorer; this is the only check that costs money."""
    today = utc_day(now)
    day = DateRange(today - ONE_DAY, today)
    with database.transaction() as tx:
        accounts = select_accounts(tx, [aws_account_id] if aws_account_id else [])
        if not accounts:
            return Finding(Mark.SKIPPED, "No account is active, so no request was made and nothing was paid.")
        access = tx.accounts.load_access(accounts[0])
    purse = Meter(ApiBudget(1))
    account, price = accounts[0], f"${REQUEST_PRICE_USD}"
    try:
        rows = f"{len(source.fetch(access, day, purse).costs):,} cost rows"
    except BudgetSpent:
        rows = "the first page of its cost"
    except AccountError as error:
        purse.close()
        paid = f"The request cost {price}." if purse.requests else "Nothing was paid."
        if purse.unanswered:
            paid = f"The request cost at most {price}."
        return failure(f"{account}: {error.detail} {paid}", error.advice)
    return ok(f"{account}: Cost Explorer returned {rows} for {day.start}. This request cost {price}.")
