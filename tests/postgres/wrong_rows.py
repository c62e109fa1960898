"""Rows that must be impossible: for each table a good row, and what is wrong in each bad one."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from tests.support.database_rows import NOW

OTHER, WRONG = UUID(int=2), UUID(int=3)
ARN = "arn:aws:iam::000000000009:role/costbatch"
EARLY, FAR = date(2026, 3, 1), date(2026, 3, 9)
CLAIMED = {"state": "collecting", "claimed_by": "w", "claim_token": OTHER, "lease_expires_at": NOW}
SECOND_CLAIM = {"run_id": "{second run}", "account_id": "{listed}"}
WINDOW = {"window_start": date(2026, 3, 1), "window_end_exclusive": FAR}
ENDED = {"state": "collected", "finished_at": NOW, **WINDOW}
FAILED = {"state": "failed", "finished_at": NOW, "error_kind": "timeout", "error_message": "m"}

# A good row of each table. What stands in braces is there already: an account, another one that is listed,
# being collected and anomalous, two runs, an event.
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
        "run_key": "other",
        "status": "running",
        "today": FAR,
        "aws_account_ids": [],
        "version": "1",
        "started_at": NOW,
    },
    "collections": {"run_id": "{run}", "account_id": "{account}", "state": "pending", "available_at": NOW},
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
    "answers": {
        "account_id": "{account}",
        "collection_id": 1,
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
    ("accounts", {"collected_start": FAR}, "ck_accounts_collected_both_or_none"),
    ("accounts", {"collected_end_exclusive": FAR}, "ck_accounts_collected_both_or_none"),
    (
        "accounts",
        {"collected_start": FAR, "collected_end_exclusive": FAR},
        "ck_accounts_collected_not_empty",
    ),
    (
        "accounts",
        {"collected_start": FAR, "collected_end_exclusive": EARLY},
        "ck_accounts_collected_not_empty",
    ),
    (
        "accounts",
        {"collected_start": date(1, 1, 1), "collected_end_exclusive": FAR},
        "ck_accounts_times_plausible",
    ),
    (
        "accounts",
        {"collected_start": EARLY, "collected_end_exclusive": date.max},
        "ck_accounts_times_plausible",
    ),
    ("accounts", {"failing_since": NOW}, "ck_accounts_failing_both_or_none"),
    ("accounts", {"failing_kind": "timeout"}, "ck_accounts_failing_both_or_none"),
    ("account_credentials", {"account_id": 999}, "fk_account_credentials_account_id"),
    ("account_credentials", {"key_id": ""}, "ck_account_credentials_given"),
    ("account_credentials", {"sealed": b""}, "ck_account_credentials_given"),
    ("answers", {"account_id": 999}, "fk_answers_account_id"),
    ("answers", {"days": b""}, "ck_answers_days_whole"),
    ("answers", {"days": bytes(39)}, "ck_answers_days_whole"),
    ("answers", {"start_date": date.max}, "ck_answers_times_plausible"),
    ("runs", {"run_key": "nightly"}, "uq_runs_run_key"),
    ("runs", {"run_key": ""}, "ck_runs_run_key_given"),
    ("runs", {"status": "done", "finished_at": NOW}, "ck_runs_status_known"),
    ("runs", {"status": "completed"}, "ck_runs_finished_iff_not_running"),
    ("runs", {"finished_at": NOW}, "ck_runs_finished_iff_not_running"),
    ("runs", {"stopped_by": "nobody", "status": "stopped", "finished_at": NOW}, "ck_runs_stopped_by_known"),
    ("runs", {"stopped_by": "signal"}, "ck_runs_stopped_by_only_stopped"),
    ("runs", {"days_start": FAR}, "ck_runs_days_both_or_none"),
    ("runs", {"days_start": FAR, "days_end_exclusive": FAR}, "ck_runs_days_not_empty"),
    ("runs", {"days_start": FAR, "days_end_exclusive": EARLY}, "ck_runs_days_not_empty"),
    ("runs", {"aws_account_ids": {}}, "ck_runs_aws_account_ids_is_list"),
    ("collections", {"run_id": OTHER}, "fk_collections_run_id"),
    ("collections", {"account_id": 999}, "fk_collections_account_id"),
    ("collections", {"account_id": "{listed}"}, "uq_collections_run_id_account_id"),
    ("collections", {"state": "lost", "finished_at": NOW}, "ck_collections_state_known"),
    ("collections", {"state": "collecting"}, "ck_collections_claim_iff_collecting"),
    ("collections", {**CLAIMED, "claimed_by": None}, "ck_collections_claim_iff_collecting"),
    ("collections", {**CLAIMED, "lease_expires_at": None}, "ck_collections_claim_iff_collecting"),
    ("collections", {**CLAIMED, "state": "pending"}, "ck_collections_claim_iff_collecting"),
    (
        "collections",
        {**CLAIMED, **SECOND_CLAIM},
        "uq_collections_one_claim",
    ),
    ("collections", {**ENDED, "window_end_exclusive": None}, "ck_collections_window_both_or_none"),
    ("collections", {**ENDED, "window_end_exclusive": date(2026, 3, 1)}, "ck_collections_window_not_empty"),
    ("collections", {**ENDED, "window_start": date(2026, 3, 20)}, "ck_collections_window_not_empty"),
    ("collections", {"state": "collected", "finished_at": NOW}, "ck_collections_collected_has_window"),
    ("collections", {**ENDED, "finished_at": None}, "ck_collections_ended_has_finish"),
    ("collections", {"state": "failed", "finished_at": NOW}, "ck_collections_failed_has_kind"),
    ("collections", {**FAILED, "error_message": None}, "ck_collections_error_both_or_none"),
    ("collections", {**FAILED, "error_kind": "bad luck"}, "ck_collections_error_kind_known"),
    ("collections", {"state": "skipped", "finished_at": NOW}, "ck_collections_skipped_has_reason"),
    ("collections", {"skip_reason": "not_active"}, "ck_collections_skipped_has_reason"),
    ("collections", {"api_requests_unanswered": 1}, "ck_collections_unanswered_are_paid"),
    (
        "collections",
        {"state": "skipped", "finished_at": NOW, "skip_reason": "mood"},
        "ck_collections_skip_reason_known",
    ),
    *(
        ("collections", {column: -1}, "ck_collections_counts_not_negative")
        for column in (
            "attempts",
            "rows_fetched",
            "rows_inserted",
            "rows_updated",
            "rows_deleted",
            "api_requests",
            "days_kept",
        )
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
