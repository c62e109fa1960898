"""The plain data of a simulated world: accounts, roles, cost, resources, planted anomalies, faults."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import date
from decimal import Decimal
from math import inf
from typing import TYPE_CHECKING, Any, Self, TypeVar

from costbatch.simulator.profiles import PROFILES
from costbatch.simulator.regions import DEFAULT_REGIONS, REGIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

T = TypeVar("T")

DEFAULT_PAGE_SIZE = 2000
ANY_OPERATION = "*"
ACCOUNT_ID_DIGITS = 12
ANOMALY_KINDS = frozenset({"spike", "level_shift", "drop", "runaway"})


class WorldError(ValueError):
    """An invalid world, or an invalid change to one; the message says why."""


@dataclass(frozen=True, slots=True)
class Role:
    """A role that principals of the trusted accounts ("*" means any) may assume."""

    name: str
    external_id: str | None = None
    trusted_account_ids: tuple[str, ...] = ("*",)

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> Self:
        """Read a role from JSON data."""
        role = _build(cls, data)
        return replace(role, trusted_account_ids=tuple(role.trusted_account_ids))


@dataclass(frozen=True, slots=True)
class CostRow:
    """One cost row, as exact as the bill. `unit` is the currency; null means the account's.

    Without `region` and `usage_type` its cost is spread over some, as usage_types.py has it.
    `linked_account` is given in the bill of an organization's payer; empty means the account's own.
    """

    date: date
    service: str
    record_type: str
    unblended: Decimal
    amortized: Decimal
    net_unblended: Decimal
    net_amortized: Decimal
    usage: Decimal = Decimal(0)
    unit: str | None = None
    region: str = ""
    usage_type: str = ""
    linked_account: str = ""

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> Self:
        """Read a row from JSON data; a cost basis that is left out equals the plain one."""
        unblended = _amount(data, "unblended", "0")
        amortized = _amount(data, "amortized", unblended)
        filled = {
            "record_type": "Usage",
            **data,
            "date": _date(data.get("date")),
            "unblended": unblended,
            "amortized": amortized,
            "net_unblended": _amount(data, "net_unblended", unblended),
            "net_amortized": _amount(data, "net_amortized", amortized),
            "usage": _amount(data, "usage", "0"),
        }
        return _build(cls, filled)


@dataclass(frozen=True, slots=True)
class Anomaly:
    """A planted anomaly; `service` null means every service of the account.

    A spike multiplies `days` days (one by default) by `factor`; a level shift and a drop every day from
    `start` (or `days` of them); a runaway multiplies by `factor` again each day. What it adds is usage of
    `usage_type` in `region`; null means one that fits the service. `aws_misses` means that AWS's own
    detection does not find it; `feedback` is what people told AWS.
    """

    kind: str
    start: date
    factor: float
    service: str | None = None
    days: int | None = None
    region: str | None = None
    usage_type: str | None = None
    aws_misses: bool = False
    feedback: str | None = None

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> Self:
        """Read an anomaly from JSON data."""
        anomaly = _build(cls, {**data, "start": _date(data.get("start"))})
        if anomaly.kind not in ANOMALY_KINDS:
            raise WorldError(f"Unknown kind of anomaly: {anomaly.kind!r}.")
        return anomaly


@dataclass(frozen=True, slots=True)
class Fault:
    """A scripted failure of one operation of an account; `times` null means until it is cleared.

    `region` null means requests to any region.
    """

    kind: str
    times: int | None = None
    operation: str | None = None
    region: str | None = None
    seconds: float = 1.0
    status: int = 200
    body: str = ""
    field: str = "ResultsByTime"
    currency: str = "EUR"
    reported_account_id: str = "999999999999"
    message: str | None = None

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> Self:
        """Read a fault from JSON data."""
        return _build(cls, data)


@dataclass(frozen=True, slots=True)
class CurrencyChange:
    """The first usage date that is billed in another currency."""

    start: date
    currency: str

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> Self:
        """Read a currency change from JSON data."""
        return _build(cls, {**data, "start": _date(data.get("start"))})


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource, in a region or "global". One that was tagged once is listed with the tagged ones."""

    arn: str
    region: str
    tags: tuple[tuple[str, str], ...] = ()
    was_tagged: bool = False

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> Self:
        """Read a resource from JSON data; its tags are pairs."""
        resource = _build(cls, data)
        return replace(resource, tags=tuple((str(key), str(value)) for key, value in resource.tags))


@dataclass(frozen=True, slots=True)
class Burst:
    """Instances in a region that is used for nothing else, as a stolen key starts them for some days."""

    region: str
    start: date
    instances: int = 20
    days: int = 3

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> Self:
        """Read a burst from JSON data."""
        return _build(cls, {**data, "start": _date(data.get("start"))})


@dataclass(frozen=True, slots=True)
class Explorer:
    """Resource Explorer as an account has set it up: an aggregator index in a region, with one view.

    `replicating_from` null means every other enabled region. `view_filter` is words such as
    `service:ec2 region:eu-west-1`, empty for all resources. `scope` null means the account.
    """

    region: str
    replicating_from: tuple[str, ...] | None = None
    state: str = "ACTIVE"
    view_filter: str = ""
    includes_tags: bool = True
    scope: str | None = None

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> Self:
        """Read the setup from JSON data."""
        explorer = _build(cls, data)
        regions = explorer.replicating_from
        return replace(explorer, replicating_from=None if regions is None else tuple(regions))


