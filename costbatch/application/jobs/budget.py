"""The cap on paid requests, and the count of what each account spends of it."""

from threading import Condition

from costbatch.errors import BudgetSpent


class ApiBudget:
    """The paid requests that a run may still make; shared by every fetching thread.

    A request is reserved before it is sent, and released if AWS does not charge it.
    Other processes of the run spend of it too: what they have recorded is learnt now and then.
    """

    def __init__(self, most_requests: int | None = None) -> None:
        self._most = most_requests
        self._recorded = self._unrecorded = self._reserved = 0
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
        return not self.affordable(1)

    def affordable(self, accounts: int) -> int:
        """Return how many of this many accounts the budget has a request for; each takes one at least."""
        if self._most is None:
            return accounts
        return max(min(accounts, self._most - self._recorded - self._unrecorded - self._reserved), 0)

    def reserve(self) -> None:
        """Take one request; if the last ones are in flight, wait for those that are released.

        Raises:
            BudgetSpent: none is left.

        """
        with self._changed:
            self._changed.wait_for(lambda: not (self.is_spent and self._reserved))
            if self.is_spent:
                raise BudgetSpent("The cap on paid requests is reached.")
            self._reserved += 1

    def complete(self, *, is_charged: bool) -> None:
        """Take a request out of the reserved ones; it counts if it is charged."""
        with self._changed:
            self._reserved -= 1
            self._unrecorded += is_charged
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
        self.close()
        self._budget.reserve()
        self._is_open = True

    def charged(self) -> None:
        """Note that AWS answered the request well."""
        self._complete(requests=1)

    def not_charged(self) -> None:
        """Note that AWS refused the request, or that it never left this machine."""
        self._complete(requests=0)

    def close(self) -> None:
        """Note that there are no more answers: a request without one may have been charged."""
        if self._is_open:
            self.unanswered += 1
            self._complete(requests=1)

    def _complete(self, *, requests: int) -> None:
        self._is_open = False
        self.requests += requests
        self._budget.complete(is_charged=bool(requests))
