"""``costbatch config``: show the effective settings, and report everything that is wrong with them."""

import click

from costbatch.cli.context import Context, pass_context
from costbatch.cli.options import JSON, example, output_option
from costbatch.cli.output import print_json, print_table
from costbatch.config import VARIABLES, missing_variables
from costbatch.domain.credentials import Secret
from costbatch.domain.excerpt import name_excerpt
from costbatch.errors import ConfigError
from costbatch.logs import mask_patterns


@click.command(epilog=example("costbatch config", "costbatch config --output json"))
@output_option
@pass_context
def config(context: Context, output: str) -> None:
    """Show every setting with its value and its source, and check them all.

    Secrets are masked; of the encryption key only its id is shown. Exits with 2 if a setting is invalid or a
    required variable is missing, with one sentence for each problem.
    """
    missing = missing_variables(context.environ)
    try:
        settings = context.settings()
        context.wire(settings, context.now).sinks()
    except ConfigError as error:
        raise ConfigError(*error.problems, *missing) from None
    values = {one.name: _text(getattr(settings, one.field)) for one in VARIABLES}
    if settings.key_weakness:
        click.echo(f"Warning: {settings.key_weakness}", err=True)
    if settings.encryption_key:
        values["ENCRYPTION_KEY"] = f"key id {context.bootstrap().vault().key_id}"
    rows = [(name, value, settings.sources.get(name, "default")) for name, value in values.items()]
    if output == JSON:
        print_json([{"name": name, "value": value, "source": source} for name, value, source in rows])
    else:
        print_table(("variable", "value", "from"), rows, texts=("value", "from"))
    if missing:
        raise ConfigError(*missing)


def _text(value: object) -> str | None:
    """Return a setting as it would be written in the environment, with its secrets masked."""
    if value is None:
        return None
    match value:
        case Secret():
            # Only URLs are shown; of the key its id is shown.
            return mask_patterns(value.reveal()) if "://" in value.reveal() else str(value)
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case frozenset() | tuple():
            return ",".join(name_excerpt(str(each)) for each in sorted(value, key=str)) or "none"
        case _:
            return str(value)
