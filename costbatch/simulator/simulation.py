"""The running world: accounts, identities, faults, ledger, clock, and the changes made to them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from costbatch.simulator.cache import PageCache
from costbatch.simulator.cost_explorer import CostExplorer
from costbatch.simulator.faults import FaultScript
from costbatch.simulator.identities import Identities
from costbatch.simulator.inventory import Inventory
from costbatch.simulator.ledger import Ledger
from costbatch.simulator.limits import RateLimits
from costbatch.simulator.resource_explorer import ResourceExplorer
from costbatch.simulator.tagging import Tagging
from costbatch.simulator.world import Account, Fault, World, WorldError, rows_from_plain, to_plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

CACHE_BYTES = 256 * 1024 * 1024


def utc_now() -> datetime:
    """Return the real time."""
    return datetime.now(UTC)


class Simulation:
    """A running world. `clock` is the time that signatures and sessions are checked against."""

    def __init__(self, world: World, *, clock: Callable[[], datetime] = utc_now) -> None:
        """Start the world."""
        self._clock = clock
        self.ledger = Ledger()
        self.load(world)

    def load(self, world: World) -> None:
        """Replace the world, and reset the ledger, the sessions, the faults and the switches."""
        accounts = {account.account_id: account for account in world.accounts}
        scripts = {account.account_id: FaultScript(account.faults) for account in world.accounts}
        _check_world(world, accounts)
        self.world = world
        self.accounts = accounts
        self.scripts = scripts
        self.identities = Identities(world.accounts, clock=self._clock)
        cache = PageCache(most_bytes=CACHE_BYTES)
        self.cost_explorer = CostExplorer(
            seed=world.seed, page_size=world.page_size, group_order=world.group_order, cache=cache
        )
        inventory = Inventory(seed=world.seed)
        self.tagging = Tagging(inventory=inventory, page_size=world.page_size, cache=cache)
        self.resource_explorer = ResourceExplorer(inventory=inventory, page_size=world.page_size, cache=cache)
        self.fixed_today = world.today
        self.latency_seconds = world.latency_seconds
        self.requests_per_second = world.requests_per_second
        self.limits = RateLimits(clock=self._clock)
        self.outage = False
        self.ledger.reset()

    @property
    def today(self) -> date:
        """The UTC day of the world."""
        return self.fixed_today or self._clock().date()

    def account(self, account_id: str) -> Account:
        """Find an account; an unknown one is an error."""
        try:
            return self.accounts[account_id]
        except KeyError:
            raise WorldError(f"There is no account {account_id}.") from None

    def billed_to(self, account: Account) -> Iterable[Account]:
        """Return the accounts whose cost an account sees: all of its organization, or its own."""
        if account.account_id == self.world.management_account_id:
            return self.accounts.values()
        return (account,)

    def update_account(self, account_id: str, changes: Mapping[str, Any]) -> Account:
        """Change fields of an account; a new key replaces the old one, faults replace the script."""
        if changes.get("account_id", account_id) != account_id:
            raise WorldError("The id of an account cannot be changed.")
        changed = Account.from_plain({**to_plain(self.account(account_id)), **changes})
        owner = self.identities.owner_of(changed.access_key_id)
        if owner is not None and owner.account_id != account_id:
            raise WorldError(f"The access key {changed.access_key_id} belongs to another account.")
        if "faults" in changes:
            self.scripts[account_id] = FaultScript(changed.faults)
        self.accounts[account_id] = changed
        self.identities.register(changed)
        return changed

    def set_rows(self, account_id: str, rows: list[Mapping[str, Any]] | None) -> None:
        """Give an account exact cost rows, or (null) its generated cost back."""
        if rows is not None:
            rows_from_plain(rows)
        self.update_account(account_id, {"rows": rows})

    def add_fault(self, account_id: str, data: Mapping[str, Any]) -> None:
        """Script a fault."""
        self.account(account_id)
        self.scripts[account_id].add(Fault.from_plain(data))

    def clear_faults(self, account_id: str) -> None:
        """Forget the faults of an account."""
        self.account(account_id)
        self.scripts[account_id].clear()

    def current_world(self) -> World:
        """Describe the world as it is now."""
        world = self.world
        return World(
            accounts=tuple(self.accounts.values()),
            seed=world.seed,
            today=self.fixed_today,
            page_size=world.page_size,
            latency_seconds=self.latency_seconds,
            management_account_id=world.management_account_id,
            requests_per_second=self.requests_per_second,
        )

    def truth(self) -> list[dict[str, Any]]:
        """List the planted anomalies."""
        return [
            {"account_id": account.account_id, "name": account.name, **to_plain(anomaly)}
            for account in self.accounts.values()
            for anomaly in account.anomalies
        ]


def _check_world(world: World, accounts: Mapping[str, Account]) -> None:
    if len(accounts) != len(world.accounts):
        raise WorldError("Two accounts have the same id.")
    if len({account.access_key_id for account in world.accounts}) != len(accounts):
        raise WorldError("Two accounts have the same access key.")
    if world.management_account_id not in (None, *accounts):
        raise WorldError(f"The management account {world.management_account_id} is not in the world.")
    if world.page_size < 1:
        raise WorldError("The page size must be at least 1.")