@dataclass(frozen=True, slots=True)
class Account:
    """One AWS account: its identity, its cost, its resources and its faults.

    `daily_cost` is the typical cost of a day. `rows` replaces the generated cost. Accounts with the same
    `costs_like` and the same settings have the same cost. `requests_per_second` is the most that AWS takes
    of its cost requests; null means any number.
    `regions` are the enabled ones, the most used first, all of one partition. `resources` is how many
    resources the account ever has; some of them come and go with the days. `inventory` replaces them all,
    also the `bursts`.
    """

    account_id: str
    name: str
    access_key_id: str
    secret_access_key: str
    currency: str = "USD"
    currency_change: CurrencyChange | None = None
    daily_cost: float = 100.0
    services: int = 10
    profile: str = "steady"
    start: date = date(2020, 1, 1)
    anomalies: tuple[Anomaly, ...] = ()
    roles: tuple[Role, ...] = ()
    rows: tuple[CostRow, ...] | None = None
    faults: tuple[Fault, ...] = ()
    costs_like: str | None = None
    status: str = "ACTIVE"
    requests_per_second: float | None = None
    regions: tuple[str, ...] = DEFAULT_REGIONS
    resources: int = 40
    inventory: tuple[Resource, ...] | None = None
    bursts: tuple[Burst, ...] = ()
    explorer: Explorer | None = None

    def currency_on(self, day: date) -> str:
        """Return the currency that a usage date is billed in."""
        change = self.currency_change
        return change.currency if change and day >= change.start else self.currency

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> Self:
        """Read an account from JSON data."""
        account_id = str(data.get("account_id", ""))
        if len(account_id) != ACCOUNT_ID_DIGITS or not account_id.isdecimal():
            raise WorldError(f"An account id has 12 digits, not {account_id!r}.")
        profile = data.get("profile", "steady")
        if profile not in PROFILES:
            raise WorldError(f"Unknown profile {profile!r}; known: {', '.join(sorted(PROFILES))}.")
        regions = tuple(data.get("regions", DEFAULT_REGIONS))
        if unknown := [region for region in regions if region not in REGIONS]:
            raise WorldError(f"Unknown region {unknown[0]!r}; known: {', '.join(REGIONS)}.")
        change, rows = data.get("currency_change"), data.get("rows")
        inventory, explorer = data.get("inventory"), data.get("explorer")
        nested = {
            "start": _date(data.get("start", "2020-01-01")),
            "currency_change": None if change is None else CurrencyChange.from_plain(change),
            "anomalies": tuple(Anomaly.from_plain(item) for item in data.get("anomalies", ())),
            "roles": tuple(Role.from_plain(item) for item in data.get("roles", ())),
            "rows": None if rows is None else rows_from_plain(rows),
            "faults": tuple(Fault.from_plain(item) for item in data.get("faults", ())),
            "requests_per_second": rate_from_plain(data.get("requests_per_second")),
            "regions": regions,
            "inventory": None
            if inventory is None
            else tuple(Resource.from_plain(item) for item in inventory),
            "bursts": tuple(Burst.from_plain(item) for item in data.get("bursts", ())),
            "explorer": None if explorer is None else Explorer.from_plain(explorer),
        }
        return _build(cls, {**data, **nested})


@dataclass(frozen=True, slots=True)
class World:
    """Everything that a simulator starts with. `today` null means the real UTC day.

    `page_size` is the most items of a page, of any operation that is not limited to fewer.

    `requests_per_second` is the most that AWS takes of the cost requests of all accounts together; null means
    any number.

    `group_order` is the order of a day's groups, of which AWS promises none; 0 is that of the rows.
    """

    accounts: tuple[Account, ...]
    seed: int = 1
    today: date | None = None
    page_size: int = DEFAULT_PAGE_SIZE
    group_order: int = 0
    latency_seconds: float = 0.0
    management_account_id: str | None = None
    requests_per_second: float | None = None

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> Self:
        """Read a world from JSON data."""
        today = data.get("today")
        nested = {
            "accounts": tuple(Account.from_plain(item) for item in data.get("accounts", ())),
            "today": None if today is None else _date(today),
            "requests_per_second": rate_from_plain(data.get("requests_per_second")),
        }
        return _build(cls, {**data, **nested})


def rows_from_plain(rows: Iterable[Mapping[str, Any]]) -> tuple[CostRow, ...]:
    """Read explicit cost rows from JSON data."""
    return tuple(CostRow.from_plain(row) for row in rows)


def rate_from_plain(value: object) -> float | None:
    """Read a number of requests per second from JSON data; null means any number."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < inf:
        raise WorldError(f"Requests per second are a number above 0 or null, not {value!r}.")
    return float(value)


def to_plain(value: World | Account | CostRow | Fault | Anomaly | Resource) -> dict[str, Any]:
    """Turn world data into JSON data; amounts and dates become strings."""
    plain = _plain(asdict(value))
    assert isinstance(plain, dict)  # noqa: S101 - asdict of a dataclass is a mapping; this tells mypy
    return plain


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (date, Decimal)):
        return str(value)
    return value


def _build(cls: type[T], data: Mapping[str, Any]) -> T:
    try:
        return cls(**data)
    except TypeError as error:
        raise WorldError(f"{cls.__name__} cannot be read: {error}.") from error


def _date(value: object) -> date:
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(str(value))
    except ValueError as error:
        raise WorldError(f"{value!r} is not a date of the form YYYY-MM-DD.") from error


def _amount(data: Mapping[str, Any], name: str, default: str | Decimal) -> Decimal:
    value = data.get(name)
    # A float has already lost the exact amount, so it is refused.
    if isinstance(value, float):
        raise WorldError(f"{name} must be a string such as '1.25', not the float {value!r}.")
    try:
        return Decimal(default if value is None else value)
    except (ArithmeticError, TypeError, ValueError) as error:
        raise WorldError(f"{name} is not an amount: {value!r}.") from error
