"""Scripts under measurement: the plain way and dlt's ways, each a process that ends by itself."""

import json
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from benchmarks.collect import program
from benchmarks.collect.processes import ROOT, run
from benchmarks.collect.stage import DAYS, Reading, Stage
from costbatch.simulator.demo_world import load_world

BENCHMARKS = ROOT / "benchmarks"
_METERED = BENCHMARKS / "collect" / "metered.py"


def run_script(
    stage: Stage, name: str, *arguments: str, environ: Mapping[str, str], python: Path | None = None
) -> Reading:
    """Run a script of this folder to its end; return what the whole process and the server cost.

    python: an interpreter other than this one.
    """
    memory = stage.folder / "memory-script"
    command = [str(python or sys.executable), str(_METERED), str(memory), str(BENCHMARKS / name), *arguments]
    server, wal = stage.server.cpu_seconds(), stage.server.wal_bytes()
    used = run(command, environ=environ, folder=stage.folder)
    return Reading(
        client_seconds=used.cpu_seconds,
        server_seconds=stage.server.cpu_seconds() - server,
        wall_seconds=used.wall_seconds,
        wal_bytes=stage.server.wal_bytes() - wal,
        memory_bytes=int(memory.read_text()),
    )


def run_plain_way(stage: Stage, url: str, accounts: int) -> Reading:
    """Run the plain way on the first accounts of the world."""
    path = stage.folder / "plain-way.json"
    plan = {
        "accounts": keys_of(accounts),
        "start": str(program.TODAY - timedelta(days=DAYS)),
        "end_exclusive": str(program.TODAY),
    }
    path.write_text(json.dumps(plan))
    stage.open_world(accounts)
    return run_script(stage, "plain_way.py", url, str(path), environ=stage.environment(url))


def keys_of(accounts: int) -> list[dict[str, str]]:
    """Return ids and keys of the first accounts of the world, as the plain way reads them."""
    names = ("account_id", "access_key_id", "secret_access_key")
    world = load_world(accounts, today=program.TODAY)
    return [{name: getattr(account, name) for name in names} for account in world.accounts]
