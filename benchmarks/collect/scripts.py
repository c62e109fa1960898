"""Scripts under measurement: the plain way and dlt's ways, each a process that ends by itself."""

import json
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from benchmarks.collect import program
from benchmarks.collect.processes import ROOT, run
from benchmarks.collect.testbed import DAYS, Reading, Testbed
from costbatch.simulator.demo_world import load_world

BENCHMARKS = ROOT / "benchmarks"
_METERED = BENCHMARKS / "collect" / "metered.py"


def run_script(
    testbed: Testbed, name: str, *arguments: str, environ: Mapping[str, str], python: Path | None = None
) -> Reading:
    """Run a script of this folder to its end; return what the whole process and the server cost.

    python: an interpreter other than this one.
    """
    memory = testbed.folder / "memory-script"
    command = [str(python or sys.executable), str(_METERED), str(memory), str(BENCHMARKS / name), *arguments]
    server, wal = testbed.server.cpu_seconds(), testbed.server.wal_bytes()
    used = run(command, environ=environ, folder=testbed.folder)
    return Reading(
        client_seconds=used.cpu_seconds,
        server_seconds=testbed.server.cpu_seconds() - server,
        wall_seconds=used.wall_seconds,
        wal_bytes=testbed.server.wal_bytes() - wal,
        memory_bytes=int(memory.read_text()),
    )


def run_plain_way(testbed: Testbed, url: str, accounts: int) -> Reading:
    """Run the plain way on the first accounts of the world."""
    path = testbed.folder / "plain-way.json"
    plan = {
        "accounts": keys_of(accounts),
        "start": str(program.TODAY - timedelta(days=DAYS)),
        "end_exclusive": str(program.TODAY),
    }
    path.write_text(json.dumps(plan))
    testbed.open_world(accounts)
    return run_script(testbed, "plain_way.py", url, str(path), environ=testbed.environment(url))


def keys_of(accounts: int) -> list[dict[str, str]]:
    """Return ids and keys of the first accounts of the world, as the plain way reads them."""
    names = ("account_id", "access_key_id", "secret_access_key")
    world = load_world(accounts, today=program.TODAY)
    return [{name: getattr(account, name) for name in names} for account in world.accounts]
