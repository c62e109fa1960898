"""A detector for each account: what judges accounts that are set differently."""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from typing_extensions import override

from costbatch.application.collect.detector import Detector, Night, Replaced, Verdict
from costbatch.application.ports import Transaction
from costbatch.domain.accounts import Account


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorByAccount(Detector):
    """Lets each account be judged by a detector of its own. choose: equal ones are asked once for all."""

    choose: Callable[[Account], Detector]

    @override
    def judge(self, tx: Transaction, accounts: Sequence[Replaced], night: Night) -> dict[int, Verdict]:
        groups: defaultdict[Detector, list[Replaced]] = defaultdict(list)
        for each in accounts:
            groups[self.choose(each.account)].append(each)
        verdicts: dict[int, Verdict] = {}
        for detector, mine in groups.items():
            verdicts |= detector.judge(tx, mine, night)
        return verdicts

    @override
    def learners(
        self, tx: Transaction, accounts: Collection[Account], newest: Mapping[int, date]
    ) -> set[int]:
        groups: defaultdict[Detector, list[Account]] = defaultdict(list)
        for each in accounts:
            groups[self.choose(each)].append(each)
        return {row for detector, mine in groups.items() for row in detector.learners(tx, mine, newest)}
