"""The statements that replace a window of daily costs, and record in the ledger what they change."""

import sqlalchemy as sa

from costbatch.adapters.postgres.staging import StagingTable

COLUMNS = """(account_id, usage_date, service, record_type, currency,
    unblended, amortized, net_unblended, net_amortized, usage_quantity, estimated)"""

# A session table is made once per server connection; IF NOT EXISTS keeps that true behind a pooler that
# hands out another connection for every transaction. Emptied by each commit, and never in the WAL; the
# DELETE is for a second use in one transaction.
STAGING = StagingTable(
    "costs_staging",
    """
CREATE TEMP TABLE IF NOT EXISTS costs_staging (
    account_id bigint NOT NULL, usage_date date NOT NULL,
    service text COLLATE "C" NOT NULL, record_type text COLLATE "C" NOT NULL,
    currency text COLLATE "C" NOT NULL, unblended numeric NOT NULL, amortized numeric NOT NULL,
    net_unblended numeric, net_amortized numeric, usage_quantity numeric, estimated boolean NOT NULL
) ON COMMIT DELETE ROWS;
DELETE FROM costs_staging;
COPY costs_staging FROM STDIN
""",
)
COPY_TO_COSTS = f"COPY daily_costs {COLUMNS} FROM STDIN"

# EXCEPT compares whole rows without a join whose plan could depend on statistics; the measurement is in
# benchmarks/storage_layout.md. Every part sees the table as it was before; the LIMIT and the bounds of the
# UPDATE keep the planner from reading whole months if it has no statistics. No ON CONFLICT, which logs a
# lock of each row: the accounts are locked, and a row that someone else adds meanwhile is refused. Lines
# without a day tell how many rows each account had. Rows go in by their key, so that an account's days lie
# together and are read so. What changed goes into the ledger in the same statement; of an account's first
# costs only that they came, because there was nothing before them. A run that is resumed after a later night
# changes what that night left, so its changes are of that night: an account's nights never go back.
WRITE_DIFFERENCES = STAGING.text("""
WITH differing AS MATERIALIZED (
    SELECT account_id, usage_date, service, record_type, currency,
        unblended, amortized, net_unblended, net_amortized, usage_quantity, estimated
    FROM costs_staging
    EXCEPT ALL
    SELECT account_id, usage_date, service, record_type, currency,
        unblended, amortized, net_unblended, net_amortized, usage_quantity, estimated
    FROM daily_costs
    WHERE account_id = ANY(:account_ids) AND usage_date >= :start AND usage_date < :end_exclusive
), compared AS MATERIALIZED (
    SELECT n.*, d.unblended IS NOT NULL AS was_stored, d.unblended AS old_unblended,
        d.amortized AS old_amortized, d.net_unblended AS old_net_unblended,
        d.net_amortized AS old_net_amortized, d.usage_quantity AS old_usage_quantity,
        d.estimated AS old_estimated
    FROM differing n LEFT JOIN LATERAL (
        SELECT * FROM daily_costs d
        WHERE d.account_id = n.account_id AND d.usage_date = n.usage_date
          AND d.service = n.service AND d.record_type = n.record_type AND d.currency = n.currency
          AND d.usage_date >= :start AND d.usage_date < :end_exclusive
        LIMIT 1) d ON true
), updated AS (
    UPDATE daily_costs d SET
        unblended = n.unblended, amortized = n.amortized,
        net_unblended = n.net_unblended, net_amortized = n.net_amortized,
        usage_quantity = n.usage_quantity, estimated = n.estimated
    FROM compared n
    WHERE n.was_stored AND d.account_id = n.account_id AND d.usage_date = n.usage_date
      AND d.service = n.service AND d.record_type = n.record_type AND d.currency = n.currency
      AND d.account_id = ANY(:account_ids) AND d.usage_date >= :start AND d.usage_date < :end_exclusive
), inserted AS (
    INSERT INTO daily_costs (
        account_id, usage_date, service, record_type, currency,
        unblended, amortized, net_unblended, net_amortized, usage_quantity, estimated)
    SELECT account_id, usage_date, service, record_type, currency,
        unblended, amortized, net_unblended, net_amortized, usage_quantity, estimated
    FROM compared WHERE NOT was_stored
    ORDER BY account_id, usage_date, service, record_type, currency
), versions AS (
    INSERT INTO cost_versions (account_id, run_id, night, is_first)
    SELECT account_id, :run_id, greatest(CAST(:night AS date), newest.night), newest.night IS NULL
    FROM (SELECT DISTINCT account_id FROM differing) AS changed LEFT JOIN LATERAL (
        SELECT night FROM cost_versions v WHERE v.account_id = changed.account_id ORDER BY v.id DESC LIMIT 1
    ) AS newest ON true
    ORDER BY account_id
    RETURNING id, account_id, is_first
), recorded AS (
    INSERT INTO cost_changes (version_id, account_id, usage_date, service, record_type, currency,
        old_unblended, old_amortized, old_net_unblended, old_net_amortized, old_usage_quantity, old_estimated,
        new_unblended, new_amortized, new_net_unblended, new_net_amortized, new_usage_quantity, new_estimated)
    SELECT versions.id, account_id, usage_date, service, record_type, currency,
        old_unblended, old_amortized, old_net_unblended, old_net_amortized, old_usage_quantity, old_estimated,
        unblended, amortized, net_unblended, net_amortized, usage_quantity, estimated
    FROM compared JOIN versions USING (account_id)
    WHERE NOT versions.is_first
    ORDER BY account_id, usage_date, service, record_type, currency
)
SELECT account_id, usage_date, 0 AS stored_before,
    count(*) FILTER (WHERE NOT was_stored) AS inserted, count(*) FILTER (WHERE was_stored) AS updated
FROM compared GROUP BY account_id, usage_date
UNION ALL
SELECT account_id, NULL, count(*), 0, 0 FROM daily_costs
WHERE account_id = ANY(:account_ids) AND usage_date >= :start AND usage_date < :end_exclusive
GROUP BY account_id
""")

