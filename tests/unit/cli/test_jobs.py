"""The jobs: what belongs to one stands in several places, under one name."""

import re
from pathlib import Path
from typing import Any

from costbatch.application.jobs.job import Job
from costbatch.cli import COMMANDS
from costbatch.domain.job_wording import JOBS
from costbatch.domain.reports import RunReport

HELPERS = Path(__file__).parents[3] / "helm/costbatch/templates/_helpers.tpl"


def ours(kind: Any) -> list[Any]:
    """Return the classes of the package that implement a kind."""
    return [each for each in kind.__subclasses__() if each.__module__.startswith("costbatch.")]


def name_of(job: Any) -> str:
    """Return the name of a class of jobs, which is the same for each of its jobs."""
    name: Any = job.name
    return str(name.fget(job) if hasattr(name, "fget") else name)


def test_a_job_has_one_name_everywhere() -> None:
    """Its command, its class, its report, its words in events, and the chart, which runs the command."""
    commands = {
        name
        for name, command in COMMANDS.items()
        if any("--run-key" in option.opts for option in command.load().params)
    }
    (listed,) = re.findall(r'range \$job := list((?: "\w+")+)', HELPERS.read_text(encoding="utf-8"))
    assert "collect" in commands
    assert {name_of(job) for job in ours(Job)} == commands
    assert {report.words.name for report in ours(RunReport)} == commands
    assert JOBS.keys() == commands
    assert set(re.findall(r"\w+", listed)) == commands
