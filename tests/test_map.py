"""The map in tests/README.md names what there is."""

import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
MAP = (HERE / "README.md").read_text(encoding="utf-8")


def test_every_folder_has_its_line() -> None:
    """A reader finds each level in the table, and no level that is gone."""
    folders = {path.name for path in HERE.iterdir() if path.is_dir() and path.name[0] not in "._"}
    listed = set(re.findall(r"^\| `(\w+)/`", MAP, re.MULTILINE))
    assert listed == folders - {"support"}


def test_every_file_that_is_named_is_there() -> None:
    """A test that moves takes its line with it."""
    for name in re.findall(r"`([\w/]+\.py)`", MAP):
        path = name.removeprefix("tests/")
        assert any((folder / path).is_file() for folder in (HERE, HERE / "regressions")), name


def test_every_helper_has_its_line() -> None:
    """And no helper that is gone."""
    helpers = {path.stem for path in (HERE / "support").glob("*.py")}
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", MAP, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", " ".join(rows))) == helpers


@pytest.mark.parametrize("path", sorted(HERE.rglob("*.py")), ids=lambda path: str(path.relative_to(HERE)))
def test_fixtures_that_folders_share_are_in_support(path: Path) -> None:
    """A conftest belongs to its own folder: a reader finds a shared fixture in one place."""
    imported = re.findall(r"^ *from tests\.([\w.]+)\.conftest import", path.read_text(), re.MULTILINE)
    own = ".".join(path.parent.relative_to(HERE).parts)
    assert set(imported) <= {own}
