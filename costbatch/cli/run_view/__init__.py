"""The picture of a run, or of what one would do, for a person at a terminal; programs get JSON."""

from costbatch.cli.run_view.anomalies import sparkline
from costbatch.cli.run_view.plan import render_plan
from costbatch.cli.run_view.run import render_run

__all__ = ["render_plan", "render_run", "sparkline"]
