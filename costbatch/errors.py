"""Every error that costbatch raises on purpose, and the closed list of kinds of account errors.

    CostbatchError
    ├── ConfigError        wrong usage or configuration; a retry cannot help (exit status 2)
    ├── StorageError       the database is unreachable, or the connection was lost (exit status 1)
    │   └── StatementRefused   the database refused a statement: only one account is affected
    ├── BudgetSpent        the run's cap on API cost is reached; the account is skipped, not failed
    ├── AccountError       one account fails with an ErrorKind; the run continues
    │   └── ResponseTooLongError   AWS's response has more pages than are read; a retry has as many
    └── DeliveryError      a sink or the Pushgateway did not accept it; it is retried later

Messages are whole sentences: what is wrong, where, what to do. They never contain a secret.
"""

from collections.abc import Sequence
from enum import StrEnum


class ErrorKind(StrEnum):
    """Why an account failed: a closed list, fit for metric labels and alert routes."""

    CREDENTIALS_UNREADABLE = "credentials_unreadable"
    CREDENTIALS_REJECTED = "credentials_rejected"
    POD_IDENTITY_MISSING = "pod_identity_missing"
    WRONG_CLOCK = "wrong_clock"
    ACCESS_DENIED = "access_denied"
    COST_EXPLORER_NOT_ENABLED = "cost_explorer_not_enabled"
    RESOURCE_EXPLORER_NOT_ENABLED = "resource_explorer_not_enabled"
    DATA_UNAVAILABLE = "data_unavailable"
    THROTTLED = "throttled"
    TIMEOUT = "timeout"
    MALFORMED_RESPONSE = "malformed_response"
    IMPLAUSIBLE_ANSWER = "implausible_answer"
    WRONG_ACCOUNT = "wrong_account"
    PROCESS_KILLED = "process_killed"
    INTERNAL = "internal"

    @property
    def is_transient(self) -> bool:
        """Whether the same request may succeed minutes later, so that the run retries the account."""
        return self in _TRANSIENT

    @property
    def advice(self) -> str:
        """What to do about it, in whole sentences."""
        return _ADVICE[self]


_TRANSIENT = frozenset({ErrorKind.THROTTLED, ErrorKind.TIMEOUT, ErrorKind.INTERNAL})

_ADVICE = {
    ErrorKind.CREDENTIALS_UNREADABLE: (
        "The stored credentials cannot be decrypted with ENCRYPTION_KEY; "
        "store them again with `costbatch accounts set-credentials`."
    ),
    ErrorKind.CREDENTIALS_REJECTED: (
        "AWS rejected the credentials: they are revoked, expired or mistyped. "
        "Store new ones with `costbatch accounts set-credentials`, or fix the pod's identity or the role."
    ),
    ErrorKind.POD_IDENTITY_MISSING: (
        "The account is reached with the pod's own AWS identity, but the pod has no usable identity. "
        "Annotate its service account with eks.amazonaws.com/role-arn (the chart's "
        "serviceAccount.annotations), or associate a role with it in EKS Pod Identity; "
        "outside of Kubernetes, set AWS_PROFILE or an access key."
    ),
    ErrorKind.WRONG_CLOCK: (
        "AWS refuses requests whose time is more than 5 minutes off; "
        "synchronize this machine's clock (NTP). The credentials are not the problem."
    ),
    ErrorKind.ACCESS_DENIED: (
        "The credentials are valid but lack permissions; grant the identity ce:GetCostAndUsage "
        "(and sts:AssumeRole on the role, if one is used)."
    ),
    ErrorKind.COST_EXPLORER_NOT_ENABLED: (
        "Cost Explorer is not enabled in this account; open it once in the AWS billing console "
        "(data appears about 24 hours later)."
    ),
    ErrorKind.RESOURCE_EXPLORER_NOT_ENABLED: (
        "The account has no Resource Explorer view of all its regions; create an aggregator index and a "
        "default view in it, or discover it with --source tagging "
        "(resources that never had a tag then count as gone)."
    ),
    ErrorKind.DATA_UNAVAILABLE: (
        "AWS has no cost data yet, which is normal for about 24 hours after Cost Explorer is enabled; "
        "the next run tries again."
    ),
    ErrorKind.THROTTLED: (
        "AWS throttled the requests; the next run tries again. "
        "If it happens every night, lower COSTBATCH_CONCURRENCY."
    ),
    ErrorKind.TIMEOUT: (
        "AWS could not be reached or did not respond in time; the next run tries again. "
        "If it happens every night, check the network policy and the proxy."
    ),
    ErrorKind.MALFORMED_RESPONSE: (
        "AWS returned an unexpected response, so nothing was stored; "
        "if it happens again, please report it with the log line of this account."
    ),
    ErrorKind.IMPLAUSIBLE_ANSWER: (
        "Check the cost of these days in the AWS console. If it is really gone, accept it with "
        "`costbatch collect --account ID --accept-vanished`; otherwise the next run tries again."
    ),
    ErrorKind.WRONG_ACCOUNT: (
        "The credentials belong to another AWS account, so nothing was collected; "
        "store the right ones with `costbatch accounts set-credentials`."
    ),
    ErrorKind.PROCESS_KILLED: (
        "Find out why they ended: if the pod ran out of memory, raise its limit or lower "
        "COSTBATCH_CONCURRENCY; if the database was away, run the command again."
    ),
    ErrorKind.INTERNAL: (
        "An unexpected error; the log line of this account has the traceback. Please report it."
    ),
}


class CostbatchError(Exception):
    """Base of every error that costbatch raises on purpose."""


class ConfigError(CostbatchError):
    """Wrong usage or configuration: each problem is one sentence."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems: Sequence[str] = problems


class StorageError(CostbatchError):
    """The database is unreachable, or the connection was lost."""


class StatementRefused(StorageError):  # noqa: N818 - named for what happened, like its neighbours
    """The database refused a statement: bad data, a missing privilege, a constraint."""


class BudgetSpent(CostbatchError):  # noqa: N818 - a limit that the user asked for, not a fault
    """The next request would exceed --max-api-cost."""


class DeliveryError(CostbatchError):
    """A receiver did not accept what was sent.

    is_refused: it refused this very message, and may accept others.
    is_too_large: it refused the message for its size, and may accept its events in smaller ones.
    is_unclear: it cannot be told whether it refused this very message or is away.
    retry_after_seconds: how long it asks to be left alone.
    """

    def __init__(
        self,
        message: str,
        *,
        is_refused: bool = False,
        is_too_large: bool = False,
        is_unclear: bool = False,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.is_refused = is_refused
        self.is_too_large = is_too_large
        self.is_unclear = is_unclear
        self.retry_after_seconds = retry_after_seconds


class AccountError(CostbatchError):
    """One account failed.

    ``detail`` is written by costbatch: AWS's own text may contain ARNs and keys.
    ``advice`` replaces that of the kind if more is known.
    """

    def __init__(self, kind: ErrorKind, detail: str, advice: str = "") -> None:
        self.kind = kind
        self.detail = detail
        self.advice = advice or kind.advice
        super().__init__(f"{detail} {self.advice}")


class ResponseTooLongError(AccountError):
    """AWS's response has more pages than are ever read: to ask again would cost the same and not help."""

    def __init__(self, detail: str, advice: str) -> None:
        super().__init__(ErrorKind.MALFORMED_RESPONSE, detail, advice)
