"""The control plane under /_sim/: plain JSON, unsigned, for tests and demonstrations on the same machine."""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from aiohttp import web

from costbatch.simulator.world import World, WorldError, rate_from_plain, to_plain

if TYPE_CHECKING:
    from costbatch.simulator.simulation import Simulation

PREFIX = "/_sim/"
DONE = {"done": True}
BAD_REQUEST, FORBIDDEN, NOT_FOUND = 400, 403, 404


@dataclass(frozen=True, slots=True)
class Command:
    """A control request: the account in its path, if any, and its JSON body."""

    simulation: Simulation
    account_id: str
    body: dict[str, Any]

    def required(self, name: str) -> Any:  # noqa: ANN401 - decoded JSON; each command checks its own
        """Return a member of the body, or refuse."""
        if name not in self.body:
            raise WorldError(f"The body needs {name!r}.")
        return self.body[name]


async def handle(simulation: Simulation, request: web.BaseRequest) -> web.Response:
    """Answer one control request."""
    if not _is_loopback(request.remote):
        return _refusal(FORBIDDEN, "The control plane answers to this machine only.")
    pattern, account_id = _pattern(request.path.removeprefix(PREFIX))
    command = _COMMANDS.get((request.method, pattern))
    if command is None:
        return _refusal(NOT_FOUND, f"There is no {request.method} {request.path}.")
    try:
        body = _body(await request.text())
        return web.json_response(command(Command(simulation, account_id, body)))
    except (AttributeError, TypeError, ValueError) as error:
        return _refusal(BAD_REQUEST, f"The body cannot be used: {error}")


def _is_loopback(remote: str | None) -> bool:
    # A Unix socket has no remote address and is of this machine.
    return not remote or ipaddress.ip_address(remote.partition("%")[0]).is_loopback


def _pattern(path: str) -> tuple[str, str]:
    parts = path.strip("/").split("/")
    if parts[0] != "accounts" or len(parts) == 1:
        return "/".join(parts), ""
    return "/".join(["accounts", "{id}", *parts[2:]]), parts[1]


def _body(text: str) -> dict[str, Any]:
    try:
        body = json.loads(text or "{}")
    except json.JSONDecodeError as error:
        raise WorldError(f"The body is not JSON: {error}.") from error
    if not isinstance(body, dict):
        raise WorldError("The body must be a JSON object.")
    return body


def _refusal(status: int, message: str) -> web.Response:
    return web.json_response({"error": message}, status=status)


def _health(command: Command) -> object:
    simulation = command.simulation
    return {
        "status": "ok",
        "pid": os.getpid(),
        "today": simulation.today.isoformat(),
        "accounts": len(simulation.accounts),
    }


def _get_world(command: Command) -> object:
    return to_plain(command.simulation.current_world())


def _put_world(command: Command) -> object:
    command.simulation.load(World.from_plain(command.body))
    return DONE


def _get_today(command: Command) -> object:
    simulation = command.simulation
    return {"today": simulation.today.isoformat(), "fixed": simulation.fixed_today is not None}


def _put_today(command: Command) -> object:
    value = command.required("today")
    try:
        command.simulation.fixed_today = None if value is None else date.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise WorldError(f"{value!r} is not a date of the form YYYY-MM-DD.") from error
    return _get_today(command)


def _get_requests(command: Command) -> object:
    return command.simulation.ledger.to_plain()


def _reset_requests(command: Command) -> object:
    command.simulation.ledger.reset()
    return DONE


def _add_fault(command: Command) -> object:
    command.simulation.add_fault(command.account_id, command.body)
    return DONE


def _clear_faults(command: Command) -> object:
    command.simulation.clear_faults(command.account_id)
    return DONE


def _clear_all_faults(command: Command) -> object:
    for account_id in command.simulation.accounts:
        command.simulation.clear_faults(account_id)
    return DONE


def _put_rows(command: Command) -> object:
    command.simulation.set_rows(command.account_id, command.required("rows"))
    return DONE


def _get_account(command: Command) -> object:
    return to_plain(command.simulation.account(command.account_id))


def _patch_account(command: Command) -> object:
    return to_plain(command.simulation.update_account(command.account_id, command.body))


def _set_outage(command: Command) -> object:
    command.simulation.outage = bool(command.required("on"))
    return {"on": command.simulation.outage}


def _set_latency(command: Command) -> object:
    seconds = command.required("seconds")
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or seconds < 0:
        raise WorldError(f"The latency must be a number of seconds, not {seconds!r}.")
    command.simulation.latency_seconds = float(seconds)
    return {"seconds": command.simulation.latency_seconds}


def _set_rate_limit(command: Command) -> object:
    command.simulation.requests_per_second = rate_from_plain(command.required("requests_per_second"))
    return {"requests_per_second": command.simulation.requests_per_second}


def _truth(command: Command) -> object:
    return {"anomalies": command.simulation.truth()}


def _expire_sessions(command: Command) -> object:
    return {"expired": command.simulation.identities.expire_sessions()}


_COMMANDS: dict[tuple[str, str], Callable[[Command], object]] = {
    ("GET", "health"): _health,
    ("GET", "world"): _get_world,
    ("PUT", "world"): _put_world,
    ("GET", "today"): _get_today,
    ("PUT", "today"): _put_today,
    ("GET", "requests"): _get_requests,
    ("POST", "requests/reset"): _reset_requests,
    ("GET", "accounts/{id}"): _get_account,
    ("PATCH", "accounts/{id}"): _patch_account,
    ("PUT", "accounts/{id}/rows"): _put_rows,
    ("POST", "accounts/{id}/faults"): _add_fault,
    ("DELETE", "accounts/{id}/faults"): _clear_faults,
    ("DELETE", "faults"): _clear_all_faults,
    ("POST", "outage"): _set_outage,
    ("PUT", "latency"): _set_latency,
    ("PUT", "rate-limit"): _set_rate_limit,
    ("GET", "truth"): _truth,
    ("POST", "sessions/expire"): _expire_sessions,
}
