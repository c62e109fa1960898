"""What the checks say of a job that has no checks of its own."""

from datetime import timedelta

from costbatch.application.doctor.findings import Mark
from costbatch.domain.accounts import Failing, Progress
from costbatch.domain.jobs import JOBS
from costbatch.domain.reports import JobWords
from costbatch.domain.runs import RunStatus
from tests.support.fake_doctor import NOW, FakeHealth, Ward, make_run

SCAN = JobWords(name="scan", doing="scanning", done="scanned")
DENIED = Progress(failing=Failing(since=NOW - timedelta(days=3), kind="access_denied"))


def test_every_job_of_the_list_has_a_check() -> None:
    """The two that have checks of their own have no second one; without a database it is skipped."""
    names = list(Ward(jobs=(*JOBS.values(), SCAN)).examine())
    assert [name for name in names if name.startswith("job ")] == ["job scan"]
    assert not [name for name in Ward().examine() if name.startswith("job ")]
    assert Ward(jobs=[SCAN], has_store=False, problems=["No."]).find("job scan").mark is Mark.SKIPPED


def test_a_job_that_failed_is_told_with_its_accounts() -> None:
    """In its words, since when each fails, and what to do about it."""
    health = FakeHealth(others={"scan": make_run(RunStatus.FAILED, failed=2)})
    finding = Ward(jobs=[SCAN], health=health, progress_of={"scan": {1: DENIED, 2: DENIED}}).find("job scan")
    assert finding.mark is Mark.WARNING
    ended, said, first, second = finding.found.splitlines()
    assert "it is failed (2 failed)" in ended
    assert said == "2 of 2 active accounts not scanned."
    assert first == "000000000001 (account-1): access_denied since 2025-03-09 06:30 UTC."
    assert second.startswith("000000000002")
    assert finding.advice.splitlines()[0] == "`costbatch accounts show ID` says why an account fails."
    assert finding.advice.splitlines()[1].startswith("access_denied: ")


def test_an_account_that_fails_is_named_though_the_newest_run_went_well() -> None:
    """It failed in a run of its own since; a run without failures is well."""
    run = make_run(RunStatus.COMPLETED, succeeded=2)
    ward = Ward(jobs=[SCAN], health=FakeHealth(others={"scan": run}))
    assert (ward.find("job scan").mark, "(2 scanned)" in ward.find("job scan").found) == (Mark.OK, True)
    ward.progress_of = {"scan": {2: DENIED}}
    assert ward.find("job scan").mark is Mark.WARNING
    assert "1 of 2 active accounts not scanned." in ward.find("job scan").found


def test_a_job_that_is_not_used_is_well() -> None:
    """There was no run of it over all accounts, or none in a month."""
    for others in ({}, {"scan": make_run(RunStatus.FAILED, hours_ago=24 * 31, failed=2)}):
        finding = Ward(jobs=[SCAN], health=FakeHealth(others=others)).find("job scan")
        assert (finding.mark, finding.found) == (
            Mark.OK,
            "The job is not in use: there has been no run of `costbatch scan` over all accounts in 30 days.",
        )
