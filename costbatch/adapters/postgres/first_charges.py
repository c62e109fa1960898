"""Every service that an account has ever paid for."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Connection
from typing_extensions import override

from costbatch.adapters.postgres.detection_tables import first_charges
from costbatch.application.detection_ports import FirstChargeStore
from costbatch.domain.first_charges import FirstCharge


@dataclass(frozen=True, slots=True)
class PostgresFirstCharges(FirstChargeStore):
    """The first charges, within one transaction."""

    connection: Connection

    @override
    def services(self, account_ids: Collection[int]) -> dict[int, set[str]]:
        columns = first_charges.c.account_id, first_charges.c.service
        found: dict[int, set[str]] = {}
        for account_id, service in self.connection.execute(
            sa.select(*columns).where(first_charges.c.account_id.in_(account_ids))
        ):
            found.setdefault(account_id, set()).add(service)
        return found

    @override
    def add(self, charges: Mapping[int, Sequence[FirstCharge]]) -> None:
        rows = [{"account_id": row, **each._asdict()} for row, mine in charges.items() for each in mine]
        if rows:
            self.connection.execute(insert(first_charges).values(rows).on_conflict_do_nothing())
