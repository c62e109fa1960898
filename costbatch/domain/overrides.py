"""How some accounts are judged differently from all others."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TypeAlias

from costbatch.domain.accounts import Account
from costbatch.domain.adaptive_rule import Sensitivity
from costbatch.domain.detection import DetectorName, Rule
from costbatch.domain.labels import Labels
from costbatch.domain.money import Limit

# Returns the rule of an account: the general one, with what its overrides set differently.
RuleOf: TypeAlias = Callable[[Account], Rule]


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionOverride:
    """Settings of detection for some accounts; None: as without it.

    accounts, labels: for which: one of the ids if there are any, and all of the labels.
    minimum: the smallest difference by currency; other: in the currencies that it does not name.
    minimum_percent: the smallest difference in percent of what was expected.
    """

    name: str = ""
    accounts: frozenset[str] = frozenset()
    labels: Labels = ()
    detector: DetectorName | None = None
    sensitivity: Sensitivity | None = None
    minimum: tuple[tuple[str, Decimal], ...] = ()
    other: Decimal | None = None
    minimum_percent: Decimal | None = None

    def holds_for(self, account: Account) -> bool:
        """Whether it is for the account."""
        if self.accounts and account.aws_account_id not in self.accounts:
            return False
        return set(self.labels) <= set(account.labels)

    def floor(self, otherwise: Limit) -> Limit:
        """Return the smallest difference; what it does not name is as otherwise."""
        return Limit(self.other, self.minimum).over(otherwise)

    def __str__(self) -> str:
        return self.name


NO_OVERRIDE = DetectionOverride()


def override_of(account: Account, overrides: Iterable[DetectionOverride]) -> DetectionOverride:
    """Return all that holds for an account as one override: of the same key, the last one counts."""
    found = NO_OVERRIDE
    for each in overrides:
        if not each.holds_for(account):
            continue
        found = replace(
            found,
            detector=each.detector or found.detector,
            sensitivity=each.sensitivity or found.sensitivity,
            minimum_percent=found.minimum_percent if each.minimum_percent is None else each.minimum_percent,
        )
        if each.minimum or each.other is not None:
            found = replace(found, minimum=each.minimum, other=each.other)
    return found
