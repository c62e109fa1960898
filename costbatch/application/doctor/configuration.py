"""Whether the settings can be read, and whether the key opens what is sealed."""

from collections.abc import Sequence

from costbatch.application.doctor.examination import of_problems
from costbatch.application.doctor.findings import Finding, Mark, failure, ok, warning
from costbatch.application.doctor.ports import DatabaseHealth, SealedSample
from costbatch.application.ports import Vault
from costbatch.errors import AccountError

_REPLACE_KEY = (
    "Make a random one with `costbatch keys generate`, and store the credentials again with "
    "`costbatch accounts set-credentials`."
)


def check_configuration(problems: Sequence[str]) -> Finding:
    """Tell every problem of the configuration."""
    if problems:
        return of_problems(problems)
    return ok("Every setting can be read, and none is missing.")


def check_key(health: DatabaseHealth, vault: Vault, weakness: str = "") -> Finding:
    """Open one credential of each key that has sealed any; what it holds is dropped at once."""
    samples = health.sealed_samples()
    if samples is None:
        return Finding(
            Mark.SKIPPED, "Not looked at, because this database role may not read account_credentials."
        )
    reasons = {sample.sealed.key_id: _why_closed(vault, sample) for sample in samples}
    total = sum(sample.number for sample in samples)
    closed = [sample for sample in samples if reasons[sample.sealed.key_id]]
    opened = total - sum(sample.number for sample in closed)
    key = f"ENCRYPTION_KEY (key id {vault.key_id})"
    if not closed:
        found = f"{key} opens all {total:,} stored credentials."
        if not samples:
            found = f"{key} is well formed; no credentials are stored yet."
        return warning(f"{found} {weakness}", _REPLACE_KEY) if weakness else ok(found)
    groups = "\n".join(_group(sample, reasons[sample.sealed.key_id]) for sample in closed)
    if not opened:
        return failure(
            f"{key} opens none of the {total:,} stored credentials.\n{groups}",
            "Set ENCRYPTION_KEY to the key that sealed them; a run refuses to start with another one.",
            is_configuration=True,
        )
    return warning(
        f"{key} opens {opened:,} of the {total:,} stored credentials.\n{groups}",
        "Store the others again with `costbatch accounts set-credentials`; until then these accounts fail.",
    )


def _why_closed(vault: Vault, sample: SealedSample) -> str:
    """Return why a credential does not open; empty where it does."""
    try:
        vault.open(sample.aws_account_id, sample.sealed)
    except AccountError as error:
        return error.detail
    return ""


def _group(sample: SealedSample, reason: str) -> str:
    return f"{sample.number:,} sealed with key id {sample.sealed.key_id}; the one that was tried: {reason}"
