"""The wording of what jobs tell: how runs end, which accounts fail, what an account uses or pays first."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from shlex import quote
from typing import Any

from costbatch.domain.collection import COLLECT
from costbatch.domain.discovery import DISCOVER
from costbatch.domain.events import EventType
from costbatch.domain.jobs import JOBS
from costbatch.domain.links import CloudEvent
from costbatch.domain.money import money
from costbatch.domain.notice import (
    ROWS_IN_A_DIGEST,
    Command,
    Importance,
    Line,
    Notice,
    Outside,
    Words,
    account_words,
)
from costbatch.domain.plural import many

_IMPORTANCE_OF_RUN = {"completed": Importance.SUCCESS, "failed": Importance.FAILURE}


def of_failure(event: CloudEvent) -> Notice:
    """Return the notice of an account that begins to fail in a job, or fails for another reason."""
    data = event["data"]
    error = data["error"]
    return Notice(
        title=("Account cannot be ", *_done(data), ": ", *account_words(data), ", ", Outside(error["kind"])),
        importance=Importance.FAILURE,
        lines=(
            Line(label="Account", rows=(account_words(data),)),
            Line(label="Why", rows=((Outside(error["message"]),),), in_digest=1),
        ),
        commands=(
            Command(
                meaning="Show the account",
                text=f"costbatch accounts show {Outside(data['account']['aws_account_id'])}",
            ),
        ),
    )


def of_recovery(event: CloudEvent) -> Notice:
    """Return the notice of an account that has stopped failing in a job."""
    data = event["data"]
    failed = data["failed"]
    return Notice(
        title=("Account is ", *_done(data), " again: ", *account_words(data)),
        importance=Importance.SUCCESS,
        lines=(
            Line(label="Account", rows=(account_words(data),)),
            Line(
                label="Failed since",
                rows=((f"{failed['since'][:10]}, ", Outside(failed["kind"])),),
                in_digest=1,
            ),
        ),
    )


def _done(data: Mapping[str, Any]) -> Words:
    """Return what the job of an event does to an account; the job may be of a later release."""
    words = JOBS.get(data["job"])
    return (words.done,) if words else ("processed by ", Outside(data["job"]))


def of_first_use(event: CloudEvent) -> Notice:
    """Return the notice of the first resources of an account in a region, or of a service."""
    type_, data = event["type"], event["data"]
    what, where = ("region", "services") if type_ == EventType.REGION_FIRST_USED else ("service", "regions")
    rows = tuple((f"{count:,} ", Outside(name)) for name, count in data[where].items())
    return Notice(
        title=(f"First use of the {what} ", Outside(data[what]), " by ", *account_words(data)),
        importance=Importance.WARNING,
        lines=(
            Line(label="Account", rows=(account_words(data),)),
            Line(label="Resources", rows=((f"{data['resources']:,}",),), in_digest=1),
            Line(label=where.capitalize(), rows=rows, in_digest=ROWS_IN_A_DIGEST),
        ),
    )


def of_charge(event: CloudEvent) -> Notice:
    """Return the notice of a service, or of an account, that was expected to cost nothing."""
    data = event["data"]
    charge = data["charge"]
    cost = money(Decimal(charge["amount"]), charge["currency"])
    if event["type"] == EventType.SERVICE_FIRST_CHARGED:
        title: Words = (
            "First charge of ",
            Outside(charge["service"]),
            " in ",
            *account_words(data),
            f", {cost}",
        )
    else:
        title = ("Dormant account costs something: ", *account_words(data), f", {cost}")
    return Notice(
        title=title,
        importance=Importance.WARNING,
        lines=(
            Line(label="Account", rows=(account_words(data),)),
            Line(label="Cost", rows=((f"{cost} on {charge['date']}",),), in_digest=1),
        ),
    )


def of_run(event: CloudEvent) -> Notice:
    """Return the notice of the end of a run, of whatever job."""
    run = event["data"]["run"]
    accounts, others = run["accounts"], ("failed", "skipped", "not_active", "unfinished")
    (done,) = accounts.keys() - {"total", *others}
    counted = f"{accounts[done]:,} of {many(accounts['total'] - accounts['not_active'], 'account')} {done}"
    rest = [f"{accounts[name]:,} {name.replace('_', ' ')}" for name in others if accounts[name]]
    facts = [("Accounts", ", ".join([counted, *rest]))]
    if run["failures"]:
        kinds = (f"{Outside(kind)}: {count:,}" for kind, count in run["failures"].items())
        facts.append(("Failures", ", ".join(kinds)))
    # Another job may mean something else by the same keys.
    if run["job"] == COLLECT:
        facts += _of_costs(run)
        if "cost_date" in run:
            facts.insert(0, ("Cost of", run["cost_date"]))
    elif run["job"] == DISCOVER and (found := run.get("resources")):
        facts.append(("Resources", ", ".join(f"{number:,} {name}" for name, number in found.items())))
    by = ""
    if reason := run.get("stopped_by"):
        by = f" by its {reason}"
        facts.append(("To resume", f"the same command with --run-key {quote(run['key'])}"))
    return Notice(
        title=(f"Run {run['status']}{by}: {counted}",),
        importance=_IMPORTANCE_OF_RUN.get(run["status"], Importance.WARNING),
        lines=tuple(Line(label=label, rows=((fact,),)) for label, fact in facts),
    )


def _of_costs(run: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what only a run of the cost job has."""
    if found := run.get("anomalies"):
        numbers = (f"{found[name]:,} {name}" for name in ("detected", "updated", "resolved", "open"))
        yield "Anomalies", ", ".join(numbers)
    if api := run.get("api"):
        yield "API", f"{many(api['requests'], 'request')}, {api['cost_usd']} USD"
