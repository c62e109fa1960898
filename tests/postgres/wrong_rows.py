"""Rows that must be impossible: for each table a good row, and what is wrong in each bad one."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from tests.support.database_rows import NOW

OTHER, WRONG = UUID(int=2), UUID(int=3)
ARN = "arn:aws:iam::000000000009:role/costbatch"
EARLY, FAR = date(2026, 3, 1), date(2026, 3, 9)
CLAIMED = {"state": "running", "claimed_by": "w", "claim_token": OTHER, "lease_expires_at": NOW}
SECOND_CLAIM = {"run_id": "{second run}", "account_id": "{listed}"}
FAILED = {"state": "failed", "finished_at": NOW, "error_kind": "timeout", "error_message": "m"}

# A good row of each table. What stands in braces is there already: an account, another one that is listed,
# claimed and anomalous, its item, two runs, an event.
GOOD: dict[str, dict[str, Any]] = {
    "accounts": {
        "aws_account_id": "000000000009",
        "name": "n",
        "status": "active",
        "access": "pod_identity",
        "partition": "aws",
        "created_at": NOW,
        "updated_at": NOW,
    },
    "account_credentials": {"account_id": "{account}", "key_id": "k", "sealed": b"s", "updated_at": NOW},
    "runs": {
        "id": OTHER,
        "job": "collect",
        "run_key": "other",
        "status": "running",
        "today": FAR,
        "aws_account_ids": [],
        "options": {},
        "version": "1",
        "started_at": NOW,
    },
    "run_items": {
        "run_id": "{run}",
        "job": "collect",
        "account_id": "{account}",
        "state": "pending",
        "available_at": NOW,
    },
    "account_progress": {
        "account_id": "{account}",
        "job": "collect",
        "covered_start": EARLY,
        "covered_end_exclusive": FAR,
        "failing_since": NOW,
        "failing_kind": "timeout",
    },
    "cost_collections": {
        "run_item_id": "{item}",
        "window_start": EARLY,
        "window_end_exclusive": FAR,
        "rows_fetched": 0,
        "rows_inserted": 0,
        "rows_updated": 0,
        "rows_deleted": 0,
        "days_kept": 0,
    },
    "daily_costs": {
        "account_id": "{account}",
        "usage_date": FAR,
        "service": "s",
        "record_type": "Usage",
        "currency": "USD",
        "unblended": Decimal(1),
        "amortized": Decimal(1),
        "estimated": False,
    },
    "day_digests": {
        "account_id": "{account}",
        "run_item_id": 1,
        "start_date": FAR,
        "days": bytes(40),
    },
    "anomalies": {
        "id": OTHER,
        "account_id": "{account}",
        "direction": "spike",
        "state": "open",
        "severity": "low",
        "start_date": FAR,
        "last_date": FAR,
        "currency": "USD",
        "cost_basis": "unblended",
        "expected": Decimal(1),
        "actual": Decimal(2),
        "explanation": [],
        "revision": 1,
        "detected_at": NOW,
        "updated_at": NOW,
    },
    "events": {
        "id": OTHER,
        "type": "run.failed",
        "cloudevent": {"id": str(OTHER)},
        "occurred_at": NOW,
    },
    "deliveries": {"event_id": "{event}", "sink": "log", "retry_at": NOW},
}

# What an explanation holds of a service.
CONTRIBUTION = {"service": "S3", "expected": "1E-10", "actual": "-0.5"}
WRONG_EXPLANATIONS: tuple[Any, ...] = (
    [1, 2],
    [{}],
    [[]],
    [None],
    ["S3"],
    [[CONTRIBUTION]],
    [CONTRIBUTION, {}],
    [{**CONTRIBUTION, "service": 1}],
    [{**CONTRIBUTION, "service": None}],
    [{**CONTRIBUTION, "expected": 1}],
    [{**CONTRIBUTION, "expected": "NaN"}],
    [{**CONTRIBUTION, "expected": "1E+999999"}],
    [{**CONTRIBUTION, "actual": ""}],
    [{**CONTRIBUTION, "actual": "1\n"}],
    [{**CONTRIBUTION, "actual": ["1"]}],
    [{name: CONTRIBUTION[name] for name in ("service", "expected")}],
)

# Table, what is wrong in the good row, and the constraint that says so.
BAD: list[tuple[str, dict[str, Any], str]] = [
    ("accounts", {"aws_account_id": "12345678901"}, "ck_accounts_aws_account_id_digits"),
    ("accounts", {"aws_account_id": "1234567890123"}, "ck_accounts_aws_account_id_digits"),
    ("accounts", {"aws_account_id": "12345678901x"}, "ck_accounts_aws_account_id_digits"),
    ("accounts", {"aws_account_id": "123456789012\n"}, "ck_accounts_aws_account_id_digits"),
    ("accounts", {"aws_account_id": "\u0660" * 12}, "ck_accounts_aws_account_id_digits"),
    ("accounts", {"aws_account_id": "000000000001"}, "uq_accounts_aws_account_id"),
    ("accounts", {"name": ""}, "ck_accounts_name_given"),
    ("accounts", {"status": "deleted"}, "ck_accounts_status_known"),
    ("accounts", {"access": "password"}, "ck_accounts_access_known"),
    ("accounts", {"partition": "aws-mars"}, "ck_accounts_partition_known"),
    ("accounts", {"access": "assumed_role"}, "ck_accounts_role_iff_assumed"),
    ("accounts", {"role_arn": ARN}, "ck_accounts_role_iff_assumed"),
    ("accounts", {"base_account_id": "{account}"}, "ck_accounts_base_only_assumed"),
    (
        "accounts",
        {"access": "assumed_role", "role_arn": ARN, "base_account_id": 999},
        "fk_accounts_base_account_id",
    ),
    ("account_progress", {"account_id": 999}, "fk_account_progress_account_id"),
    ("account_progress", {"job": ""}, "ck_account_progress_job_given"),
    ("account_progress", {"covered_start": None}, "ck_account_progress_covered_both_or_none"),
    ("account_progress", {"covered_end_exclusive": None}, "ck_account_progress_covered_both_or_none"),
    ("account_progress", {"covered_start": FAR}, "ck_account_progress_covered_not_empty"),
    (
        "account_progress",
        {"covered_end_exclusive": date(2026, 2, 1)},
        "ck_account_progress_covered_not_empty",
    ),
    ("account_progress", {"covered_start": date(1, 1, 1)}, "ck_account_progress_times_plausible"),
    ("account_progress", {"covered_end_exclusive": date.max}, "ck_account_progress_times_plausible"),
    ("account_progress", {"failing_kind": None}, "ck_account_progress_failing_both_or_none"),
    ("account_progress", {"failing_since": None}, "ck_account_progress_failing_both_or_none"),
    ("account_credentials", {"account_id": 999}, "fk_account_credentials_account_id"),
    ("account_credentials", {"key_id": ""}, "ck_account_credentials_given"),
    ("account_credentials", {"sealed": b""}, "ck_account_credentials_given"),
    ("day_digests", {"account_id": 999}, "fk_day_digests_account_id"),
    ("day_digests", {"days": b""}, "ck_day_digests_days_whole"),
    ("day_digests", {"days": bytes(39)}, "ck_day_digests_days_whole"),
    ("day_digests", {"start_date": date.max}, "ck_day_digests_times_plausible"),
    ("runs", {"run_key": "nightly"}, "uq_runs_job_run_key"),
    ("runs", {"job": ""}, "ck_runs_job_given"),
    ("runs", {"run_key": ""}, "ck_runs_run_key_given"),
    ("runs", {"status": "done", "finished_at": NOW}, "ck_runs_status_known"),
    ("runs", {"status": "completed"}, "ck_runs_finished_iff_not_running"),
    ("runs", {"finished_at": NOW}, "ck_runs_finished_iff_not_running"),
    ("runs", {"stopped_by": "nobody", "status": "stopped", "finished_at": NOW}, "ck_runs_stopped_by_known"),
    ("runs", {"stopped_by": "signal"}, "ck_runs_stopped_by_only_stopped"),
    ("runs", {"aws_account_ids": {}}, "ck_runs_aws_account_ids_is_list"),
    ("runs", {"options": []}, "ck_runs_options_is_object"),
    ("run_items", {"run_id": OTHER}, "fk_run_items_run_id"),
    ("run_items", {"account_id": 999}, "fk_run_items_account_id"),
    ("run_items", {"account_id": "{listed}"}, "uq_run_items_run_id_account_id"),
    ("run_items", {"state": "lost", "finished_at": NOW}, "ck_run_items_state_known"),
    ("run_items", {"state": "running"}, "ck_run_items_claim_iff_running"),
    ("run_items", {**CLAIMED, "claimed_by": None}, "ck_run_items_claim_iff_running"),
    ("run_items", {**CLAIMED, "lease_expires_at": None}, "ck_run_items_claim_iff_running"),
    ("run_items", {**CLAIMED, "state": "pending"}, "ck_run_items_claim_iff_running"),
    (
        "run_items",
        {**CLAIMED, **SECOND_CLAIM},
        "uq_run_items_one_claim",
    ),
    ("run_items", {"state": "succeeded"}, "ck_run_items_ended_has_finish"),
    ("run_items", {"state": "failed", "finished_at": NOW}, "ck_run_items_failed_has_kind"),
    ("run_items", {**FAILED, "error_message": None}, "ck_run_items_error_both_or_none"),
    ("run_items", {**FAILED, "error_kind": "bad luck"}, "ck_run_items_error_kind_known"),
    ("run_items", {"state": "skipped", "finished_at": NOW}, "ck_run_items_skipped_has_reason"),
    ("run_items", {"skip_reason": "not_active"}, "ck_run_items_skipped_has_reason"),
    ("run_items", {"api_requests_unanswered": 1}, "ck_run_items_unanswered_are_paid"),
    (
        "run_items",
        {"state": "skipped", "finished_at": NOW, "skip_reason": "mood"},
        "ck_run_items_skip_reason_known",
    ),
    *(
        ("run_items", {column: -1}, "ck_run_items_counts_not_negative")
        for column in ("attempts", "api_requests", "api_requests_unanswered")
    ),
    ("cost_collections", {"run_item_id": 999}, "fk_cost_collections_run_item_id"),
    ("cost_collections", {"window_end_exclusive": EARLY}, "ck_cost_collections_window_not_empty"),
    ("cost_collections", {"window_start": date(2026, 3, 20)}, "ck_cost_collections_window_not_empty"),
    *(
        ("cost_collections", {column: -1}, "ck_cost_collections_counts_not_negative")
        for column in ("rows_fetched", "rows_inserted", "rows_updated", "rows_deleted", "days_kept")
    ),
    ("daily_costs", {"account_id": 999}, "fk_daily_costs_account_id"),
    ("daily_costs", {"currency": "usd"}, "ck_daily_costs_currency_code"),
    ("daily_costs", {"currency": "USDT"}, "ck_daily_costs_currency_code"),
    ("daily_costs", {"currency": ""}, "ck_daily_costs_currency_code"),
    ("daily_costs", {"service": ""}, "ck_daily_costs_service_given"),
    ("daily_costs", {"record_type": ""}, "ck_daily_costs_record_type_given"),
    *(
        ("daily_costs", {column: Decimal(value)}, "ck_daily_costs_amounts_are_numbers")
        for column in ("unblended", "amortized", "net_unblended", "net_amortized", "usage_quantity")
        for value in ("NaN", "Infinity", "-Infinity")
    ),
    ("anomalies", {"account_id": 999}, "fk_anomalies_account_id"),
    ("anomalies", {"run_id": OTHER}, "fk_anomalies_run_id"),
    ("anomalies", {"account_id": "{listed}"}, "uq_anomalies_live"),
    ("anomalies", {"service": ""}, "ck_anomalies_service_given"),
    ("anomalies", {"direction": "sideways", "actual": Decimal(0)}, "ck_anomalies_direction_known"),
    ("anomalies", {"direction": "drop"}, "ck_anomalies_direction_agrees"),
    ("anomalies", {"actual": Decimal("0.5")}, "ck_anomalies_direction_agrees"),
    ("anomalies", {"actual": Decimal(1)}, "ck_anomalies_direction_agrees"),
    ("anomalies", {"actual": Decimal("NaN")}, "ck_anomalies_amounts_are_numbers"),
    ("anomalies", {"expected": Decimal("-Infinity")}, "ck_anomalies_amounts_are_numbers"),
    ("anomalies", {"state": "closed"}, "ck_anomalies_state_known"),
    ("anomalies", {"state": "resolved"}, "ck_anomalies_resolved_has_reason"),
    ("anomalies", {"resolution": "ended"}, "ck_anomalies_resolved_has_reason"),
    ("anomalies", {"state": "resolved", "resolution": "bored"}, "ck_anomalies_resolution_known"),
    ("anomalies", {"severity": "apocalyptic"}, "ck_anomalies_severity_known"),
    ("anomalies", {"cost_basis": "blended"}, "ck_anomalies_cost_basis_known"),
    ("anomalies", {"currency": "$"}, "ck_anomalies_currency_code"),
    ("anomalies", {"last_date": date(2026, 3, 8)}, "ck_anomalies_dates_ordered"),
    ("anomalies", {"revision": 0}, "ck_anomalies_revision_counts"),
    ("anomalies", {"explanation": {}}, "ck_anomalies_explanation_is_list"),
    ("anomalies", {"explanation": "S3"}, "ck_anomalies_explanation_is_list"),
    *(
        ("anomalies", {"explanation": wrong}, "ck_anomalies_explanation_names_services")
        for wrong in WRONG_EXPLANATIONS
    ),
    ("anomalies", {"updated_at": datetime.max.replace(tzinfo=UTC)}, "ck_anomalies_times_plausible"),
    ("accounts", {"created_at": datetime(1, 1, 1, tzinfo=UTC)}, "ck_accounts_times_plausible"),
    ("anomalies", {"start_date": date(1999, 12, 31)}, "ck_anomalies_times_plausible"),
    ("anomalies", {"last_date": date(3000, 1, 1)}, "ck_anomalies_times_plausible"),
    ("anomalies", {"actual": Decimal("1E30")}, "ck_anomalies_amounts_are_numbers"),
    ("events", {"id": WRONG}, "ck_events_cloudevent_has_id"),
    ("events", {"type": "run.exploded"}, "ck_events_type_known"),
    ("events", {"account_id": 999}, "fk_events_account_id"),
    ("events", {"run_id": OTHER}, "fk_events_run_id"),
    ("deliveries", {"event_id": OTHER}, "fk_deliveries_event_id"),
    ("deliveries", {"sink": ""}, "ck_deliveries_sink_given"),
    ("deliveries", {"attempts": -1}, "ck_deliveries_counts_not_negative"),
]
