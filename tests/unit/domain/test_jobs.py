"""The list of the jobs: whoever adds a job and forgets it finds out here."""

import importlib
import pkgutil

import pytest

import costbatch.domain
from costbatch.domain.collection import COLLECT
from costbatch.domain.jobs import JOBS
from costbatch.domain.messages import message_of
from costbatch.domain.reports import RunReport
from costbatch.errors import ErrorKind
from tests.unit.domain.test_messages import a_failure


def test_every_job_with_a_report_is_in_the_list() -> None:
    """The doctor and `accounts show` know the jobs from it."""
    for module in pkgutil.walk_packages(costbatch.domain.__path__, "costbatch.domain."):
        importlib.import_module(module.name)
    reports = [each for each in RunReport.__subclasses__() if each.__module__.startswith("costbatch.")]
    assert {each.words.name: each.words for each in reports} == JOBS


@pytest.mark.parametrize("job", JOBS)
def test_a_message_says_in_the_jobs_words_what_failed(job: str) -> None:
    """Not "processed by", which is for the jobs of a later release."""
    title = message_of([a_failure(job=job).to_cloudevent()]).title
    assert title.startswith(f"Account cannot be {JOBS[job].done}: ")


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize("kind", ErrorKind)
def test_every_job_has_advice_for_every_failure(job: str, kind: ErrorKind) -> None:
    """Of its own, or the kind's."""
    assert JOBS[job].advice_for(kind)


@pytest.mark.parametrize("job", [job for job in JOBS if job != COLLECT])
def test_no_job_advises_to_grant_the_permission_of_costs(job: str) -> None:
    """The advice of the kind is that of the cost job: each other one has its own."""
    assert "ce:" not in JOBS[job].advice_for(ErrorKind.ACCESS_DENIED)
