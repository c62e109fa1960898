"""``costbatch keys``: generate the key that encrypts stored credentials."""

import os
import secrets
import stat
import sys
from contextlib import suppress
from pathlib import Path

import click

from costbatch.cli.options import JSON, TABLE, example
from costbatch.cli.output import is_terminal, print_json
from costbatch.config.environment import KEY_BYTES
from costbatch.config.files import why_not_opened
from costbatch.errors import ConfigError

_OWNER_ONLY = 0o600


@click.group(epilog=example("costbatch keys generate --output encryption-key"))
def keys() -> None:
    """Generate the key that encrypts stored credentials."""


@keys.command(
    short_help="Generate a new key for ENCRYPTION_KEY.",
    epilog=example(
        "costbatch keys generate --output encryption-key",
        "ENCRYPTION_KEY_FILE=encryption-key costbatch config",
    ),
)
@click.option(
    "--output",
    metavar="[table|json|FILE]",
    default=TABLE,
    show_default=True,
    help="Output format, or a new file that only its owner can read.",
)
def generate(output: str) -> None:
    """Generate a new key for ENCRYPTION_KEY: 32 random bytes as 64 hex digits.

    Store it apart from the database's backups: anyone with both can decrypt the credentials. If you lose the
    key, they are unrecoverable. An existing file is never overwritten.
    """
    key = secrets.token_hex(KEY_BYTES)
    if output not in {TABLE, JSON}:
        _write_new(Path(output), key)
        click.echo(f"Wrote the new key to {output}, which only its owner can read; keep a copy.", err=True)
        return
    if output == JSON:
        print_json({"key": key})
    else:
        click.echo(key)
    if is_terminal():
        click.echo(
            "Set it as ENCRYPTION_KEY, and keep a copy: stored credentials are lost without it.", err=True
        )
    elif mode := _open_mode():
        click.echo(
            f"Warning: other users can read the file that now holds the key (mode {mode:o}). "
            "Run `chmod 600` on it, or use `costbatch keys generate --output FILE`.",
            err=True,
        )


def _write_new(path: Path, key: str) -> None:
    try:
        # O_EXCL: an existing file may hold the only key that decrypts the stored credentials.
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
    except FileExistsError:
        raise ConfigError(f"{path} exists and is not overwritten; choose another file.") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be written: {why_not_opened(error)}.") from None
    try:
        with os.fdopen(file, "w", encoding="ascii") as written:
            written.write(f"{key}\n")
    except OSError as error:
        path.unlink()
        raise ConfigError(f"{path} cannot be written: {error.strerror}.") from None


def _open_mode() -> int:
    """Return the mode of the file behind standard output if other users can read it, else 0."""
    with suppress(OSError, ValueError):
        found = os.fstat(sys.stdout.fileno()).st_mode
        if stat.S_ISREG(found) and found & (stat.S_IRGRP | stat.S_IROTH):
            return stat.S_IMODE(found)
    return 0
