"""``costbatch events``: what was raised, its deliveries, and deliver it again."""

import signal
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from threading import Event as Signal
from typing import Any, TypeVar
from uuid import UUID

import click

from costbatch.cli.context import Context, asking, pass_context
from costbatch.cli.options import JSON, AccountId, Day, Text, example, output_option
from costbatch.cli.output import print_json, print_result, print_table
from costbatch.domain.deliveries import DeliveryState, EventQuery, StoredEvent, Waiting
from costbatch.domain.events import EventType
from costbatch.domain.periods import instant
from costbatch.domain.plural import many
from costbatch.errors import ConfigError, DeliveryError

F = TypeVar("F", bound=Callable[..., object])

_LIST_COLUMNS = ("event", "time", "type", "subject", "deliveries")
_SHOW_COLUMNS = ("sink", "state", "attempts", "delivered", "next attempt", "reason")


def _query_options(command: F) -> F:
    """Add the options that say which events are meant; ``_query`` reads them."""
    options = (
        click.option(
            "--type",
            "types",
            # A test message is never stored.
            type=click.Choice([type_.value for type_ in EventType if type_ is not EventType.SINK_TEST]),
            multiple=True,
            help="Only this type; may be repeated.",
        ),
        click.option(
            "--account",
            "accounts",
            type=AccountId(),
            metavar="AWS_ACCOUNT_ID",
            multiple=True,
            help="Only this account; may be repeated.",
        ),
        click.option(
            "--state",
            type=click.Choice([state.value for state in DeliveryState]),
            help="Only those with a delivery in this state.",
        ),
        click.option("--since", type=Day(), metavar="DAY", help="Only events from this UTC day on."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _query(
    *,
    types: tuple[str, ...],
    accounts: tuple[str, ...],
    state: str | None,
    since: date | None,
    **more: Any,  # noqa: ANN401 - the other fields of EventQuery
) -> EventQuery:
    return EventQuery(
        types=types,
        aws_account_ids=accounts,
        state=DeliveryState(state) if state else None,
        since=datetime.combine(since, time.min, UTC) if since else None,
        **more,
    )


@click.group(epilog=example("costbatch events list", "costbatch events test payments-chat"))
def events() -> None:
    """Show events and their deliveries, and deliver them."""


@events.command(
    "list",
    short_help="List the newest events.",
    epilog=example("costbatch events list", "costbatch events list --sink pager --state dead --output json"),
)
@_query_options
@click.option("--sink", type=Text(), metavar="NAME", help="Only events with a delivery to this sink.")
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many at most."
)
@output_option
@pass_context
def list_events(context: Context, /, *, sink: str | None, limit: int, output: str, **options: Any) -> None:  # noqa: ANN401 - click gives every option by its name
    """List events, newest first, with the state of their deliveries."""
    query = _query(sink=sink, **options)
    found = context.bootstrap().events().find(query, most=limit)
    if output == JSON:
        print_json([_document(event) for event in found])
    elif found:
        rows = [
            (
                event.id,
                event.occurred_at.replace(microsecond=0),
                event.type,
                event.subject,
                ", ".join(f"{each.sink}: {each.state}" for each in event.deliveries) or "none",
            )
            for event in found
        ]
        print_table(_LIST_COLUMNS, rows, names=("subject",), texts=("deliveries",))
    else:
        click.echo("No events found.")


@events.command(
    short_help="Show an event and its deliveries.",
    epilog=example("costbatch events show 2f63aa3f-ca70-5511-b761-f8164e9a285c"),
)
@click.argument("event_id", type=click.UUID)
@output_option
@pass_context
def show(context: Context, event_id: UUID, output: str) -> None:
    """Show an event as sinks receive it, and the state of each delivery, or why a filter excluded it.

    A sink that was configured later is not listed, because it never received the event; `replay` sends it.
    """
    event = context.bootstrap().events().show(event_id)
    if output == JSON:
        print_json(_document(event))
        return
    print_json(event.cloudevent)
    click.echo()
    if event.deliveries:
        rows = [
            (
                each.sink,
                each.state,
                each.attempts,
                each.delivered_at.replace(microsecond=0) if each.delivered_at else None,
                each.retry_at.replace(microsecond=0) if each.state is DeliveryState.PENDING else None,
                each.reason,
            )
            for each in event.deliveries
        ]
        print_table(_SHOW_COLUMNS, rows, texts=("reason",))
    else:
        click.echo("No sink was configured when it was raised.")


def _document(event: StoredEvent) -> dict[str, object]:
    return {
        "id": event.id,
        "cloudevent": event.cloudevent,
        "deliveries": [
            {
                "sink": each.sink,
                "state": each.state,
                "attempts": each.attempts,
                "retry_at": each.retry_at if each.state is DeliveryState.PENDING else None,
                "delivered_at": each.delivered_at,
                "reason": each.reason,
            }
            for each in event.deliveries
        ],
    }


@events.command(short_help="Deliver the events that are due.", epilog=example("costbatch events deliver"))
@output_option
@pass_context
def deliver(context: Context, output: str) -> None:
    """Deliver the events that are due, as every run does at its end; the others count as waiting.

    It is safe to use during a run. Exits with 1 if an event that was tried still waits or was given up.
    """
    stop = Signal()
    before = signal.signal(signal.SIGTERM, lambda *_: stop.set())
    try:
        use_cases = context.bootstrap().events(stop=stop)
        results = use_cases.deliver()
        waiting = {sink: found for sink, found in use_cases.waiting().items() if sink in results}
    finally:
        signal.signal(signal.SIGTERM, before)
    rows = [
        (
            sink,
            result.delivered,
            waiting[sink].number if sink in waiting else 0,
            result.given_up,
            result.problem or None,
        )
        for sink, result in results.items()
    ]
    columns = ("sink", "delivered", "waiting", "given up", "last error")
    if output == JSON:
        keys = [column.replace(" ", "_") for column in columns]
        documents: list[dict[str, object]] = [dict(zip(keys, row, strict=True)) for row in rows]
        for sink, document in zip(results, documents, strict=True):
            document["due_at"] = waiting[sink].due_at if sink in waiting else None
        print_json(documents)
    elif rows:
        print_table(columns, rows, numbers=columns[1:4], texts=("last error",))
    else:
        click.echo("No sink is configured; see COSTBATCH_SINKS.")
    for sink, found in waiting.items():
        click.echo(_note(sink, found), err=True)
    if failed := [sink for sink, result in results.items() if result.problem]:
        raise DeliveryError(f"Not everything was delivered to {', '.join(failed)}.")


def _note(sink: str, found: Waiting) -> str:
    """Say what still waits for a sink, and what to do about it."""
    waits = f"{many(found.number, 'event')} {'waits' if found.number == 1 else 'wait'} for {sink};"
    if found.held == found.number:
        return f"{waits} another delivery holds {'it' if found.number == 1 else 'them'} now."
    what = "the next attempt"
    if found.held:
        waits, what = f"{waits} another delivery holds {found.held} of them now;", f"{what} of the others"
    return (
        f"{waits} {what} is due at {instant(found.due_at.replace(microsecond=0))}. To deliver at "
        f"once, run `costbatch events replay --sink {sink} --state pending` and then "
        "`costbatch events deliver`."
    )


@events.command(
    short_help="Deliver events again.",
    epilog=example(
        "costbatch events replay --state dead --sink pager",
        "costbatch events replay --since 2026-11-01 --type anomaly.detected --sink new-chat",
        "costbatch events replay 2f63aa3f-ca70-5511-b761-f8164e9a285c",
    ),
)
@click.argument("event_ids", type=click.UUID, nargs=-1)
@click.option(
    "--sink",
    "sinks",
    type=Text(),
    metavar="NAME",
    multiple=True,
    help="Only to this sink; may be repeated.",
)
@_query_options
@output_option
@pass_context
def replay(
    context: Context,
    /,
    *,
    event_ids: tuple[UUID, ...],
    sinks: tuple[str, ...],
    output: str,
    **options: Any,  # noqa: ANN401 - as above
) -> None:
    """Deliver events again that were given up, delivered or filtered, or raised before a sink existed.

    Filters do not apply. The events are delivered by the next run, or by `costbatch events deliver`.
    Receivers recognize a repeat by its id.
    """
    if not event_ids and not any(options.values()):
        raise ConfigError("Say which events: give ids, --state, --since, --type or --account.")
    query = _query(ids=event_ids, **options)
    number = context.bootstrap().events().replay(query, sinks)
    print_result(
        _sentence(number, "queued again; run `costbatch events deliver`"),
        {"deliveries": number},
        output,
    )


@events.command(
    short_help="Discard the undelivered events of a sink.",
    epilog=example("costbatch events discard old-chat --yes"),
)
@click.argument("sink", type=Text())
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@output_option
@pass_context
def discard(context: Context, sink: str, output: str, *, yes: bool) -> None:
    """Discard the events that wait for a sink or were given up, for example because the sink is gone."""
    if not yes:
        if not context.can_ask():
            raise ConfigError("Discarding events needs confirmation and there is no terminal; pass --yes.")
        with asking():
            is_wanted = click.confirm(f"Discard everything that waits for {sink}?", err=True)
        if not is_wanted:
            click.echo("Nothing was changed.", err=True)
            return
    number = context.bootstrap().events().discard(sink)
    print_result(_sentence(number, f"to {sink} discarded"), {"deliveries": number}, output)


def _sentence(number: int, what: str) -> str:
    noun = "1 delivery" if number == 1 else f"{number:,} deliveries"
    return f"{noun} {what}."


@events.command(
    short_help="Send a test message to a sink.", epilog=example("costbatch events test payments-chat")
)
@click.argument("sink", type=Text())
@output_option
@pass_context
def test(context: Context, sink: str, output: str) -> None:
    """Send a message that is marked as a test, and show what the receiver answered.

    The sink's filter does not apply. Exits with 1 if the message was not accepted.
    """
    answer = context.bootstrap().events().test(sink)
    print_result(answer, {"sink": sink, "answer": answer}, output)
