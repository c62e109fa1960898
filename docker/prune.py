"""Removes what costbatch never uses from a site-packages folder: `python prune.py SITE_PACKAGES`.

botocore describes some 400 AWS services and costbatch calls eight; these descriptions are most of the bytes.
"""

# ruff: noqa: INP001 - a script of the Dockerfile, which nobody imports

import shutil
import sys
from pathlib import Path

# Endpoints and partitions are files beside these folders, and stay.
SERVICES = frozenset(
    {"account", "ce", "ec2", "organizations", "resource-explorer-2", "resourcegroupstaggingapi", "sns", "sts"}
)
# boto3's resources are a way to call services that costbatch does not take; the others are test suites.
UNUSED = ("boto3/data", "boto3/examples", "sqlalchemy/testing", "alembic/testing", "greenlet/tests")
# rich loads the list of languages that it could colour; costbatch shows no code, so their lexers can go.
LEXERS = "pygments/lexers/[a-z]*.py"


def prune(site_packages: Path) -> None:
    """Remove what is not used, and complain where the packages do not look as expected."""
    data = site_packages / "botocore" / "data"
    services = {folder.name: folder for folder in data.iterdir() if folder.is_dir()}
    if missing := SERVICES - services.keys():
        sys.exit(f"botocore has no description of {', '.join(sorted(missing))}.")
    for name in services.keys() - SERVICES:
        shutil.rmtree(services[name])
    for name in SERVICES:
        # The newest version of an API is called; EC2's description has eight.
        for old in sorted(services[name].iterdir())[:-1]:
            shutil.rmtree(old)
    for folder in UNUSED:
        shutil.rmtree(site_packages / folder, ignore_errors=True)
    for lexer in site_packages.glob(LEXERS):
        lexer.unlink()


if __name__ == "__main__":
    prune(Path(sys.argv[1]))
