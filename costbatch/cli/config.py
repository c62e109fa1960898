"""``costbatch config``: show the effective settings, and say everything that is wrong with them."""

import click

from costbatch.cli.context import Context, pass_context
from costbatch.cli.lazy import example
from costbatch.cli.output import JSON, output_option, print_json, print_table
from costbatch.config import VARIABLES, Settings, missing_variables
from costbatch.domain.credentials import Secret
from costbatch.errors import ConfigError
from costbatch.logs import mask_patterns


@click.command(epilog=example("costbatch config", "costbatch config --output json"))
@output_option
@pass_context
def config(context: Context, output: str) -> None:
    """Show every setting with its value and where it comes from, and check them all.

    Secrets are masked; of the encryption key only its id is shown. The exit status is 2 when
    something is wrong or a required variable is missing, with one sentence for each problem.
    """
    missing = missing_variables(context.environ)
    try:
        settings = context.settings()
    except ConfigError as error:
        raise ConfigError(*error.problems, *missing) from None
    shown = {one.name: _show(getattr(settings, one.field)) for one in VARIABLES}
    if settings.key_weakness:
        click.echo(f"Warning: {settings.key_weakness}", err=True)
    if settings.encryption_key:
        shown["ENCRYPTION_KEY"] = f"key id {context.bootstrap().vault().key_id}"
    if output == JSON:
        print_json([_document(name, value, settings) for name, value in shown.items()])
    else:
        rows = [(name, value, settings.sources.get(name, "default")) for name, value in shown.items()]
        print_table(("variable", "value", "from"), rows, texts=("value", "from"))
    if missing:
        raise ConfigError(*missing)


def _document(name: str, value: str | None, settings: Settings) -> dict[str, str | None]:
    return {"name": name, "value": value, "source": settings.sources.get(name, "default")}


def _show(value: object) -> str | None:
    """Return a setting as a person would write it, a secret without what must not be seen."""
    if value is None:
        return None
    match value:
        case Secret():
            # Only URLs come here to be read; of the key its id is shown.
            return mask_patterns(value.reveal()) if "://" in value.reveal() else str(value)
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case frozenset() | tuple():
            return ",".join(sorted(value)) or "none"
        case _:
            return str(value)
