"""A client of the simulator: starts it as a process and drives its control plane."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any, Self
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

from costbatch.simulator.world import Account, CostRow, World, to_plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import date
    from types import TracebackType

CONTROL_TIMEOUT_SECONDS = 10.0
STOP_TIMEOUT_SECONDS = 10.0
# Loopback is never reached through a proxy, also if the environment sets one.
_OPENER = build_opener(ProxyHandler({}))


class ControlError(Exception):
    """The control plane refused; the message says why."""


class SimulatorClient:
    """Drives a running simulator. `url` is also its AWS endpoint."""

    def __init__(self, url: str) -> None:
        """Drive the simulator at this URL."""
        self.url = url

    def health(self) -> dict[str, Any]:
        """Return status, pid, today and the number of accounts."""
        return self._call("GET", "health")

    def current_world(self) -> World:
        """Return the world as it is now."""
        return World.from_plain(self._call("GET", "world"))

    def replace_world(self, world: World) -> None:
        """Restart with another world."""
        self._call("PUT", "world", to_plain(world))

    def account(self, account_id: str) -> Account:
        """Return one account as it is now."""
        return Account.from_plain(self._call("GET", f"accounts/{account_id}"))

    def update_account(self, account_id: str, **changes: Any) -> Account:  # noqa: ANN401 - JSON values
        """Change fields of an account (JSON values: dates and amounts as strings)."""
        return Account.from_plain(self._call("PATCH", f"accounts/{account_id}", changes))

    def set_rows(self, account_id: str, rows: Iterable[CostRow | Mapping[str, Any]] | None) -> None:
        """Set an account's exact cost rows, or (null) return to its generated cost."""
        plain = None if rows is None else [_row(row) for row in rows]
        self._call("PUT", f"accounts/{account_id}/rows", {"rows": plain})

    def add_fault(
        self,
        account_id: str,
        kind: str,
        *,
        times: int | None = None,
        operation: str | None = None,
        **parameters: Any,  # noqa: ANN401 - JSON values
    ) -> None:
        """Script a fault; `times` null means until it is cleared."""
        fault = {"kind": kind, "times": times, "operation": operation, **parameters}
        self._call("POST", f"accounts/{account_id}/faults", fault)

    def clear_faults(self, account_id: str | None = None) -> None:
        """Forget the faults of one account, or of all."""
        self._call("DELETE", "faults" if account_id is None else f"accounts/{account_id}/faults")

    def requests(self) -> dict[str, Any]:
        """Return the ledger."""
        return self._call("GET", "requests")

    def paid(self, account_id: str | None = None) -> int:
        """Count the pages that AWS would have charged for."""
        ledger = self.requests()
        if account_id is None:
            return int(ledger["total"]["paid"])
        return int(ledger["accounts"].get(account_id, {"paid": 0})["paid"])

    def reset_requests(self) -> None:
        """Set the ledger to zero."""
        self._call("POST", "requests/reset")

    def set_today(self, today: date | None) -> None:
        """Set the UTC day of the world; null follows the real clock."""
        self._call("PUT", "today", {"today": None if today is None else today.isoformat()})

    def today(self) -> str:
        """Return the UTC day of the world."""
        return str(self._call("GET", "today")["today"])

    def set_outage(self, *, on: bool) -> None:
        """Answer every request with 503, or stop doing so."""
        self._call("POST", "outage", {"on": on})

    def set_latency(self, seconds: float) -> None:
        """Delay every answer."""
        self._call("PUT", "latency", {"seconds": seconds})

    def set_rate_limit(self, requests_per_second: float | None) -> None:
        """Throttle the cost requests of all accounts beyond this rate; null means no limit.

        The limit of one account is its own: `update_account(account_id, requests_per_second=…)`.
        """
        self._call("PUT", "rate-limit", {"requests_per_second": requests_per_second})

    def truth(self) -> list[dict[str, Any]]:
        """List the planted anomalies."""
        return list(self._call("GET", "truth")["anomalies"])

    def expire_sessions(self) -> int:
        """End every temporary credential; return how many there were."""
        return int(self._call("POST", "sessions/expire")["expired"])

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = Request(f"{self.url}/_sim/{path}", data=data, method=method)  # noqa: S310 - http of our own
        try:
            with _OPENER.open(request, timeout=CONTROL_TIMEOUT_SECONDS) as response:
                return dict(json.load(response))
        except HTTPError as error:
            with error:
                raise ControlError(json.load(error)["error"]) from None


class SimulatorProcess(SimulatorClient):
    """A simulator in a process of its own, for the time of a `with` block."""

    def __init__(self, world: World | None = None, *, arguments: Sequence[str] = ()) -> None:
        """Serve this world, or what the command-line arguments ask for (the demonstration by default)."""
        super().__init__("")
        self._world = world
        self._arguments = [*arguments] if world is None else ["--world", "-", *arguments]
        self._process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int:
        """The process id."""
        return self._started().pid

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the process and wait until it serves."""
        # Nothing here comes from outside: the interpreter, this package and the caller's options.
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "costbatch.simulator", *self._arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # Ctrl-C on a terminal is for its clients: it must still answer them while they shut down.
            start_new_session=True,
        )
        self._process = process
        world = "" if self._world is None else json.dumps(to_plain(self._world))
        # The exit status below reports a process that has already failed.
        with suppress(BrokenPipeError), _pipe(process.stdin) as pipe:
            pipe.write(world)
        ready = _pipe(process.stdout).readline()
        if not ready:
            self.stop()
            raise ControlError(f"The simulator did not start; exit status {process.returncode}.")
        self.url = json.loads(ready)["url"]

    def stop(self) -> None:
        """Stop the process and wait until it has ended."""
        process = self._started()
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        _pipe(process.stdout).close()

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise ControlError("The simulator has not been started.")
        return self._process


def _pipe(stream: IO[str] | None) -> IO[str]:
    if stream is None:
        raise ControlError("The simulator was started without pipes.")
    return stream


def _row(row: CostRow | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(row, CostRow):
        return to_plain(row)
    return {
        name: value if value is None or isinstance(value, (int, float)) else str(value)
        for name, value in row.items()
    }
