"""An image has the version of the sources that it was built from: as tag, as label and in what it runs."""

import os
import subprocess
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from costbatch import __version__
from tests.image.containers import Box, Engine
from tests.support.sources import OTHER_VERSION, copy_sources, set_version

LABEL = "org.opencontainers.image.version"


@pytest.fixture
def other_image(engine: Engine, image: str, tmp_path: Path) -> Iterator[str]:
    """Build the image from a copy of the sources that says another version; only its last layers are made."""
    sources = copy_sources(tmp_path)
    set_version(sources, OTHER_VERSION)
    before = engine.inspect(image)
    name = image.rpartition(":")[0]
    # The layers of the image before are used again only where files are given the same time.
    epoch = round(datetime.fromisoformat(before["Created"]).timestamp())
    builder = "buildah" if "podman" in os.environ["IMAGE_ENGINE"] else "docker"
    try:
        subprocess.run(
            [sources / ".ci" / "image", "release"],
            env={**os.environ, "BUILDER": builder, "SOURCE_DATE_EPOCH": str(epoch)},
            check=True,
        )
        yield f"{name}:{OTHER_VERSION}"
    finally:
        engine.call("tag", before["Id"], f"{name}:latest")
        engine.call("rmi", "--force", f"{name}:{OTHER_VERSION}")


def test_an_image_is_tagged_with_its_version(engine: Engine, image: str) -> None:
    """The chart asks for that tag."""
    tagged = f"{image.rpartition(':')[0]}:{__version__}"
    assert engine.inspect(tagged)["Id"] == engine.inspect(image)["Id"]


def test_another_version_in_the_sources_is_another_one_in_the_image(
    engine: Engine, other_image: str, box: Box
) -> None:
    """Tag, label, metadata of the package, and what the program says."""
    assert engine.inspect(other_image)["Config"]["Labels"][LABEL] == OTHER_VERSION
    box.image = other_image
    assert box.run("--version").stdout == f"costbatch {OTHER_VERSION}\n"
    assert (
        box.python("from importlib.metadata import version; print(version('costbatch'))").strip()
        == OTHER_VERSION
    )
