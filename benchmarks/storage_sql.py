"""The SQL of the storage benchmark: three layouts of `daily_costs`, its data and the program's statements.

Each layout lives in a schema of its own and is chosen by `search_path`, so that every statement below is the
same text for all of them.
"""

import datetime as dt
import itertools
from typing import Final

ACCOUNT_SERVICES: Final = 25
FIRST_DAY: Final = dt.date(2025, 1, 1)
DAYS: Final = 390
NEW_DAY: Final = FIRST_DAY + dt.timedelta(days=DAYS)
WINDOW_START: Final = NEW_DAY - dt.timedelta(days=36)

KEY: Final = ("account_id", "usage_date", "service", "record_type")
AMOUNTS: Final = ("unblended", "amortized", "net_unblended", "net_amortized", "usage_quantity")
VALUES: Final = ("currency", *AMOUNTS, "estimated")
COLUMNS: Final = (*KEY, *VALUES)

LAYOUTS: Final = ("plain", "monthly", "lookup")
"""`lookup` is `plain` with the service as an integer: a lookup table at its best, ids known to the client."""

_PREFIXES: Final = ("Amazon Elastic", "AWS", "Amazon", "AWS Managed")
_NOUNS: Final = (
    "Compute Cloud - Compute", "Load Balancing", "Key Management Service", "Simple Storage Service", "Lambda",
    "Relational Database Service", "CloudTrail", "Virtual Private Cloud", "DynamoDB", "Data Transfer",
)  # fmt: skip
SERVICES: Final = [f"{prefix} {noun}" for prefix in _PREFIXES for noun in _NOUNS]
RECORD_TYPES: Final = [
    {3: "Tax", 13: "SavingsPlanCoveredUsage", 23: "Credit"}.get(number, "Usage")
    for number in range(len(SERVICES))
]

UPSERT: Final = f"""
INSERT INTO daily_costs ({", ".join(COLUMNS)})
SELECT {", ".join(f"s.{column}" for column in COLUMNS)}
FROM staging s
LEFT JOIN LATERAL (
    SELECT true AS same FROM daily_costs d
    WHERE d.account_id = %(account)s AND d.usage_date = s.usage_date
      AND d.service = s.service AND d.record_type = s.record_type
      AND d.usage_date >= %(start)s AND d.usage_date < %(end)s
      AND ({", ".join(f"d.{column}" for column in VALUES)})
          IS NOT DISTINCT FROM ({", ".join(f"s.{column}" for column in VALUES)})
    LIMIT 1
) stored ON true
WHERE stored.same IS NULL
ON CONFLICT ({", ".join(KEY)}) DO UPDATE SET {", ".join(f"{column} = excluded.{column}" for column in VALUES)}
RETURNING usage_date
"""
# The same result without a join: no statistics can spoil its plan, and one range scan reads the window.
UPSERT_EXCEPT: Final = f"""
INSERT INTO daily_costs ({", ".join(COLUMNS)})
SELECT {", ".join(COLUMNS)} FROM staging
EXCEPT ALL
SELECT {", ".join(COLUMNS)} FROM daily_costs
WHERE account_id = %(account)s AND usage_date >= %(start)s AND usage_date < %(end)s
ON CONFLICT ({", ".join(KEY)}) DO UPDATE SET {", ".join(f"{column} = excluded.{column}" for column in VALUES)}
RETURNING usage_date
"""
WINDOW: Final = "account_id = %(account)s AND usage_date >= %(start)s AND usage_date < %(end)s"
COUNT: Final = f"SELECT count(*) FROM daily_costs WHERE {WINDOW}"
DELETE_VANISHED: Final = f"""
DELETE FROM daily_costs d WHERE {WINDOW} AND NOT EXISTS (
    SELECT FROM staging s
    WHERE (s.usage_date, s.service, s.record_type) = (d.usage_date, d.service, d.record_type))
"""
STAGING: Final = "CREATE TEMP TABLE IF NOT EXISTS staging (LIKE daily_costs) ON COMMIT DELETE ROWS"

