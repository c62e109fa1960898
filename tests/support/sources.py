"""A copy of the sources of packages, charts and images, for tests that change something in them."""

import re
import shutil
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_SOURCES = (
    ".ci",
    ".dockerignore",
    "alembic",
    "costbatch",
    "docker",
    "Dockerfile",
    "helm",
    "LICENSE",
    "pyproject.toml",
    "README.md",
    *(path.name for path in _ROOT.glob("requirements*.lock")),
)

# No version that this will ever have.
OTHER_VERSION = "0.0.42"


def copy_sources(folder: Path) -> Path:
    """Copy the sources into an empty folder and return it."""
    for name in _SOURCES:
        source = _ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    return folder


def set_version(sources: Path, version: str) -> None:
    """Write another version into the one place where it stands."""
    chart = sources / "helm" / "costbatch" / "Chart.yaml"
    before = chart.read_text(encoding="utf-8")
    after = re.sub(r"^version: &version .+$", f"version: &version {version}", before, flags=re.MULTILINE)
    assert after != before
    chart.write_text(after, encoding="utf-8")
