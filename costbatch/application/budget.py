"""The cap on API cost, and the count of what each account spends of it."""

from threading import Lock

from costbatch.errors import BudgetSpent


class ApiBudget:
    """The paid requests that a run may still make; shared by every fetching thread.

    Other processes of the run spend of it too: what they have recorded is learnt now and then.
    """

    def __init__(self, most_requests: int | None = None) -> None:
        self._most = most_requests
        self._recorded = self._unrecorded = 0
        # Accounts that this process left out because of the cap, also those that it had claimed already.
        self.left_out = 0
        self._lock = Lock()

    @property
    def is_capped(self) -> bool:
        """Whether there is a cap at all."""
        return self._most is not None

    @property
    def is_spent(self) -> bool:
        """Whether not a single request is left."""
        return not self.affordable(1)

    def affordable(self, accounts: int) -> int:
        """Return how many of so many accounts there is a request for; each takes one at least."""
        if self._most is None:
            return accounts
        return max(min(accounts, self._most - self._recorded - self._unrecorded), 0)

    def spend(self) -> None:
        """Count one request.

        Raises:
            BudgetSpent: none is left.

        """
        with self._lock:
            if self.is_spent:
                raise BudgetSpent("The cap on API cost is reached.")
            self._unrecorded += 1

    def record(self, requests: int) -> None:
        """Note that so many requests of this process are in the run's record from now on."""
        with self._lock:
            self._unrecorded -= requests
            self._recorded += requests

    def learn(self, recorded: int) -> None:
        """Take notice of what the run's record holds; what is known to be spent is not forgotten."""
        with self._lock:
            self._recorded = max(self._recorded, recorded)


class Meter:
    """What one attempt spends of the budget; called before each paid request."""

    def __init__(self, budget: ApiBudget) -> None:
        self._budget = budget
        self.requests = 0

    def __call__(self) -> None:
        """Count one request.

        Raises:
            BudgetSpent: none is left.

        """
        self._budget.spend()
        self.requests += 1
