"""costbatch collects the daily cost of every AWS account into PostgreSQL and flags anomalies."""
# ruff: noqa: PTH113, PTH118, PTH120, PTH123 - pathlib would be imported at every start for this alone

import os.path


def _version() -> str:
    """Return the version, which stands in the Helm chart's Chart.yaml and nowhere else.

    An installed package has a copy of that file. To read it costs nothing; importlib.metadata takes nearly
    as much processor time as the rest of `costbatch --version`.
    """
    package = os.path.dirname(__file__)
    chart = os.path.join(package, "_chart.yaml")
    if not os.path.isfile(chart):
        chart = os.path.join(package, "..", "helm", "costbatch", "Chart.yaml")
    with open(chart, encoding="utf-8") as lines:
        return next(line.split()[-1] for line in lines if line.startswith("version: "))


__version__ = _version()
