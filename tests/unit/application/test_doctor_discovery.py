"""What the checks say of discovery: whether it is used, how it went, and whether AWS allows it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from costbatch.application.doctor.findings import Mark
from costbatch.application.doctor.ports import NewestRun
from costbatch.domain.accounts import Failing, Progress
from costbatch.domain.discovery import AccountDiscovery
from costbatch.domain.resources import SourceChoice
from costbatch.domain.runs import RunStatus
from costbatch.errors import AccountError, ErrorKind
from tests.support.fake_doctor import NOW, FakeHealth, Ward, make_account, make_run
from tests.support.fake_resources import FakeResourceSource

LAST_NIGHT = AccountDiscovery(
    discovered_at=NOW - timedelta(hours=3), source=SourceChoice.TAGGING, regions=17, resources=40
)
IN_USE = make_run(RunStatus.COMPLETED, succeeded=2)
LONG_AGO = AccountDiscovery(
    discovered_at=NOW - timedelta(days=9), source=SourceChoice.TAGGING, regions=17, resources=40
)


def test_an_installation_without_discovery_is_well() -> None:
    """It is a job that one need not run; then AWS is not asked."""
    ward = Ward(resources=FakeResourceSource(error=AccountError(ErrorKind.ACCESS_DENIED, "No.")))
    for name in ("last discovery", "discovery", "discovery access"):
        finding = ward.find(name)
        assert (finding.mark, finding.found.startswith("Discovery is not in use")) == (Mark.OK, True)


def test_a_discovery_of_last_night_is_well() -> None:
    """With how many accounts, in the job's words."""
    run = make_run(RunStatus.COMPLETED, succeeded=2)
    ward = Ward(health=FakeHealth(discovery=run), discovered={1: LAST_NIGHT, 2: LAST_NIGHT})
    assert "(2 discovered)" in ward.find("last discovery").found
    assert ward.find("discovery").found == "2 active accounts, all discovered within the last 2 days."
    access = ward.find("discovery access")
    assert (access.mark, access.found) == (
        Mark.OK,
        "000000000001 (account-1): AWS lists its 2 enabled regions and the resources of one.",
    )


def test_regions_of_the_setting_are_not_said_to_be_listed() -> None:
    """AWS denies the list: there may be others."""
    ward = Ward(
        health=FakeHealth(discovery=make_run(RunStatus.COMPLETED, succeeded=2)),
        resources=FakeResourceSource(named=("us-east-1",)),
    )
    finding = ward.find("discovery access")
    assert finding.mark is Mark.OK
    assert finding.found == (
        "000000000001 (account-1): AWS denies the list of its enabled regions, so discovery reads the 1 "
        "region of COSTBATCH_REGIONS; AWS lists the resources of one."
    )


def test_accounts_that_are_not_discovered_are_named() -> None:
    """Since when, and what to do about it."""
    failing = Progress(failing=Failing(since=NOW - timedelta(days=3), kind="access_denied"))
    health = FakeHealth(discovery=IN_USE)
    ward = Ward(health=health, discovered={1: LONG_AGO, 2: LAST_NIGHT}, not_discovered={2: failing})
    finding = ward.find("discovery")
    assert finding.mark is Mark.WARNING
    said, first, second = finding.found.splitlines()
    assert said == "2 of 2 active accounts not discovered, or not in every region."
    assert first.endswith("(account-1): discovered 2025-03-03 06:30 UTC; no failure is recorded.")
    assert second.endswith("discovered 2025-03-12 03:30 UTC; access_denied since 2025-03-09 06:30 UTC.")


def test_regions_that_fail_for_days_are_named() -> None:
    """The account is discovered every night, without them; nothing of them counts as gone."""
    unread = {2: {"us-east-1": "access_denied", "eu-west-1": "timeout"}}
    health = FakeHealth(discovery=IN_USE, unread=unread)
    finding = Ward(health=health, discovered={1: LAST_NIGHT, 2: LAST_NIGHT}).find("discovery")
    assert finding.mark is Mark.WARNING
    said, which = finding.found.splitlines()
    assert said == "1 of 2 active accounts not discovered, or not in every region."
    assert which.startswith("000000000002 (account-2): not read for more than 2 days: ")
    assert which.endswith("eu-west-1 (timeout), us-east-1 (access_denied).")
    assert [line.partition(":")[0] for line in finding.advice.splitlines()] == ["access_denied", "timeout"]


