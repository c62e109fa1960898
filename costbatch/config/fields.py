"""The variables: each is declared once, as a field of the settings."""

# The defaults that `_variable` returns are fields whose values never change.
# ruff: noqa: RUF009

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from decimal import Decimal
from typing import TypeVar, cast

from costbatch.config import parsers
from costbatch.config.database_url import database_url as read_database_url
from costbatch.config.environment import PREFIX, Variable
from costbatch.domain.costs import CostBasis
from costbatch.domain.credentials import Secret
from costbatch.domain.money import Limit
from costbatch.domain.retention import MOST_KEPT_MONTHS
from costbatch.domain.runs import FailOn

T = TypeVar("T")


def _variable(
    parse: Callable[[str], T], default: str | None, description: str, *, name: str = "", secret: bool = False
) -> T:
    metadata = {"name": name, "parse": parse, "default": default, "about": description, "secret": secret}
    # What the caller assigns to is a field, yet its declared type must be the parser's.
    return cast("T", field(default=None if default is None else parse(default), metadata=metadata))


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """Everything that can be configured, each variable with its parser, its default and its meaning.

    A field's variable is COSTBATCH_ and the field's name, unless another is given.
    """

    database_url: Secret | None = _variable(
        read_database_url,
        None,
        "The PostgreSQL database, as postgresql://USER:PASSWORD@HOST:5432/DATABASE.",
        name="DATABASE_URL",
        secret=True,
    )
    encryption_key: Secret | None = _variable(
        parsers.encryption_key,
        None,
        "The key that seals stored AWS credentials: 32 bytes as 64 hex digits, as base64 "
        "or as 32 characters.",
        name="ENCRYPTION_KEY",
        secret=True,
    )
    pushgateway_url: Secret | None = _variable(
        parsers.web_url,
        None,
        "The Prometheus Pushgateway that takes a run's metrics; without it none are pushed.",
        name="PUSHGATEWAY_URL",
        secret=True,
    )
    push_timeout_seconds: float = _variable(
        parsers.seconds("0.1"), "10", "How long a push to the Pushgateway may take as a whole."
    )
    push_labels: tuple[str, ...] = _variable(
        parsers.push_labels,
        "none",
        "Labels that tell this installation's metrics from those of others on the same Pushgateway, "
        "as in namespace=finops,release=costbatch.",
    )
    concurrency: int = _variable(
        parsers.integer(1, 256), "8", "How many accounts are fetched at the same time."
    )
    window_days: int = _variable(
        parsers.integer(1, 1000), "35", "How many days up to yesterday every run reads again."
    )
    history_months: int = _variable(
        parsers.integer(0, 13),
        "13",
        "How many whole months before the current one an account's first collection reads.",
    )
    month_close_day: int = _variable(
        parsers.integer(0, 28),
        "10",
        "Until this day of the month the whole last month is read again; 0 never does.",
    )
    keep_months: int | None = _variable(
        parsers.integer(1, MOST_KEPT_MONTHS),
        None,
        "How many whole months before the current one are kept: each run drops what is older; "
        "without it everything is kept.",
    )
    vanished_ratio: Decimal = _variable(
        parsers.share,
        "0.5",
        "Which share of an account's stored days with cost an answer may remove before it is refused as "
        "implausible; 1 accepts every answer.",
    )
    fail_on: FailOn = _variable(
        parsers.member(FailOn),
        "total",
        "When a run exits with a failure: total, when no account was collected (1); "
        "partial, when any account failed (3).",
    )
    max_api_cost_usd: Decimal | None = _variable(
        parsers.decimal("0.01"),
        None,
        "The most that one run may spend on Cost Explorer requests, in US dollars; "
        "accounts beyond it are skipped.",
    )
    run_key: str | None = _variable(
        parsers.run_key,
        None,
        "Processes with the same key share one run; in Kubernetes, set it to the Job's uid.",
    )
    retry_pause_seconds: float = _variable(
        parsers.seconds("0"),
        "30",
        "How long an account that failed for a passing reason waits for its second attempt.",
    )
    lease_seconds: float = _variable(
        parsers.seconds("1"),
        "45",
        "How long the accounts of a process that died stay reserved before another takes them.",
    )
    deadline_seconds: float | None = _variable(
        parsers.seconds("0.1", "604800"),
        None,
        "After so many seconds a process begins no more accounts: the run is stopped, and a retry goes on.",
    )
    grace_seconds: float = _variable(
        parsers.seconds("0"), "25", "How long accounts in flight may take to finish after SIGTERM."
    )
    aws_connect_timeout_seconds: float = _variable(
        parsers.seconds("0.1"),
        "10",
        "How long opening a connection to AWS may take as a whole.",
    )
    aws_read_timeout_seconds: float = _variable(
        parsers.seconds("0.1"),
        "60",
        "How long one request to AWS may take, to the last byte of its answer.",
    )
    aws_max_attempts: int = _variable(
        parsers.integer(1, 20),
        "5",
        "How often one request is sent before the account fails as throttled or timed out.",
    )
    page_limit: int = _variable(
        parsers.integer(1, 10000), "200", "The most pages of one answer; each is a paid request."
    )
    anomaly_threshold: Decimal = _variable(
        parsers.ratio,
        "0.5",
        "A day deviates when it differs from its baseline by more than this part of it; "
        "0.5 and 50% mean the same.",
    )
    anomaly_baseline_days: int = _variable(
        parsers.integer(1, 400), "30", "The baseline is the mean of this many days before the day."
    )
    anomaly_minimum_history_days: int = _variable(
        parsers.integer(1, 400), "7", "Accounts with fewer days of history than this are not judged."
    )
    anomaly_floor: Limit = _variable(
        parsers.limit("1"),
        "1",
        "The smallest difference that counts: one number for every currency, or by currency (EUR=1,JPY=150).",
    )
    anomaly_settle_days: int = _variable(
        parsers.integer(0, 30),
        "2",
        "How many days after its end a day's cost is complete; drops wait for that.",
    )
    anomaly_cost_basis: CostBasis = _variable(
        parsers.member(CostBasis),
        "unblended",
        "Which amount is compared: unblended, amortized, net_unblended or net_amortized.",
    )
    anomaly_excluded_record_types: frozenset[str] = _variable(
        parsers.names,
        "Credit,Refund,Tax",
        "The record types left out of the comparison, as a comma list; none excludes nothing.",
    )
    anomaly_per_service: bool = _variable(
        parsers.boolean, "false", "Whether each service is judged too, besides the account's total."
    )
    anomaly_medium_impact: Limit = _variable(
        parsers.limit("100"),
        "100",
        "From this difference on an anomaly is of medium severity; by currency as the floor.",
    )
    anomaly_high_impact: Limit = _variable(
        parsers.limit("1000"),
        "1000",
        "From this difference on an anomaly is of high severity; by currency as the floor.",
    )
    sinks: tuple[str, ...] = _variable(
        parsers.sinks, "log", "Where events are delivered, as a comma list; so far there is only log."
    )
    account_metrics: bool = _variable(
        parsers.boolean, "true", "Whether the metrics hold the cost of each account, one series per account."
    )
    log_level: str = _variable(
        parsers.choice("debug", "info", "warning", "error"),
        "info",
        "The least severe log lines that are written.",
    )
    log_format: str = _variable(
        parsers.choice("auto", "json", "console"),
        "auto",
        "How log lines look; auto is console on a terminal and json elsewhere.",
    )


VARIABLES: tuple[Variable, ...] = tuple(
    Variable(
        name=one.metadata["name"] or PREFIX + one.name.upper(),
        field=one.name,
        parse=one.metadata["parse"],
        default=one.metadata["default"],
        description=one.metadata["about"],
        is_secret=one.metadata["secret"],
    )
    for one in fields(Declared)
)
