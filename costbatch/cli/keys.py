"""``costbatch keys``: make the key that seals stored credentials."""

import secrets

import click

from costbatch.cli.lazy import example
from costbatch.cli.output import is_terminal, output_option, tell

_KEY_BYTES = 32


@click.group(epilog=example("costbatch keys generate"))
def keys() -> None:
    """Make the key that seals stored credentials."""


@keys.command(
    epilog=example(
        "costbatch keys generate > encryption-key", "ENCRYPTION_KEY_FILE=encryption-key costbatch config"
    )
)
@output_option
def generate(output: str) -> None:
    """Print a new key for ENCRYPTION_KEY: 32 random bytes as 64 hex digits, and nothing else.

    Keep it where the database's backups are not: both together open the credentials, and
    without the key nobody can.
    """
    key = secrets.token_hex(_KEY_BYTES)
    tell(key, {"key": key}, output)
    if is_terminal():
        click.echo(
            "Set it as ENCRYPTION_KEY, and keep a copy: without it stored credentials are lost.", err=True
        )
