"""The cap on paid requests, and the count of what each account spends of it."""

from itertools import takewhile
from threading import Condition

from costbatch.errors import BudgetSpent

# How many requests are kept for an account for each that it has made: how many pages it has is not known.
_MAY_NEED = 5


class ApiBudget:
    """The paid requests that a run may still make; shared by every fetching thread.

    A request is reserved before it is sent, and released if AWS does not charge it.
    Other processes of the run spend from it too: what they have recorded is read at intervals.

    If the cap does not leave enough for all pages of an account, the pages that it has read are discarded.
    So each account leaves what the accounts that began before it may still need, and waits until they have
    ended. The first account does not wait.
    """

    def __init__(self, most_requests: int | None = None) -> None:
        self._most = most_requests
        self._recorded = self._unrecorded = self._reserved = 0
        # What each account that has not ended was given, in the order in which they began.
        self._given: dict[Meter, int] = {}
        # Accounts that this process left out because of the cap, also those that it had claimed already.
        self.left_out = 0
        self._changed = Condition()

    @property
    def is_capped(self) -> bool:
        """Whether there is a cap at all."""
        return self._most is not None

    @property
    def is_spent(self) -> bool:
        """Whether not a single request is left."""
        return self._left is not None and self._left <= 0

    def affordable(self, accounts: int, *, in_hand: int = 0) -> int:
        """Return how many of this many accounts may begin; in_hand: how many are claimed and not saved yet.

        The budget keeps several requests for each of them, but one account may always have the rest.
        """
        if (left := self._left) is None:
            return accounts
        least = 0 if in_hand else min(left, 1)
        return max(min(accounts, max(left // _MAY_NEED - in_hand, least)), 0)

    def reserve(self, meter: "Meter") -> None:
        """Take one request; wait while those that began earlier may need it, or it may be released.

        Raises:
            BudgetSpent: none is left.

        """
        with self._changed:
            self._given.setdefault(meter, 0)
            # A reserved request is in flight: it completes without the threads that wait here.
            self._changed.wait_for(lambda: not self._reserved if self.is_spent else self._is_turn_of(meter))
            if self.is_spent:
                raise BudgetSpent("The cap on paid requests is reached.")
            self._reserved += 1
            self._given[meter] += 1

    def complete(self, meter: "Meter", *, is_charged: bool) -> None:
        """Take a request out of the reserved ones; it counts if it is charged."""
        with self._changed:
            self._reserved -= 1
            self._unrecorded += is_charged
            self._given[meter] -= not is_charged
            self._changed.notify_all()

    def end(self, meter: "Meter") -> None:
        """Note that an account needs no more requests: those that wait for it may go on."""
        with self._changed:
            self._given.pop(meter, None)
            self._changed.notify_all()

    def record(self, requests: int) -> None:
        """Note that this many requests of this process are in the run's record from now on."""
        with self._changed:
            self._unrecorded -= requests
            self._recorded += requests

    def learn(self, recorded: int) -> None:
        """Take notice of what the run's record holds; what is known to be spent is not forgotten."""
        with self._changed:
            self._recorded = max(self._recorded, recorded)

    @property
    def _left(self) -> int | None:
        """How many requests may still be sent; None: there is no cap."""
        if self._most is None:
            return None
        return self._most - self._recorded - self._unrecorded - self._reserved

    def _is_turn_of(self, meter: "Meter") -> bool:
        """Whether enough is left for all that began earlier too."""
        if (left := self._left) is None:
            return True
        earlier = list(takewhile(lambda each: each is not meter, self._given))
        kept = sum(_may_still_need(self._given[each]) for each in earlier)
        # An account that has not begun needs room for all its pages, or the pages that it reads are wasted.
        own = _MAY_NEED if earlier and not self._given[meter] else 1
        return left >= kept + own


def _may_still_need(given: int) -> int:
    return _MAY_NEED * max(given, 1) - given


class Meter:
    """What one attempt at an account spends of the budget.

    requests: those that AWS charges, or may have charged. unanswered: how many of them had no answer.
    """

    def __init__(self, budget: ApiBudget) -> None:
        self._budget = budget
        self._is_open = False
        self.requests = self.unanswered = 0

    def __call__(self) -> None:
        """Count one request before it is sent; one before it that is not completed had no answer.

        Raises:
            BudgetSpent: none is left.

        """
        self._give_up_answer()
        self._budget.reserve(self)
        self._is_open = True

    def charged(self) -> None:
        """Note that AWS answered the request well."""
        self._complete(requests=1)

    def not_charged(self) -> None:
        """Note that AWS refused the request, or that it never left this machine."""
        self._complete(requests=0)

    def close(self) -> None:
        """Note that there are no more requests, and no more answers."""
        self._give_up_answer()
        self._budget.end(self)

    def _give_up_answer(self) -> None:
        """Note that the last request, if it had no answer, may have been charged."""
        if self._is_open:
            self.unanswered += 1
            self._complete(requests=1)

    def _complete(self, *, requests: int) -> None:
        self._is_open = False
        self.requests += requests
        self._budget.complete(self, is_charged=bool(requests))
