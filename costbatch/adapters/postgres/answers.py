"""What people answered to anomalies."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from typing_extensions import override

from costbatch.adapters.postgres.detection_tables import anomalies, anomaly_answers
from costbatch.application.detection_ports import AnswerStore
from costbatch.domain.anomalies import Resolution
from costbatch.domain.answers import Answer, AnswerKind
from costbatch.domain.detection import Direction


@dataclass(frozen=True, slots=True)
class PostgresAnswers(AnswerStore):
    """The answers, within one transaction."""

    connection: Connection

    @override
    def add(self, answer: Answer) -> Answer:
        values = {
            "kind": answer.kind.value,
            "account_id": answer.account_id,
            "service": answer.service,
            "currency": answer.currency,
            "direction": answer.direction.value if answer.direction else None,
            "level": answer.level,
            "start_date": answer.start_date,
            "end_date": answer.end_date,
            "anomaly_id": answer.anomaly_id,
            "reason": answer.reason,
            "author": answer.author,
            "created_at": answer.created_at,
        }
        statement = sa.insert(anomaly_answers).values(values).returning(anomaly_answers.c.id)
        return replace(answer, id=self.connection.scalars(statement).one())

    @override
    def load(self, account_ids: Collection[int] | None = None) -> dict[int, list[Answer]]:
        statement = _ANSWERS.where(anomaly_answers.c.withdrawn_at.is_(None))
        if account_ids is not None:
            statement = statement.where(_is_of(account_ids))
        return self._by_account(statement)

    @override
    def given(self, account_ids: Collection[int]) -> dict[int, list[Answer]]:
        return self._by_account(_ANSWERS.where(_is_of(account_ids)))

    @override
    def withdraw(self, answers: Collection[Answer], *, author: str, reason: str, now: datetime) -> None:
        is_named = anomaly_answers.c.id.in_([answer.id for answer in answers])
        still_counts = anomaly_answers.c.withdrawn_at.is_(None)
        statement = sa.update(anomaly_answers).where(is_named, still_counts)
        self.connection.execute(
            statement.values(withdrawn_at=now, withdrawn_by=author, withdrawn_reason=reason)
        )

    def _by_account(self, statement: sa.Select[Any]) -> dict[int, list[Answer]]:
        found: dict[int, list[Answer]] = {}
        for row in self.connection.execute(statement.order_by(anomaly_answers.c.id)):
            answer = Answer(
                id=row.id,
                kind=AnswerKind(row.kind),
                account_id=row.account_id,
                service=row.service,
                currency=row.currency,
                direction=Direction(row.direction) if row.direction else None,
                level=row.level,
                start_date=row.start_date,
                end_date=row.end_date,
                anomaly_id=row.anomaly_id,
                anomaly_is_gone=row.anomaly_is_gone,
                reason=row.reason,
                author=row.author,
                created_at=row.created_at,
                withdrawn_at=row.withdrawn_at,
            )
            found.setdefault(answer.account_id, []).append(answer)
        return found


_ROWS = sa.ARRAY(sa.BigInteger)
_IS_GONE = anomalies.c.resolution.in_([Resolution.RESTATED.value, Resolution.MERGED.value])
_ANSWERS = sa.select(
    anomaly_answers,
    sa.exists().where(anomalies.c.id == anomaly_answers.c.anomaly_id, _IS_GONE).label("anomaly_is_gone"),
)


def _is_of(account_ids: Collection[int]) -> sa.ColumnElement[bool]:
    return anomaly_answers.c.account_id == sa.any_(sa.literal(list(account_ids), _ROWS))