DELETE_VANISHED = STAGING.text("""
WITH gone AS (
    DELETE FROM daily_costs d
    WHERE d.account_id = ANY(:account_ids) AND d.usage_date >= :start AND d.usage_date < :end_exclusive
      AND NOT EXISTS (
        SELECT FROM costs_staging s
        WHERE s.account_id = d.account_id AND s.usage_date = d.usage_date
          AND s.service = d.service AND s.record_type = d.record_type AND s.currency = d.currency)
    RETURNING d.*
), versions AS (
    INSERT INTO cost_versions (account_id, run_id, night, is_first)
    SELECT account_id, CAST(:run_id AS uuid), greatest(CAST(:night AS date), newest.night), false
    FROM (SELECT DISTINCT account_id FROM gone) AS changed LEFT JOIN LATERAL (
        SELECT night FROM cost_versions v WHERE v.account_id = changed.account_id ORDER BY v.id DESC LIMIT 1
    ) AS newest ON true
    RETURNING id, account_id
), recorded AS (
    INSERT INTO cost_changes (version_id, account_id, usage_date, service, record_type, currency,
        old_unblended, old_amortized, old_net_unblended, old_net_amortized, old_usage_quantity, old_estimated)
    SELECT versions.id, account_id, usage_date, service, record_type, currency,
        unblended, amortized, net_unblended, net_amortized, usage_quantity, estimated
    FROM gone JOIN versions USING (account_id)
)
SELECT account_id, usage_date FROM gone
""")

ADD_FIRST_VERSIONS = sa.text("""
INSERT INTO cost_versions (account_id, run_id, night, is_first)
SELECT account_id, :run_id, :night, true FROM unnest(CAST(:account_ids AS bigint[])) AS account_id
""")
