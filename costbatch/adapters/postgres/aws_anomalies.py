"""The anomalies that AWS detected."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Connection, Row
from typing_extensions import override

from costbatch.adapters.postgres.detection_tables import aws_anomalies
from costbatch.adapters.postgres.readable import readable
from costbatch.adapters.postgres.tables import accounts
from costbatch.application.detection_ports import AwsAnomalyStore
from costbatch.domain.periods import DateRange
from costbatch.domain.second_opinion import AwsAnomaly, AwsRootCause, Feedback, SavedOpinions


@dataclass(frozen=True, slots=True)
class PostgresAwsAnomalies(AwsAnomalyStore):
    """AWS's anomalies, within one transaction."""

    connection: Connection

    @override
    def save(self, account_id: int, found: Sequence[AwsAnomaly], *, now: datetime) -> SavedOpinions:
        saved = SavedOpinions()
        for each in found:
            written = self.connection.execute(_upsert(account_id, each, now)).first()
            saved = saved.plus(
                SavedOpinions(
                    added=int(written is not None and written.is_new),
                    updated=int(written is not None and not written.is_new),
                    unchanged=int(written is None),
                )
            )
        return saved

    @override
    def load(self, days: DateRange) -> list[AwsAnomaly]:
        table = aws_anomalies.c
        statement = (
            sa.select(aws_anomalies, accounts.c.aws_account_id)
            .join_from(aws_anomalies, accounts)
            .where(
                sa.func.coalesce(table.start_date, table.last_date) < days.end_exclusive,
                sa.or_(table.last_date.is_(None), table.last_date >= days.start),
            )
            .order_by(table.start_date, table.id)
        )
        return readable(self.connection.execute(statement), _from_row, "aws_anomaly_unreadable")


def _upsert(account_id: int, each: AwsAnomaly, now: datetime) -> Any:  # noqa: ANN401 - PostgreSQL's insert has no public type
    values = {
        "account_id": account_id,
        "monitor_arn": each.monitor_arn,
        "dimension_value": each.dimension_value,
        "start_date": each.start_date,
        "last_date": each.last_date,
        "score": each.score,
        "impact": each.impact,
        "expected": each.expected,
        "actual": each.actual,
        "feedback": each.feedback.value if each.feedback else None,
        "root_causes": [cause.to_document() for cause in each.root_causes],
    }
    statement = insert(aws_anomalies).values(id=each.id, imported_at=now, updated_at=now, **values)
    stored, given = aws_anomalies.c, statement.excluded
    after: dict[str, Any] = {name: given[name] for name in values}
    after["feedback"] = sa.func.coalesce(given.feedback, stored.feedback)
    is_unexplained = sa.func.jsonb_array_length(given.root_causes) == 0
    after["root_causes"] = sa.case((is_unexplained, stored.root_causes), else_=given.root_causes)
    differs = sa.or_(*(stored[name].is_distinct_from(value) for name, value in after.items()))
    statement = statement.on_conflict_do_update(
        index_elements=["id"], set_={**after, "updated_at": given.updated_at}, where=differs
    )
    # A row that was just inserted has not been updated by any transaction.
    return statement.returning((sa.literal_column("xmax") == 0).label("is_new"))


def _from_row(row: Row[Any]) -> AwsAnomaly:
    return AwsAnomaly(
        id=row.id,
        read_by=row.aws_account_id,
        monitor_arn=row.monitor_arn,
        dimension_value=row.dimension_value,
        start_date=row.start_date,
        last_date=row.last_date,
        score=row.score,
        impact=row.impact,
        expected=row.expected,
        actual=row.actual,
        feedback=Feedback(row.feedback) if row.feedback else None,
        root_causes=tuple(
            AwsRootCause(
                service=each["service"],
                region=each["region"],
                linked_account=each["linked_account"],
                usage_type=each["usage_type"],
                impact=None if each["impact"] is None else Decimal(each["impact"]),
            )
            for each in row.root_causes
        ),
    )
