"""What `doctor` prints on a terminal of any width."""

from io import StringIO

import pytest
from rich.console import Console

from costbatch.application.doctor.findings import CheckResult, failure
from costbatch.cli.views.doctor import DoctorView

FOUND = "The database cannot be reached."
ADVICE = "Start it, and try again."


def shown(width: int, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the lines of a failed check on a terminal of this width."""
    console = Console(
        file=StringIO(),
        width=width,
        force_terminal=True,
        color_system=None,
        legacy_windows=False,
        _environ={},
    )
    view = DoctorView(console, ["database", "permissions"])
    view.show_all([CheckResult("database", failure(FOUND, ADVICE), 0.1)])
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("width", [*range(1, 41), 80])
def test_no_finding_is_lost_at_any_width(width: int, capsys: pytest.CaptureFixture[str]) -> None:
    """A narrower terminal gets the lines of the narrowest and folds them: each word stays whole."""
    words = " ".join(shown(width, capsys)).split()
    assert [word for word in (FOUND + " " + ADVICE).split() if word not in words] == []