JUDGE: Final = f"SELECT usage_date, currency, sum(unblended) FROM daily_costs WHERE {WINDOW} GROUP BY 1, 2"
FIRST_COST: Final = "SELECT min(usage_date) FROM daily_costs WHERE account_id = %(account)s"
LAST_MONTH: Final = """
SELECT service, currency, sum(unblended) FROM daily_costs
WHERE usage_date >= DATE '2025-12-01' AND usage_date < DATE '2026-01-01' GROUP BY 1, 2
"""


def months(first: dt.date, count: int) -> list[dt.date]:
    """Return the first day of `count` calendar months, beginning with that of `first`."""
    start = first.year * 12 + first.month - 1
    return [dt.date(number // 12, number % 12 + 1, 1) for number in range(start, start + count)]


def partition_name(month: dt.date) -> str:
    """Return the table that holds one calendar month."""
    return f"daily_costs_{month:%Y_%m}"


def create_layout(layout: str, fillfactor: int = 100) -> str:
    """Return the statements that create `daily_costs` in the first schema of the search path."""
    service = "integer" if layout == "lookup" else 'text COLLATE "C"'
    partitioned = layout == "monthly"
    tail = " PARTITION BY RANGE (usage_date)" if partitioned else f" WITH (fillfactor = {fillfactor})"
    statements = [
        f"""CREATE TABLE daily_costs (
            account_id bigint NOT NULL, usage_date date NOT NULL, service {service} NOT NULL,
            record_type text COLLATE "C" NOT NULL, currency text COLLATE "C" NOT NULL,
            unblended numeric NOT NULL, amortized numeric NOT NULL,
            net_unblended numeric, net_amortized numeric,
            usage_quantity numeric, estimated boolean NOT NULL,
            PRIMARY KEY (account_id, usage_date, service, record_type)){tail}"""
    ]
    if partitioned:
        starts = months(FIRST_DAY, 15)
        statements += [
            f"CREATE TABLE {partition_name(start)} PARTITION OF daily_costs "
            f"FOR VALUES FROM ('{start}') TO ('{end}')"
            for start, end in itertools.pairwise(starts)
        ]
    return ";\n".join(statements)


# OFFSET 0 keeps the planner from pulling the subqueries up and computing the hash once per column.
FILL_DAY: Final = f"""
INSERT INTO daily_costs ({", ".join(COLUMNS)})
SELECT account, %(day)s, (%(services)s)[pick], (%(record_types)s)[pick], 'USD',
       cost, amortized, cost, amortized, quantity, %(estimated)s
FROM (
    SELECT account, pick, cost, CASE WHEN pick %% 5 = 0 THEN cost * 0.9 ELSE cost END AS amortized, quantity
    FROM (
        SELECT account, pick, (hash & 1099511627775)::numeric * 0.0000000001 AS cost,
               ((hash >> 20) & 1099511627775)::numeric * 0.0000000001 AS quantity
        FROM (
            SELECT n / {ACCOUNT_SERVICES} + 1 AS account,
                   (n / {ACCOUNT_SERVICES} * 7 + n %% {ACCOUNT_SERVICES}) %% {len(SERVICES)} + 1 AS pick,
                   hashint8extended(n + %(ordinal)s * 1000000007::bigint, 0) AS hash
            FROM generate_series(0, %(accounts)s * {ACCOUNT_SERVICES} - 1) n OFFSET 0
        ) hashed OFFSET 0
    ) priced OFFSET 0
) day_of_costs
"""


def fill_parameters(layout: str, day: dt.date, accounts: int) -> dict[str, object]:
    """Return the parameters of FILL_DAY."""
    names: list[int] | list[str] = list(range(1, len(SERVICES) + 1)) if layout == "lookup" else SERVICES
    return {
        "day": day,
        "services": names,
        "record_types": RECORD_TYPES,
        "estimated": day >= dt.date(2026, 1, 1),
        "ordinal": day.toordinal(),
        "accounts": accounts,
    }
