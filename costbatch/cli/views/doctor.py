"""What ``doctor`` prints: one line per check as it ends, and a summary."""

from collections.abc import Iterable, Sequence

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from costbatch.application.doctor.findings import CheckResult, Examination, Mark
from costbatch.cli.views.page import TEXT_WIDTH, Page
from costbatch.domain.plural import many

_STYLES = {Mark.OK: "green", Mark.WARNING: "yellow", Mark.FAILURE: "bold red", Mark.SKIPPED: "dim"}
_WORDS = {Mark.FAILURE: "FAILED"}
_MARK_WIDTH = max(len(_WORDS.get(mark, mark)) for mark in Mark)
# Narrower findings could not be read: a narrower screen gets the lines of this one, and folds them.
_NARROWEST_FINDING = 16
_GAP = 2
_HEADLINES = {Mark.FAILURE: "FAILED", Mark.WARNING: "OK, with warnings"}


class DoctorView:
    """Prints each result as it comes, in columns whose widths are known from the checks' names."""

    def __init__(self, console: Console, names: Sequence[str]) -> None:
        self._page = Page(console)
        self._name_width = max(map(len, names))

    def show_all(self, results: Iterable[CheckResult]) -> Examination:
        """Print each result as it comes, then the summary; return all of them."""
        seen = []
        for result in results:
            self._show(result)
            seen.append(result)
        examination = Examination(tuple(seen))
        warnings, failures = examination.count(Mark.WARNING), examination.count(Mark.FAILURE)
        skipped = examination.count(Mark.SKIPPED)
        checks = many(len(seen), "check")
        counts = f"{checks}, {many(failures, 'failure')}, {many(warnings, 'warning')}"
        headline = _HEADLINES.get(examination.status, "OK")
        self._page.blank()
        self._page.line(
            f"{headline}: {counts}" + (f", {skipped} skipped." if skipped else "."),
            _STYLES[examination.status],
        )
        return examination

    def _show(self, result: CheckResult) -> None:
        finding, page = result.finding, self._page
        mark = Text(_WORDS.get(finding.mark, finding.mark.value), _STYLES[finding.mark])
        style = "dim" if finding.mark is Mark.SKIPPED else ""
        lines = [page.text(line, style) for line in finding.found.splitlines()]
        # Without colours, the arrow separates the advice from the finding.
        arrow = "-> " if page.is_ascii else "\N{RIGHTWARDS ARROW} "
        lines += [page.text(f"{arrow}{line}", "italic") for line in finding.advice.splitlines()]
        row = Table.grid(padding=(0, _GAP, 0, 0))
        row.add_column(no_wrap=True, width=_MARK_WIDTH)
        row.add_column(no_wrap=True, width=self._name_width)
        row.add_column(overflow="fold", ratio=1)  # the names stay as wide as they are
        row.add_row(mark, page.text(result.name), Text("\n").join(lines))
        names = _MARK_WIDTH + self._name_width
        # Of a width for `print`, rich would take the screen's at most.
        row.width = max(min(page.console.width, names + TEXT_WIDTH), names + 2 * _GAP + _NARROWEST_FINDING)
        with page.console.capture() as printed:
            page.console.print(row, crop=False)
        click.echo("\n".join(line.rstrip() for line in printed.get().splitlines()))
