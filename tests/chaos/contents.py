"""What a database holds, without what may differ between two runs that did the same: ids, times, attempts."""

import json
from typing import Any

from tests.support.harness import Harness, Row

_QUERIES = {
    "accounts": """
        SELECT aws_account_id, name, status, access, role_arn FROM accounts ORDER BY 1""",
    "account_progress": """
        SELECT aws_account_id, job, covered_start, covered_end_exclusive, failing_kind,
            failing_since IS NOT NULL AS is_failing
        FROM account_progress JOIN accounts ON accounts.id = account_id ORDER BY 1, 2""",
    "daily_costs": """
        SELECT aws_account_id, usage_date, service, record_type, currency, unblended, amortized,
            net_unblended, net_amortized, usage_quantity, estimated
        FROM daily_costs JOIN accounts ON accounts.id = account_id ORDER BY 1, 2, 3, 4""",
    "run_items": """
        SELECT run_key, aws_account_id, state, window_start, window_end_exclusive, rows_fetched,
            rows_inserted, rows_updated, rows_deleted, error_kind, error_message, skip_reason, claimed_by,
            claim_token, lease_expires_at, run_items.finished_at IS NOT NULL AS is_finished
        FROM run_items JOIN runs ON runs.id = run_id JOIN accounts ON accounts.id = account_id
            LEFT JOIN cost_collections ON run_item_id = run_items.id
        ORDER BY 1, 2""",
    "anomalies": """
        SELECT aws_account_id, service, direction, state, severity, resolution, start_date, last_date,
            currency, cost_basis, expected, actual, lower, upper, score, reason, words, explanation, revision,
            run_key
        FROM anomalies JOIN accounts ON accounts.id = account_id JOIN runs ON runs.id = run_id
        ORDER BY 1, 2 NULLS FIRST, 3, start_date, state""",
    "daily_expectations": """
        SELECT aws_account_id, daily_expectations.* FROM daily_expectations
        JOIN accounts ON accounts.id = account_id ORDER BY 1, usage_date, service, currency""",
    "detector_memories": """
        SELECT aws_account_id, currency, version, newest_date, md5(snapshot), md5(mornings) AS mornings
        FROM detector_memories JOIN accounts ON accounts.id = account_id ORDER BY 1, 2""",
    "first_charges": """
        SELECT aws_account_id, service, usage_date, currency, amount
        FROM first_charges JOIN accounts ON accounts.id = account_id ORDER BY 1, 2""",
    "runs": """
        SELECT run_key, job, status, today, options, aws_account_ids, finished_at IS NOT NULL AS is_finished
        FROM runs ORDER BY 1""",
    "partitions": """
        SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
        WHERE inhparent IN ('daily_costs'::regclass, 'daily_expectations'::regclass) ORDER BY 1""",
    "undelivered": "SELECT event_id FROM deliveries WHERE state <> 'delivered'",
    "sinks": "SELECT sink, count(*) FROM deliveries GROUP BY 1 ORDER BY 1",
}
_VARYING = {
    "id",
    "run_id",
    "started_at",
    "finished_at",
    "since",
    "duration_seconds",
    "api",
    "api_requests_unanswered",
}


def contents(harness: Harness, run_key: str) -> dict[str, list[Row] | list[str]]:
    """Return what the harness's database holds, table by table, and the events of a run as texts."""
    tables: dict[str, list[Row] | list[str]] = {name: harness.rows(query) for name, query in _QUERIES.items()}
    events = harness.rows(
        "SELECT cloudevent FROM events JOIN runs ON runs.id = run_id WHERE run_key = %s", run_key
    )
    tables["events"] = sorted(_told(row["cloudevent"]) for row in events)
    return tables


def event_ids(harness: Harness, run_key: str) -> set[str]:
    """Return the ids of the events that a run wrote."""
    rows = harness.rows("SELECT e.id FROM events e JOIN runs ON runs.id = run_id WHERE run_key = %s", run_key)
    return {str(row["id"]) for row in rows}


def _told(event: dict[str, Any]) -> str:
    """Return an event's type, subject and data; two events that tell the same are the same text."""
    return json.dumps([event["type"], event["subject"], _lasting(event["data"])], sort_keys=True)


def _lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _lasting(one) for name, one in value.items() if name not in _VARYING}
    return [_lasting(one) for one in value] if isinstance(value, list) else value
