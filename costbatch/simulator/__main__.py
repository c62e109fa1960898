"""Starts the simulator: `python -m costbatch.simulator`."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from costbatch.simulator.demo_world import demo_world, load_world
from costbatch.simulator.server import LOOPBACK, serving
from costbatch.simulator.simulation import Simulation
from costbatch.simulator.world import World, WorldError

if TYPE_CHECKING:
    from collections.abc import Sequence

USAGE_ERROR = 2
STANDARD_INPUT = "-"


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        world = _world(options)
        simulation = Simulation(world)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"The world cannot be used: {error}\n")
        return USAGE_ERROR
    if options.keys is not None:
        return _print_keys(world, options.keys)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(simulation, host=options.host, port=options.port))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m costbatch.simulator",
        description="A local simulator of AWS: cost, identities, accounts, regions and resources.",
    )
    parser.add_argument("--host", default=LOOPBACK, help="address to listen on (default %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port to listen on (default: a free one)")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--world", metavar="FILE", help="world to load, as JSON; - reads standard input")
    source.add_argument("--demo", action="store_true", help="the demonstration's accounts (the default)")
    source.add_argument("--load", type=int, metavar="N", help="N uniform accounts for load")
    parser.add_argument(
        "--keys",
        metavar="ACCOUNT_ID",
        help="print this account's access key as `aws iam create-access-key` does, and exit",
    )
    parser.add_argument("--seed", type=int, help="seed of the generated cost and keys")
    parser.add_argument("--today", type=date.fromisoformat, help="UTC day of the world, YYYY-MM-DD")
    parser.add_argument("--latency", type=float, help="seconds that every answer takes")
    return parser


def _world(options: argparse.Namespace) -> World:
    world = _source(options)
    if options.seed is not None:
        world = replace(world, seed=options.seed)
    if options.today is not None:
        world = replace(world, today=options.today)
    if options.latency is not None:
        world = replace(world, latency_seconds=options.latency)
    return world


def _source(options: argparse.Namespace) -> World:
    seed = 1 if options.seed is None else options.seed
    if options.world is not None:
        text = sys.stdin.read() if options.world == STANDARD_INPUT else Path(options.world).read_text("utf-8")
        data = json.loads(text)
        if not isinstance(data, dict):
            raise WorldError("a world is a JSON object.")
        return World.from_plain(data)
    if options.load is not None:
        return load_world(options.load, seed=seed, today=options.today)
    # Anomalies are planted relative to the day of the start; the world's clock continues from there.
    world = demo_world(options.today or datetime.now(UTC).date(), seed)
    return replace(world, today=options.today)


def _print_keys(world: World, account_id: str) -> int:
    """Print an account's access key in AWS's own format; return the exit status."""
    account = next((account for account in world.accounts if account.account_id == account_id), None)
    if account is None:
        known = ", ".join(f"{account.account_id} ({account.name})" for account in world.accounts)
        sys.stderr.write(f"There is no account {account_id} in this world; there are {known}.\n")
        return USAGE_ERROR
    key = {
        "UserName": "costbatch",
        "AccessKeyId": account.access_key_id,
        "Status": "Active",
        "SecretAccessKey": account.secret_access_key,
    }
    sys.stdout.write(json.dumps({"AccessKey": key}, indent=4) + "\n")
    return 0


async def _serve(simulation: Simulation, *, host: str, port: int) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with serving(simulation, host=host, port=port) as url:
        sys.stdout.write(json.dumps({"url": url, "pid": os.getpid()}) + "\n")
        sys.stdout.flush()
        await stopped.wait()


if __name__ == "__main__":
    sys.exit(main())
