"""Completes a list of Python packages to the bill of materials of the image, and checks it against CycloneDX.

`python sbom.py PACKAGES_JSON DPKG_STATUS VERSION PYTHON_VERSION` writes it to standard output.
"""

# ruff: noqa: INP001 - a script of .ci/sbom, which nobody imports

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

Component = dict[str, Any]


def debian_packages(status: str) -> Iterator[Component]:
    """Return a component for each package that Debian's package manager has installed."""
    for paragraph in status.split("\n\n"):
        lines = (line.partition(": ") for line in paragraph.splitlines() if not line.startswith(" "))
        fields = {name: value for name, _, value in lines}
        if fields.get("Status") != "install ok installed":
            continue
        name, version, architecture = fields["Package"], fields["Version"], fields["Architecture"]
        purl = f"pkg:deb/debian/{name}@{quote(version)}?arch={architecture}"
        yield {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def complete(bill: dict[str, Any], status: str, version: str, python: str) -> None:
    """Add what lies around the Python packages, and say that all of it is the image."""
    image = {"type": "container", "bom-ref": "image", "name": "costbatch", "version": version}
    bill["metadata"]["component"] = image
    if python:
        purl = f"pkg:generic/python@{python}"
        interpreter = {"bom-ref": purl, "name": "python", "version": python, "purl": purl}
        bill["components"].append({"type": "application", **interpreter})
    bill["components"].extend(debian_packages(status))
    refs = [component["bom-ref"] for component in bill["components"]]
    bill.setdefault("dependencies", []).append({"ref": "image", "dependsOn": sorted(refs)})


def main(packages: str, status: str, version: str, python: str) -> None:
    """Write the bill of materials, or end with what is wrong with it."""
    bill = json.loads(Path(packages).read_text(encoding="utf-8"))
    complete(bill, Path(status).read_text(encoding="utf-8"), version, python)
    text = json.dumps(bill, indent=2, sort_keys=True)
    schema = SchemaVersion.from_version(bill["specVersion"])
    if problem := JsonStrictValidator(schema).validate_str(text):
        sys.exit(f"The bill of materials is not valid: {problem}")
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