def test_a_new_account_is_not_said_to_be_discovered() -> None:
    """It is well all the same."""
    accounts = [make_account(1), make_account(2, created_at=NOW - timedelta(hours=20))]
    ward = Ward(accounts=accounts, health=FakeHealth(discovery=IN_USE), discovered={1: LAST_NIGHT})
    finding = ward.find("discovery")
    assert (finding.mark, finding.found.splitlines()) == (
        Mark.OK,
        [
            "1 active account, all discovered within the last 2 days.",
            "1 account, added within the last 2 days and not discovered yet.",
        ],
    )


@pytest.mark.parametrize("days", [0, 3])
def test_an_account_that_was_removed_and_is_added_again_is_new(days: int) -> None:
    """It was discovered, and failed, before it was removed; after two days without a run it is named."""
    denied = Progress(failing=Failing(since=LONG_AGO.discovered_at, kind="access_denied"))
    account = make_account(1, created_at=NOW - timedelta(hours=1, days=days))
    health = FakeHealth(discovery=IN_USE)
    ward = Ward(accounts=[account], health=health, discovered={1: LONG_AGO}, not_discovered={1: denied})
    finding = ward.find("discovery")
    if days:
        assert finding.mark is Mark.WARNING
        assert finding.found.endswith("discovered 2025-03-03 06:30 UTC; no failure is recorded.")
    else:
        assert (finding.mark, finding.found) == (
            Mark.OK,
            "1 account, added within the last 2 days and not discovered yet.",
        )


def test_a_missing_permission_is_a_failure() -> None:
    """With what the source says of it."""
    error = AccountError(ErrorKind.ACCESS_DENIED, "AWS denied tag:GetResources.", "Grant it.")
    ward = Ward(
        health=FakeHealth(discovery=make_run(RunStatus.FAILED, failed=2)),
        resources=FakeResourceSource(error=error),
    )
    finding = ward.find("discovery access")
    assert (finding.mark, finding.advice) == (Mark.FAILURE, "Grant it.")


def test_an_account_that_discovery_works_for_is_asked() -> None:
    """With the source of the setting: the first account may not be allowed, and another API not needed."""
    run = make_run(RunStatus.PARTIAL, succeeded=1, failed=1)
    ward = Ward(
        health=FakeHealth(discovery=run),
        discovered={1: LONG_AGO, 2: LAST_NIGHT},
        resource_choice=SourceChoice.EXPLORER,
    )
    assert ward.find("discovery access").mark is Mark.OK
    assert (ward.resources.checked, ward.resources.asked) == ([2], [SourceChoice.EXPLORER])


@pytest.mark.parametrize("failing", [{1}, {1, 2}])
def test_an_account_that_fails_is_asked_only_if_no_other_works(failing: set[int]) -> None:
    """It was discovered last night, and fails since: the check of all accounts says so."""
    progress = Progress(failing=Failing(since=NOW - timedelta(hours=1), kind="access_denied"))
    ward = Ward(
        health=FakeHealth(discovery=make_run(RunStatus.PARTIAL, succeeded=1, failed=1)),
        discovered={1: LAST_NIGHT, 2: LAST_NIGHT},
        not_discovered=dict.fromkeys(failing, progress),
    )
    assert ward.find("discovery access").mark is Mark.OK
    assert ward.resources.checked == [2 if failing == {1} else 1]


def test_an_account_of_resource_explorer_is_asked_by_it() -> None:
    """So does the next run, which fails without its view; the tagging API would say that all is well."""
    ward = Ward(
        health=FakeHealth(discovery=make_run(RunStatus.COMPLETED, succeeded=2)),
        discovered={1: replace(LAST_NIGHT, source=SourceChoice.EXPLORER), 2: LAST_NIGHT},
    )
    ward.find("discovery access")
    assert (ward.resources.checked, ward.resources.asked) == ([1], [SourceChoice.EXPLORER])


