"""The demonstration's environment: nothing of a real installation in it."""

import os

# What a shell may have set for the real installation: libpq's variables too, and proxies in either case.
_FOREIGN = ("AWS_", "COSTBATCH_", "DATABASE_URL", "ENCRYPTION_KEY", "PUSHGATEWAY_URL", "PG", "BOTO")


def remove_foreign_variables() -> None:
    """Remove them from this process: the server, the driver and their packages read them, on import too."""
    for name in list(os.environ):
        if name.upper().startswith(_FOREIGN) or name.upper().endswith("_PROXY"):
            del os.environ[name]
