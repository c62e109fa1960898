"""The cap on API cost, and the count of what each account spends of it."""

from threading import Lock

from costbatch.errors import BudgetSpent


class ApiBudget:
    """The paid requests that a run may still make; shared by every fetching thread."""

    def __init__(self, most_requests: int | None = None, *, spent: int = 0) -> None:
        self._most = most_requests
        self._spent = spent
        self._lock = Lock()

    @property
    def is_spent(self) -> bool:
        """Whether not a single request is left."""
        return self._most is not None and self._spent >= self._most

    def spend(self) -> None:
        """Count one request.

        Raises:
            BudgetSpent: none is left.

        """
        with self._lock:
            if self.is_spent:
                raise BudgetSpent("The cap on API cost is reached.")
            self._spent += 1


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
