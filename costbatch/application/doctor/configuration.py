"""Checks the settings, and whether the key decrypts the stored credentials."""

from collections.abc import Sequence

from costbatch.application.doctor.examination import of_problems
from costbatch.application.doctor.findings import Finding, Mark, failure, ok, warning
from costbatch.application.doctor.ports import DatabaseHealth
from costbatch.application.ports import Vault
from costbatch.errors import AccountError

_REPLACE_KEY = (
    "Make a random one with `costbatch keys generate`, and store the credentials again with "
    "`costbatch accounts set-credentials`."
)


def check_configuration(problems: Sequence[str]) -> Finding:
    """Report every problem of the configuration."""
    if problems:
        return of_problems(problems)
    return ok("All settings are valid.")


def check_key(health: DatabaseHealth, vault: Vault, weakness: str = "") -> Finding:
    """Decrypt every stored credential; the results are dropped."""
    stored = health.sealed_credentials()
    if stored is None:
        return Finding(Mark.SKIPPED, "Skipped: this database role may not read account_credentials.")
    unreadable: dict[str, list[str]] = {}
    for each in stored:
        try:
            vault.open(each.aws_account_id, each.sealed)
        except AccountError as error:
            unreadable.setdefault(each.sealed.key_id, []).append(error.detail)
    total, opened = len(stored), len(stored) - sum(map(len, unreadable.values()))
    groups = "".join(
        f"\n{len(details):,} encrypted with key id {key_id}; the first of them: {details[0]}"
        for key_id, details in sorted(unreadable.items())
    )
    key = f"ENCRYPTION_KEY (key id {vault.key_id})"
    if not unreadable:
        found = f"{key} decrypts all {total:,} stored credentials."
        if not stored:
            found = f"{key} is valid; no credentials are stored yet."
        return warning(f"{found} {weakness}", _REPLACE_KEY) if weakness else ok(found)
    if not opened:
        return failure(
            f"{key} decrypts none of the {total:,} stored credentials.{groups}",
            "Set ENCRYPTION_KEY to the key that encrypted them; runs refuse to start with another key.",
            is_configuration=True,
        )
    return warning(
        f"{key} decrypts {opened:,} of the {total:,} stored credentials.{groups}",
        "Store the others again with `costbatch accounts set-credentials`; until then their accounts fail.",
    )
