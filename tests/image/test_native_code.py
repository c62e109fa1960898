"""What is compiled for a processor: it is for the one that the image says, and all of it can be loaded."""

from pathlib import Path

from tests.image.containers import Box, Engine

# An image's architecture as ELF files number it (e_machine) and as the kernel calls it.
_MACHINES = {"amd64": (62, "x86_64"), "arm64": (183, "aarch64")}
_PACKAGES = "opt/costbatch/lib/python3*/site-packages"
# Packages whose work is done by compiled code; SQLAlchemy would silently go on without its own.
_COMPILED = {"_cffi_backend", "cryptography", "greenlet", "msgspec", "psycopg2", "sqlalchemy"}
_LOAD = """
import platform, sys
from importlib import import_module
for name in sys.argv[1:]:
    import_module(name)
print(platform.machine())
"""


def test_everything_compiled_is_for_the_architecture_that_the_image_says(
    engine: Engine, image: str, files: Path
) -> None:
    """A registry gives an image to a machine by what its manifest says."""
    machine, _ = _MACHINES[engine.inspect(image)["Architecture"]]
    libraries = [file for file in files.glob(f"{_PACKAGES}/**/*.so*") if file.is_file()]

    assert libraries
    assert {file: _machine(file) for file in libraries} == dict.fromkeys(libraries, machine)


def test_every_compiled_module_can_be_loaded(engine: Engine, image: str, files: Path, box: Box) -> None:
    """Hardened, on the processor that the image is for, with the C library of its base."""
    _, kernel_name = _MACHINES[engine.inspect(image)["Architecture"]]
    modules = sorted(
        ".".join(file.relative_to(folder).with_name(file.name.split(".")[0]).parts)
        for folder in files.glob(_PACKAGES)
        for file in folder.glob("**/*.so")
    )

    assert {module.split(".")[0] for module in modules} >= _COMPILED
    assert box.python(_LOAD, *modules).strip() == kernel_name


def test_version_help_and_configuration_are_shown(box: Box) -> None:
    """What anybody types first."""
    ended = [box.run("--version"), box.run("--help"), box.run("config")]

    assert [each.status for each in ended] == [0, 0, 0], [each.log for each in ended]
    assert "Commands" in ended[1].stdout
    assert "COSTBATCH_GRACE_SECONDS" in ended[2].stdout


def _machine(library: Path) -> int:
    with library.open("rb") as file:
        header = file.read(20)
    assert header.startswith(b"\x7fELF"), library
    return int.from_bytes(header[18:20], "little")
