"""Runs a script as if alone and notes the memory it held: `python metered.py FILE SCRIPT [ARGUMENT ...]`.

Needs nothing but the standard library, for it also runs where costbatch is not installed.
"""

import runpy
import sys
from pathlib import Path


def main() -> None:
    """Run the script; its end, good or bad, is this one's."""
    path, script, *arguments = sys.argv[1:]
    sys.argv = [script, *arguments]
    # As Python would have it, so that no module of this folder hides another one.
    sys.path[0] = str(Path(script).parent)
    try:
        runpy.run_path(script, run_name="__main__")
    finally:
        Path(path).write_text(str(peak_memory()))


def peak_memory() -> int:
    """Return the bytes that this process held at most; what its parent held before is not counted."""
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()
