"""The variables: each is declared once, as a field with its parser, its default and its description."""

# The defaults that `_variable` returns are fields whose values never change.
# ruff: noqa: RUF009

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from decimal import Decimal
from typing import TypeVar, cast

from costbatch.config import parsers
from costbatch.config.database_url import database_url as parse_database_url
from costbatch.config.environment import PREFIX, Variable
from costbatch.config.overrides import parse_overrides
from costbatch.config.sinks import SinkConfig, parse_list
from costbatch.domain.adaptive_rule import Sensitivity
from costbatch.domain.costs import CostBasis
from costbatch.domain.credentials import Secret
from costbatch.domain.detection import DetectorName
from costbatch.domain.links import LINK_PLACEHOLDERS, LinkTemplate
from costbatch.domain.money import Limit
from costbatch.domain.overrides import DetectionOverride
from costbatch.domain.resources import SourceChoice
from costbatch.domain.retention import MOST_KEPT_MONTHS
from costbatch.domain.runs import FailOn

T = TypeVar("T")


def _variable(
    parse: Callable[[str], T], default: str | None, description: str, *, name: str = "", secret: bool = False
) -> T:
    metadata = {
        "name": name,
        "parse": parse,
        "default": default,
        "description": description,
        "is_secret": secret,
    }
    # The caller assigns a field, but its declared type is what the parser returns.
    return cast("T", field(default=None if default is None else parse(default), metadata=metadata))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """Everything that can be configured.

    The variable of a field is COSTBATCH_ and the field's name, unless it is given a name.
    """

    database_url: Secret | None = _variable(
        parse_database_url,
        None,
        "The PostgreSQL database, as postgresql://USER:PASSWORD@HOST:5432/DATABASE.",
        name="DATABASE_URL",
        secret=True,
    )
    encryption_key: Secret | None = _variable(
        parsers.encryption_key,
        None,
        "The key that encrypts stored AWS credentials: 32 bytes as 64 hex digits, as base64 "
        "or as 32 characters.",
        name="ENCRYPTION_KEY",
        secret=True,
    )
    pushgateway_url: Secret | None = _variable(
        parsers.pushgateway_url,
        None,
        "The Prometheus Pushgateway that metrics are pushed to; if not set, no metrics are pushed.",
        name="PUSHGATEWAY_URL",
        secret=True,
    )
    push_timeout_seconds: float = _variable(
        parsers.seconds("0.1"), "10", "Timeout of a whole push to the Pushgateway."
    )
    push_labels: tuple[str, ...] = _variable(
        parsers.push_labels,
        "none",
        "Labels that separate this installation's metrics from others on the same Pushgateway, "
        "such as namespace=finops,release=costbatch.",
    )
    concurrency: int = _variable(
        parsers.integer(1, 256), "8", "How many accounts a process works on at the same time."
    )
    window_days: int = _variable(
        parsers.integer(1, 1000), "35", "How many days, up to yesterday, every run reads again."
    )
    history_months: int = _variable(
        parsers.integer(0, 13),
        "13",
        "How many whole months before the current one the first collection of an account reads.",
    )
    month_close_day: int = _variable(
        parsers.integer(0, 28),
        "10",
        "Until this day of the month, runs read all of last month again; 0 never does.",
    )
    keep_months: int | None = _variable(
        parsers.integer(1, MOST_KEPT_MONTHS),
        None,
        "How many whole months before the current one are kept; each run drops older months. "
        "If not set, everything is kept.",
    )
    vanished_ratio: Decimal = _variable(
        parsers.share,
        "0.5",
        "The largest share of an account's stored days with cost that a response may remove before it is "
        "refused as implausible; 1 accepts every response.",
    )
    fail_on: FailOn = _variable(
        parsers.member(FailOn),
        "total",
        "When a run exits non-zero: total, if no account was collected (1); "
        "partial, if any account failed (3).",
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
        "Processes with the same key share one run, and a retry with it resumes the run. It must be new "
        "every night: in Kubernetes, the Job's uid.",
    )
    retry_pause_seconds: float = _variable(
        parsers.seconds("0"),
        "30",
        "Pause before the second attempt at an account that failed with a transient error.",
    )
    lease_seconds: float = _variable(
        parsers.seconds("1"),
        "45",
        "How long the accounts of a crashed process stay claimed before another process takes them. With "
        "less than 35, a process that waits for the database may lose its accounts, which are then paid "
        "twice.",
    )
    deadline_seconds: float | None = _variable(
        parsers.seconds("0.1", "604800"),
        None,
        "Start no more accounts after this many seconds from the start of the run; if a process resumes the "
        "run later than that, from the start of that process. To resume, use the same run key.",
    )
    grace_seconds: float = _variable(
        parsers.seconds("0"), "25", "How long accounts in flight may take to finish after SIGTERM."
    )
    aws_connect_timeout_seconds: float = _variable(
        parsers.seconds("0.1"),
        "10",
        "Timeout of opening a connection to AWS as a whole.",
    )
    aws_read_timeout_seconds: float = _variable(
        parsers.seconds("0.1"),
        "60",
        "Timeout of one request to AWS, up to the last byte of the response.",
    )
    aws_max_attempts: int = _variable(
        parsers.integer(1, 20),
        "5",
        "How often one request is sent before the account fails as throttled or timed out.",
    )
    page_limit: int = _variable(
        parsers.integer(1, 10000), "200", "The most pages of one response; each page is a paid request."
    )
    detector: DetectorName = _variable(
        parsers.member(DetectorName),
        "deviation",
        "The rule by which days are judged: deviation compares the account's total with the mean of the days "
        "before; adaptive learns what is usual for each service.",
    )
    sensitivity: Sensitivity = _variable(
        parsers.member(Sensitivity),
        "medium",
        "How sensitive the adaptive detector is: low raises fewer alarms, high raises more.",
    )
    detection_overrides: tuple[DetectionOverride, ...] = _variable(
        lambda text: parse_overrides(text, f"{PREFIX}DETECTION_OVERRIDES"),
        "none",
        "How some accounts are judged differently, as a YAML document; "
        "COSTBATCH_DETECTION_OVERRIDES_FILE may name a file that contains it.",
    )
    anomaly_threshold: Decimal | None = _variable(
        parsers.ratio,
        None,
        "A day is anomalous only if its cost differs from what was expected by more than this ratio; "
        "0.5 and 50% mean the same. If not set, 0.5 for deviation and 0.25 for adaptive.",
    )
    anomaly_baseline_days: int = _variable(
        parsers.integer(1, 400),
        "30",
        "The baseline of the deviation detector is the mean of this many days before the day.",
    )
    anomaly_minimum_history_days: int = _variable(
        parsers.integer(1, 400),
        "7",
        "The deviation detector does not judge accounts with fewer days of history.",
    )
    anomaly_floor: Limit | None = _variable(
        parsers.limit(None),
        None,
        "The smallest difference that counts: one number for every currency, or by currency (EUR=1,JPY=150). "
        "If not set, and in currencies that it does not name, 1 for deviation and 3 for adaptive.",
    )
    anomaly_settle_days: int = _variable(
        parsers.integer(0, 30),
        "2",
        "How many days after its end the cost of a day is complete; only complete days can be drops. "
        "The adaptive detector always waits 2 days.",
    )
    anomaly_cost_basis: CostBasis = _variable(
        parsers.member(CostBasis),
        "unblended",
        "The amount that is compared: unblended, amortized, net_unblended or net_amortized.",
    )
    anomaly_excluded_record_types: frozenset[str] = _variable(
        parsers.names,
        "Credit,Refund,Tax",
        "The record types to leave out of the comparison, as a comma list; use none to exclude nothing.",
    )
    anomaly_per_service: bool = _variable(
        parsers.boolean,
        "false",
        "Whether the deviation detector judges each service as well as the account's total; "
        "adaptive always judges services.",
    )
    anomaly_medium_impact: Limit = _variable(
        parsers.limit("100"),
        "100",
        "The smallest difference of medium severity; one number or by currency, like the floor.",
    )
    anomaly_high_impact: Limit = _variable(
        parsers.limit("1000"),
        "1000",
        "The smallest difference of high severity; one number or by currency, like the floor.",
    )
    root_cause_minimum: Limit | None = _variable(
        parsers.limit(None),
        None,
        "The smallest difference of an open anomaly for which a run asks for the root cause; one number or "
        "by currency, like the floor. Each anomaly takes one paid request, or up to five if the response is "
        "long. If not set, and in currencies that it does not name, no root cause is asked for.",
    )
    first_charge_floor: Limit = _variable(
        parsers.limit("0.01"),
        "0.01",
        "The smallest daily cost that counts as a first charge of a service, or of a dormant account; "
        "one number or by currency, like the floor.",
    )
    dormant_accounts: frozenset[str] = _variable(
        parsers.account_ids,
        "none",
        "Accounts that are expected to cost nothing, as a comma list of 12-digit ids; "
        "if one begins to cost something, an event says so.",
    )
    anomaly_level_margin: Decimal = _variable(
        parsers.ratio,
        "0.2",
        "How far a day may go beyond a level that was dismissed, expected or acknowledged, and still count "
        "as at that level, as a ratio of the level.",
    )
    remind_days: int | None = _variable(
        parsers.integer(1, 90),
        None,
        "Remind of an anomaly each time that it has gone on for this many days; if not set, never.",
    )
    resource_source: SourceChoice = _variable(
        parsers.member(SourceChoice),
        "auto",
        "The API that discovery reads: tagging, explorer, or auto for Resource Explorer if the account has a "
        "view of all its regions.",
    )
    regions: frozenset[str] = _variable(
        parsers.regions,
        "none",
        "The regions that discovery reads if AWS denies the list of an account's enabled ones, as a comma "
        "list.",
    )
    expected_regions: frozenset[str] = _variable(
        parsers.regions,
        "none",
        "Regions whose first use by an account raises no event, as a comma list.",
    )
    required_tags: frozenset[str] = _variable(
        parsers.names,
        "none",
        "The tags that every resource should have, as a comma list; `costbatch resources stats` counts what "
        "lacks them.",
    )
    sinks: tuple[SinkConfig, ...] = _variable(
        parse_list,
        "log",
        "Where events are delivered: log, none, or in a YAML file with any number of sinks "
        "(COSTBATCH_SINKS_FILE).",
    )
    delivery_attempts: int = _variable(
        parsers.integer(1, 1000),
        "10",
        "After how many failed attempts at one sink an event is given up; it can be replayed.",
    )
    delivery_seconds: float = _variable(
        parsers.seconds("1"),
        "120",
        "How long a run may spend on delivering events; what is left goes out with the next run.",
    )
    link_template: LinkTemplate | None = _variable(
        LinkTemplate.parse,
        None,
        "The address of a page about an event, for messages, such as "
        "https://grafana.example.com/d/cost?var-account={aws_account_id}; the placeholders are "
        f"{', '.join(LINK_PLACEHOLDERS)}.",
    )
    account_metrics: bool = _variable(
        parsers.boolean, "true", "Whether to push the cost of each account, as one series per account."
    )
    log_level: str = _variable(
        parsers.choice("debug", "info", "warning", "error"),
        "info",
        "The lowest severity of log lines to write; events that need attention are written at every level.",
    )
    log_format: str = _variable(
        parsers.choice("auto", "json", "console"),
        "auto",
        "The format of log lines; auto is console on a terminal and json elsewhere.",
    )


VARIABLES: tuple[Variable, ...] = tuple(
    Variable(
        name=each.metadata["name"] or PREFIX + each.name.upper(),
        field=each.name,
        parse=each.metadata["parse"],
        default=each.metadata["default"],
        description=each.metadata["description"],
        is_secret=each.metadata["is_secret"],
    )
    for each in fields(Fields)
)
