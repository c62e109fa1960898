"""AWS accounts: their ids, their status, and how their costs are reached."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum

from costbatch.domain.excerpt import excerpt
from costbatch.domain.labels import Labels
from costbatch.domain.periods import DateRange, extend_collected

_ACCOUNT_ID = re.compile(r"[0-9]{12}")
# As IAM documents them: a path of printable ASCII, of up to 512 characters with both its slashes, and a name.
_ROLE_ARN = re.compile(
    r"arn:(aws|aws-cn|aws-us-gov):iam::([0-9]{12}):role/([\x21-\x7e]{1,510}/)?[\w+=,.@-]{1,64}", re.ASCII
)
# The newest days of a collection are not complete yet.
_SETTLING = timedelta(days=2)


class AccountStatus(StrEnum):
    """Whether runs work on the account."""

    ACTIVE = "active"
    PAUSED = "paused"
    REMOVED = "removed"


class AccessMethod(StrEnum):
    """How an account's costs are reached."""

    ACCESS_KEYS = "access_keys"
    ASSUMED_ROLE = "assumed_role"
    POD_IDENTITY = "pod_identity"


class Partition(StrEnum):
    """AWS's partitions; each has its own endpoints and its own credentials."""

    AWS = "aws"
    CHINA = "aws-cn"
    GOVCLOUD = "aws-us-gov"


def is_account_id(text: str) -> bool:
    """Whether a text is an AWS account id of 12 digits."""
    return _ACCOUNT_ID.fullmatch(text) is not None


def parse_account_id(text: str) -> str:
    """Return an AWS account id as 12 digits; dashes, as the console shows them, are accepted.

    Raises:
        ValueError: not 12 digits.

    """
    digits = text.strip().replace("-", "")
    if not is_account_id(digits):
        raise ValueError(f"{excerpt(text)} is not an AWS account id: it must have 12 digits.")
    return digits


@dataclass(frozen=True, slots=True)
class RoleArn:
    """The ARN of an IAM role, with its account and partition."""

    arn: str
    aws_account_id: str
    partition: Partition

    @classmethod
    def parse(cls, text: str) -> "RoleArn":
        """Return the parts of a role's ARN.

        Raises:
            ValueError: not the ARN of an IAM role.

        """
        match = _ROLE_ARN.fullmatch(text.strip())
        if match is None:
            raise ValueError(
                f"{excerpt(text)} is not the ARN of an IAM role: it must look like "
                "arn:aws:iam::123456789012:role/NAME, with a name of 1 to 64 letters, digits or any of "
                "+ = , . @ _ - and before it at most a path such as /team/."
            )
        return cls(arn=match.group(0), aws_account_id=match.group(2), partition=Partition(match.group(1)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Failing:
    """Since when a job fails for an account, and why."""

    since: datetime
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a job got with an account, over all its runs.

    covered: the days that are stored without a gap. unknown: those of them of which only a part of the cost,
    or none, could ever be read. backfilled_from: the day of these from which on only backfills have read, if
    any. failing: set while the job fails for the account.
    """

    covered: DateRange | None = None
    backfilled_from: date | None = None
    unknown: frozenset[date] = frozenset()
    failing: Failing | None = None

    @property
    def ordinary_end(self) -> date | None:
        """The end of the days of the last ordinary run: from here on it can be told which were missed."""
        return self.backfilled_from or (self.covered.end_exclusive if self.covered else None)

    def seeing(self, hidden: DateRange | None, shown: Collection[date]) -> "Progress":
        """Return the progress with what a response says of the days that were stored before it.

        hidden: its days before the first one that AWS still shows. Those that had not settled when they were
        read last are unknown, until AWS shows them again. shown: the days with cost in it.
        """
        unknown = self.unknown.difference(shown)
        if hidden is not None and self.covered is not None:
            first = max(self.covered.end_exclusive - _SETTLING, hidden.start)
            unknown |= {day for day in hidden if day >= first}
        return replace(self, unknown=unknown)

    def extended(self, window: DateRange, *, is_ordinary: bool) -> "Progress":
        """Return the progress after a run has read ``window``."""
        covered, end = extend_collected(self.covered, window, is_ordinary=is_ordinary), self.ordinary_end
        if is_ordinary:
            end = max(end or window.end_exclusive, window.end_exclusive)
        is_ahead = covered is not None and end is not None and end < covered.end_exclusive
        unknown = frozenset(day for day in self.unknown if covered is not None and day in covered)
        return replace(self, covered=covered, backfilled_from=end if is_ahead else None, unknown=unknown)


NO_PROGRESS = Progress()


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One AWS account row; ``id`` is the row, ``aws_account_id`` the 12 digits.

    ``role_arn`` is set for assumed roles; ``base_account_id`` is the row whose credentials assume it
    (None: the pod's own). ``created_at``: when it was added, for the last time.
    """

    id: int
    aws_account_id: str
    name: str
    status: AccountStatus
    access: AccessMethod
    partition: Partition = Partition.AWS
    role_arn: str | None = None
    base_account_id: int | None = None
    labels: Labels = ()
    created_at: datetime | None = None

    def __str__(self) -> str:
        return f"{self.aws_account_id} ({self.name})"


def failing_since_added(account: Account, progress: Progress) -> Failing | None:
    """Return since when it is known to fail; None if that was before it was removed and added again."""
    failing = progress.failing
    is_older = failing and account.created_at and failing.since < account.created_at
    return None if is_older else failing


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsNeeds:
    """What some accounts need of the process: the partitions to reach, and whether it needs an identity."""

    partitions: frozenset[Partition]
    pod_identity: bool


def needs_of(accounts: Sequence[Account], registered: Sequence[Account]) -> AwsNeeds:
    """Return what the accounts need; any registered account may assume their roles."""
    return AwsNeeds(
        partitions=frozenset(account.partition for account in accounts),
        pod_identity=bool(users_of_pod(accounts, registered)),
    )


def users_of_pod(accounts: Sequence[Account], registered: Sequence[Account]) -> list[Account]:
    """Return the accounts whose chain of credentials begins with the pod's own."""
    by_row = {account.id: account for account in registered}
    users = []
    for account in accounts:
        first = base_chain(account, by_row)[-1]
        if first.access is not AccessMethod.ACCESS_KEYS and first.base_account_id is None:
            users.append(account)
    return users


def base_chain(account: Account, by_row: Mapping[int, Account]) -> list[Account]:
    """Return the account, the one whose credentials assume its role, and so on to the first that signs.

    A chain in a circle, which only an edited database can hold, ends before it repeats.
    """
    chain: list[Account] = []
    link: Account | None = account
    while link is not None and link not in chain:
        chain.append(link)
        link = by_row.get(link.base_account_id) if link.base_account_id is not None else None
    return chain


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAccount:
    """An account to register."""

    aws_account_id: str
    name: str
    access: AccessMethod
    partition: Partition = Partition.AWS
    role_arn: str | None = None
    base_account_id: int | None = None
