"""The examination as a person reads it: one line for each check as it ends, and a last one for all."""

from collections.abc import Sequence

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from costbatch.application.doctor.findings import CheckResult, Examination, Mark
from costbatch.cli.output import many
from costbatch.cli.run_view.page import TEXT_WIDTH, Page

_STYLES = {Mark.OK: "green", Mark.WARNING: "yellow", Mark.FAILURE: "bold red", Mark.SKIPPED: "dim"}
_WORDS = {Mark.FAILURE: "FAILED"}
_MARK_WIDTH = max(len(_WORDS.get(mark, mark)) for mark in Mark)


class DoctorView:
    """Prints each result in columns whose widths are known before the first one is there."""

    def __init__(self, console: Console, names: Sequence[str]) -> None:
        self._page = Page(console)
        self._name_width = max(map(len, names))

    def show(self, result: CheckResult) -> None:
        """Print one check."""
        finding, page = result.finding, self._page
        mark = Text(_WORDS.get(finding.mark, finding.mark.value), _STYLES[finding.mark])
        style = "dim" if finding.mark is Mark.SKIPPED else ""
        lines = [page.text(line, style) for line in finding.found.splitlines()]
        # On a screen without colours the arrow tells what was found from what to do.
        arrow = "-> " if page.is_ascii else "\N{RIGHTWARDS ARROW} "
        lines += [page.text(f"{arrow}{line}", "italic") for line in finding.advice.splitlines()]
        row = Table.grid(padding=(0, 2, 0, 0))
        row.add_column(no_wrap=True, width=_MARK_WIDTH)
        row.add_column(no_wrap=True, width=self._name_width)
        row.add_column(overflow="fold")
        row.add_row(mark, page.text(result.name), Text("\n").join(lines))
        width = _MARK_WIDTH + self._name_width + TEXT_WIDTH
        with page.console.capture() as printed:
            page.console.print(row, width=min(page.console.width, width))
        click.echo("\n".join(line.rstrip() for line in printed.get().splitlines()))

    def conclude(self, examination: Examination) -> None:
        """Print how it all stands."""
        warnings, failures = examination.count(Mark.WARNING), examination.count(Mark.FAILURE)
        self._page.blank()
        checks = many(len(examination.results), "check")
        counts = f"{checks}: {many(failures, 'failure')}, {many(warnings, 'warning')}"
        skipped = examination.count(Mark.SKIPPED)
        verdict = {
            Mark.FAILURE: "NOT WELL",
            Mark.WARNING: "Works, with warnings",
        }.get(examination.status, "All is well")
        line = f"{verdict}: {counts}" + (f", {skipped} skipped." if skipped else ".")
        self._page.line(line, _STYLES[examination.status])
