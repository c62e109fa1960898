"""Every service that an account has ever paid for."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from json import dumps

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from typing_extensions import override

from costbatch.adapters.postgres.detection_tables import first_charges
from costbatch.application.detection_ports import FirstChargeStore
from costbatch.domain.first_charges import FirstCharge

_ADD = sa.text("""
INSERT INTO first_charges (account_id, service, usage_date, currency, amount)
SELECT * FROM json_to_recordset(:charges) AS charges (
    account_id bigint, service text, usage_date date, currency text, amount numeric)
ON CONFLICT DO NOTHING
""")


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
        rows = [
            {
                "account_id": row,
                "service": each.service,
                "usage_date": str(each.usage_date),
                "currency": each.currency,
                "amount": str(each.amount),
            }
            for row, mine in charges.items()
            for each in mine
        ]
        if rows:
            self.connection.execute(_ADD, {"charges": dumps(rows)})