@pytest.mark.parametrize("discovery", [None, make_run(RunStatus.COMPLETED, hours_ago=49, succeeded=1)])
def test_a_try_of_long_ago_is_no_use_of_discovery(discovery: NewestRun | None) -> None:
    """Nor is a run of one account, which leaves its resources: no other account need be allowed, or read."""
    source = FakeResourceSource(error=AccountError(ErrorKind.ACCESS_DENIED, "No.", "Grant it."))
    ward = Ward(health=FakeHealth(discovery=discovery), discovered={2: LONG_AGO}, resources=source)
    assert ward.find("discovery access").mark is Mark.OK
    assert source.checked == []
    assert ward.find("discovery").mark is Mark.OK


@pytest.mark.parametrize(("days", "mark"), [(3, Mark.WARNING), (30, Mark.WARNING), (31, Mark.OK)])
def test_a_discovery_that_was_switched_off_is_warned_of_for_a_month(days: int, mark: Mark) -> None:
    """It may as well be broken: the advice says how the warning ends, and only one check warns."""
    stopped = make_run(RunStatus.COMPLETED, hours_ago=24 * days, succeeded=2)
    ward = Ward(health=FakeHealth(discovery=stopped), discovered={1: LONG_AGO, 2: LONG_AGO})
    newest = ward.find("last discovery")
    assert newest.mark is mark
    assert ("counts as not in use 30 days after its last run" in newest.advice) == (mark is Mark.WARNING)
    assert newest.found.startswith("Discovery is not in use") == (mark is Mark.OK)
    assert ward.find("discovery").mark is Mark.OK


@pytest.mark.parametrize("status", [RunStatus.FAILED, RunStatus.PARTIAL, RunStatus.STOPPED])
@pytest.mark.parametrize(("hours", "is_used"), [(60, True), (24 * 30, True), (24 * 30 + 1, False)])
def test_what_failed_in_the_last_discovery_is_named_for_a_month(
    status: RunStatus, hours: int, *, is_used: bool
) -> None:
    """However it ended: the alert about the accounts goes on, too. The advice says how the warnings end."""
    failing = Progress(failing=Failing(since=NOW - timedelta(days=40), kind="access_denied"))
    ward = Ward(
        accounts=[make_account(number) for number in (1, 2, 3)],
        health=FakeHealth(
            discovery=make_run(status, hours_ago=hours, failed=2), unread={3: {"us-east-1": "timeout"}}
        ),
        discovered={1: LONG_AGO, 3: LONG_AGO},
        not_discovered={2: failing},
    )
    for name in ("last discovery", "discovery"):
        finding = ward.find(name)
        assert finding.mark is (Mark.WARNING if is_used else Mark.OK)
        assert ("counts as not in use 30 days after its last run" in finding.advice) == is_used
        assert finding.found.startswith("Discovery is not in use") != is_used
    assert ("Discovery is not in use" in ward.find("discovery access").found) != is_used
    if is_used:
        said, first, second = ward.find("discovery").found.splitlines()
        assert said == "2 of 3 active accounts not discovered, or not in every region."
        assert first.startswith("000000000002 (account-2): never discovered; access_denied since ")
        assert second.startswith("000000000003 (account-3): not read for more than 2 days: us-east-1")


def test_a_discovery_with_options_is_in_use() -> None:
    """The chart can give its CronJob `--source`; the cost job with options reads other days instead."""
    failing = Progress(failing=Failing(since=NOW - timedelta(days=9), kind="access_denied"))
    run = make_run(RunStatus.FAILED, failed=2)
    ward = Ward(
        health=FakeHealth(run=None, with_options={"discover": run, "collect": run}),
        not_discovered=dict.fromkeys((1, 2), failing),
    )
    assert ward.find("last discovery").mark is Mark.WARNING
    assert ward.find("discovery").found.startswith("2 of 2 active accounts not discovered")
    assert ward.find("discovery access").found.startswith("000000000001 (account-1): AWS lists")
    assert ward.find("last run").found == "There has been no run over all accounts yet."


def test_a_discovery_that_failed_says_where_its_failures_are_shown() -> None:
    """`costbatch accounts list` knows of the costs only."""
    ward = Ward(health=FakeHealth(discovery=make_run(RunStatus.PARTIAL, succeeded=1, failed=1)))
    assert ward.find("last discovery").advice == (
        "The check `discovery` says which accounts failed and why, as does `costbatch accounts show ID`."
    )
