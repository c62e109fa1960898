"""Reads the anomalies that AWS's Cost Anomaly Detection found, page by page."""

from datetime import date
from decimal import Decimal

import msgspec
from typing_extensions import override

from costbatch.adapters.aws.clients import AwsClients
from costbatch.adapters.aws.cost_explorer.schema import check_name
from costbatch.adapters.aws.credentials import Identities
from costbatch.adapters.aws.operations import GET_ANOMALIES
from costbatch.adapters.aws.pages import Page, Reader, malformed
from costbatch.application.ports import Spend
from costbatch.application.sources import AwsAnomalySource
from costbatch.domain.accounts import parse_account_id
from costbatch.domain.credentials import Access
from costbatch.domain.periods import FIRST_DAY, LAST_DAY, DateRange
from costbatch.domain.second_opinion import AwsAnomaly, AwsRootCause, Feedback

# A hostile body may be nested deeper than any stack.
_UNREADABLE = (msgspec.MsgspecError, ArithmeticError, ValueError, RecursionError)
_LONGEST_ISO_DAY = 10
_LARGEST = Decimal("1e18")


class _Contribution(msgspec.Struct, gc=False):
    Contribution: Decimal


class _RootCause(msgspec.Struct, gc=False):
    Service: str | None = None
    Region: str | None = None
    LinkedAccount: str | None = None
    UsageType: str | None = None
    Impact: _Contribution | None = None


class _Score(msgspec.Struct, gc=False):
    MaxScore: Decimal


class _Impact(msgspec.Struct, gc=False):
    MaxImpact: Decimal
    TotalImpact: Decimal | None = None
    TotalActualSpend: Decimal | None = None
    TotalExpectedSpend: Decimal | None = None


class _Anomaly(msgspec.Struct, gc=False):
    AnomalyId: str
    AnomalyScore: _Score
    Impact: _Impact
    MonitorArn: str
    AnomalyStartDate: str | None = None
    AnomalyEndDate: str | None = None
    DimensionValue: str | None = None
    RootCauses: list[_RootCause] = msgspec.field(default_factory=list)
    feedback: Feedback | None = msgspec.field(default=None, name="Feedback")


class _Page(Page, kw_only=True):
    token: str | None = msgspec.field(default=None, name="NextPageToken")
    anomalies: list[msgspec.Raw] = msgspec.field(name="Anomalies")


_read_anomaly = msgspec.json.Decoder(_Anomaly).decode


class CostAnomalySource(AwsAnomalySource):
    """Fetches AWS's anomalies through GetAnomalies."""

    def __init__(self, *, clients: AwsClients, identities: Identities) -> None:
        self._clients = clients
        self._identities = identities

    @override
    def fetch_anomalies(self, access: Access, days: DateRange, spend: Spend) -> list[AwsAnomaly]:
        keys, account = self._identities.resolve(access), access.account
        limit = self._clients.settings.page_limit
        reader = Reader(self._clients, keys, account.partition, limit, spend)
        # The last day, and not the one after it as in a request for cost.
        interval = {"StartDate": days.start.isoformat(), "EndDate": days.last.isoformat()}
        try:
            read = [
                _read_anomaly(each)
                for page in reader.pages(_Page, GET_ANOMALIES, {"DateInterval": interval})
                for each in page.anomalies
            ]
            found = {each.AnomalyId: each for each in read}
            return [_parsed(each, account.aws_account_id) for each in found.values()]
        except _UNREADABLE as error:
            problem = f"an anomaly is not as documented ({error})"
        raise malformed(GET_ANOMALIES, problem)


def _parsed(each: _Anomaly, read_by: str) -> AwsAnomaly:
    """Return an anomaly; ValueError if a text or a number cannot be one."""
    check_name(each.AnomalyId)
    impact = each.Impact
    return AwsAnomaly(
        id=each.AnomalyId,
        read_by=read_by,
        monitor_arn=_name(each.MonitorArn) or "",
        dimension_value=_name(each.DimensionValue),
        start_date=_day(each.AnomalyStartDate),
        last_date=_day(each.AnomalyEndDate),
        score=_amount(each.AnomalyScore.MaxScore),
        impact=_amount(impact.MaxImpact if impact.TotalImpact is None else impact.TotalImpact),
        expected=None if impact.TotalExpectedSpend is None else _amount(impact.TotalExpectedSpend),
        actual=None if impact.TotalActualSpend is None else _amount(impact.TotalActualSpend),
        feedback=each.feedback,
        root_causes=tuple(
            AwsRootCause(
                service=_name(cause.Service),
                region=_name(cause.Region),
                linked_account=parse_account_id(cause.LinkedAccount) if cause.LinkedAccount else None,
                usage_type=_name(cause.UsageType),
                impact=_amount(cause.Impact.Contribution) if cause.Impact else None,
            )
            for cause in each.RootCauses
        ),
    )


def _name(text: str | None) -> str | None:
    if text:
        check_name(text)
    return text or None


def _day(text: str | None) -> date | None:
    if not text:
        return None
    day = date.fromisoformat(text[:_LONGEST_ISO_DAY])
    if not FIRST_DAY <= day <= LAST_DAY:
        # The database would refuse it, and with it the import of every account.
        raise ValueError(f"{day} is not a day from {FIRST_DAY} to {LAST_DAY}")
    return day


def _amount(number: Decimal) -> Decimal:
    if not number.is_finite() or abs(number) > _LARGEST:
        raise ValueError("an amount has an impossible size")
    return number
