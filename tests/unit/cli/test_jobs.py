"""The jobs: what belongs to one stands in several places, under one name."""

from pathlib import Path
from typing import Any

import yaml

from costbatch.application.jobs.job import Job
from costbatch.cli import COMMANDS
from costbatch.domain.jobs import JOBS
from costbatch.domain.reports import RunReport

# The trial of the chart, which runs every job.
CHART = Path(__file__).parents[2] / "chart/snapshots/demo.yaml"


def ours(kind: Any) -> list[Any]:
    """Return the classes of the package that implement a kind."""
    return [each for each in kind.__subclasses__() if each.__module__.startswith("costbatch.")]


def name_of(job: Any) -> str:
    """Return the name of a class of jobs, which is the same for each of its jobs."""
    name: Any = job.name
    return str(name.fget(job) if hasattr(name, "fget") else name)


def commands_of_chart() -> list[str]:
    """Return the command of each CronJob."""
    documents = yaml.safe_load_all(CHART.read_text(encoding="utf-8"))
    jobs = [each["spec"]["jobTemplate"] for each in documents if each["kind"] == "CronJob"]
    return [str(job["spec"]["template"]["spec"]["containers"][0]["args"][0]) for job in jobs]


def test_a_job_has_one_name_everywhere() -> None:
    """Its command, its class, its report, its words in events, and the chart, which runs the command."""
    commands = {
        name
        for name, command in COMMANDS.items()
        if any("--run-key" in option.opts for option in command.load().params)
    }
    assert "collect" in commands
    assert {name_of(job) for job in ours(Job)} == commands
    assert {report.words.name for report in ours(RunReport)} == commands
    assert JOBS.keys() == commands
    assert set(commands_of_chart()) == commands
