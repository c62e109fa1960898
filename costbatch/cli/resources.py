"""``costbatch resources``: list, count and export what exists in every account."""

import csv
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import TypeVar

import click

from costbatch.cli.context import Context, pass_context
from costbatch.cli.options import JSON, AccountId, Day, Text, example, output_option
from costbatch.cli.output import csv_text, is_terminal, print_json, print_table
from costbatch.domain.excerpt import printable
from costbatch.domain.plural import many
from costbatch.domain.resource_queries import ResourceFilter
from costbatch.errors import ConfigError

F = TypeVar("F", bound=Callable[..., object])

_CSV = "csv"
_CSV_COLUMNS = (
    *("aws_account_id", "arn", "service", "type", "region", "name", "tags"),
    *("first_seen_at", "last_seen_at", "gone_since"),
)


@click.group(
    epilog=example(
        "costbatch resources list --account 123456789012 --missing-tag Owner",
        "costbatch resources stats",
        "costbatch resources export --format csv > resources.csv",
    )
)
def resources() -> None:
    """List, count and export the resources that `costbatch discover` found."""


def _filters(command: F) -> F:
    """Add the filters that every command of the group has."""
    options = (
        click.option("--account", "accounts", type=AccountId(), multiple=True, help="Of this account."),
        click.option(
            "--region", "regions", type=Text(), multiple=True, help="In this region; global: in no region."
        ),
        click.option(
            "--service", "services", type=Text(), multiple=True, help="Of this service, such as ec2."
        ),
        click.option(
            "--type",
            "types",
            type=Text(),
            multiple=True,
            help="Of this type, such as instance or ec2:instance.",
        ),
        click.option(
            "--tag", "tags", type=Text(), multiple=True, metavar="KEY[=VALUE]", help="With this tag."
        ),
        click.option(
            "--missing-tag",
            "lacking",
            type=Text(),
            multiple=True,
            metavar="KEY",
            help="Without this tag.",
        ),
        click.option("--new-since", type=Day(), metavar="DAY", help="First seen on this UTC day or later."),
        click.option(
            "--gone-since",
            type=Day(),
            metavar="DAY",
            help="Gone since this UTC day or later.  [default: only existing resources]",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """The filters, as click has converted them."""

    accounts: tuple[str, ...]
    regions: tuple[str, ...]
    services: tuple[str, ...]
    types: tuple[str, ...]
    tags: tuple[str, ...]
    lacking: tuple[str, ...]
    new_since: date | None
    gone_since: date | None

    def filter(self) -> ResourceFilter:
        """Return what is asked for; raise ConfigError if a tag has no key."""
        pairs = [tag.partition("=") for tag in self.tags]
        if not all(key for key, _, _ in pairs):
            raise ConfigError("--tag needs a key, as in --tag Owner or --tag Owner=web.")
        return ResourceFilter(
            aws_account_ids=self.accounts,
            regions=self.regions,
            services=self.services,
            types=self.types,
            tags=tuple((key, value if separator else None) for key, separator, value in pairs),
            lacking=self.lacking,
            new_since=self.new_since,
            gone_since=self.gone_since,
        )


@resources.command(
    "list",
    short_help="List resources.",
    epilog=example(
        "costbatch resources list --service ec2 --region eu-west-1",
        "costbatch resources list --new-since 2026-01-01 --output json",
    ),
)
@_filters
@click.option(
    "--limit", type=click.IntRange(1, 100_000), default=200, show_default=True, help="The most to list."
)
@output_option
@pass_context
def list_(context: Context, /, *, limit: int, output: str, **asked: object) -> None:
    """List resources, by account, service and type: existing ones, or with --gone-since those gone."""
    filter_ = _Asked(**asked).filter()  # type: ignore[arg-type] # click has converted each by its declaration
    queries = context.bootstrap().resources()
    found = list(queries.find(filter_, most=limit))
    if output == JSON:
        print_json([resource.to_document() for resource in found])
    elif not found:
        click.echo("No resources found.")
    else:
        since = "first seen" if filter_.gone_since is None else "gone since"
        print_table(
            ("account", "service", "type", "region", "name", since, "arn"),
            [
                (
                    each.aws_account_id,
                    each.service,
                    each.type,
                    each.region,
                    each.name,
                    (each.gone_since or each.first_seen_at).date(),
                    each.arn,
                )
                for each in found
            ],
            names=("name",),
            texts=("arn",),
        )
    if len(found) == limit and (more := queries.count(filter_) - limit) > 0:
        rest = f"{many(more, 'more resource')}: use filters, --limit or `costbatch resources export`."
        # Who reads JSON must not take a part for all of it, and standard output holds nothing else.
        click.echo(rest, err=output == JSON)


@resources.command(
    short_help="Count resources by type, and what lacks required tags.",
    epilog=example("costbatch resources stats", "costbatch resources stats --account 123456789012"),
)
@_filters
@output_option
@pass_context
def stats(context: Context, /, *, output: str, **asked: object) -> None:
    """Count resources by type, and how many of them lack each tag of COSTBATCH_REQUIRED_TAGS."""
    filter_ = _Asked(**asked).filter()  # type: ignore[arg-type] # click has converted each by its declaration
    settings = context.settings()
    tags = sorted(settings.required_tags)
    counts = context.wire(settings, context.now).resources().stats(filter_, tags)
    total = sum(count.resources for count in counts)
    if output == JSON:
        lacking = {tag: sum(count.lacking[tag] for count in counts) for tag in tags}
        types = [count.to_document() for count in counts]
        print_json({"resources": total, "lacking": lacking, "types": types})
        return
    if not counts:
        click.echo("No resources found.")
        return
    titles = ("service", "type", "resources", "untagged", *(f"no {tag}" for tag in tags))
    rows = [
        [each.service, each.type, f"{each.resources:,}", f"{each.untagged:,}"]
        + [f"{each.lacking[tag]:,}" for tag in tags]
        for each in counts
    ]
    print_table(titles, rows, numbers=titles[2:])
    click.echo(f"{many(total, 'resource')} of {many(len(counts), 'type')}.")


@resources.command(
    short_help="Export resources as CSV or JSON.",
    epilog=example(
        "costbatch resources export > resources.csv",
        "costbatch resources export --format json --missing-tag Owner",
    ),
)
@_filters
@click.option(
    "--format",
    "format_",
    type=click.Choice([_CSV, JSON]),
    default=_CSV,
    show_default=True,
    help="CSV with a header, or one JSON document per line.",
)
@pass_context
def export(context: Context, /, *, format_: str, **asked: object) -> None:
    """Write every resource to standard output, however many there are.

    In CSV a cell that a spreadsheet would take for a formula begins with an apostrophe.
    """
    filter_ = _Asked(**asked).filter()  # type: ignore[arg-type] # click has converted each by its declaration
    found = context.bootstrap().resources().find(filter_)
    if format_ == JSON:
        for resource in found:
            click.echo(json.dumps(resource.to_document(), ensure_ascii=False))
        return
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(_CSV_COLUMNS)
    for resource in found:
        document = resource.to_document()
        document["tags"] = json.dumps(document["tags"], ensure_ascii=False, sort_keys=True)
        writer.writerow(_cell(document[name]) for name in _CSV_COLUMNS)


def _cell(value: object) -> str:
    safe = csv_text("" if value is None else str(value))
    # A file has a tag as it is; to a terminal it may be a command.
    return printable(safe) if is_terminal() else safe
