"""How the checks are made: each in its time, none stopping the others, and what all of them come to."""

import time
from threading import Event

import pytest

from costbatch import logs
from costbatch.application.doctor.examination import Check, examine
from costbatch.application.doctor.findings import CheckResult, Examination, Mark, failure, ok, warning
from costbatch.domain.credentials import Secret
from costbatch.errors import AccountError, ConfigError, ErrorKind, StorageError
from tests.support.fake_doctor import FakeHealth, Ward


def run(*checks: Check, limit_seconds: float = 5.0) -> dict[str, CheckResult]:
    """Make checks and return their results by name."""
    return {result.name: result for result in examine(checks, limit_seconds=limit_seconds)}


def raising(error: BaseException) -> Check:
    """Return a check that ends in an error."""

    def look() -> None:
        raise error

    return Check("broken", look)  # type: ignore[arg-type] # it never returns


def test_in_good_health_every_check_is_ok() -> None:
    """Nothing to complain about: every mark is ok, and no advice is given."""
    results = Ward().examine()
    assert {name: result.finding.mark for name, result in results.items()} == dict.fromkeys(results, Mark.OK)
    assert not any(result.finding.advice for result in results.values())
    assert Examination(tuple(results.values())).status is Mark.OK


def test_a_check_that_takes_too_long_is_its_own_failure() -> None:
    """Its time ends, the other checks run, and the command does not wait for it."""
    never = Event()
    began = time.monotonic()
    found = run(
        Check("slow", lambda: ok(str(never.wait(30)))), Check("next", lambda: ok("Fine.")), limit_seconds=0.1
    )
    never.set()
    assert time.monotonic() - began < 5
    assert found["slow"].finding.mark is Mark.FAILURE
    assert found["slow"].finding.found == "Timed out after 0.1 seconds."
    assert "--timeout" in found["slow"].finding.advice
    assert found["slow"].seconds >= 0.1
    assert found["next"].finding.mark is Mark.OK


def test_a_check_may_have_a_limit_of_its_own() -> None:
    """The paid request may take longer than the others."""
    never = Event()
    found = run(Check("slow", lambda: ok(str(never.wait(0.2))), (), 5.0), limit_seconds=0.05)
    assert found["slow"].finding.mark is Mark.OK


def test_an_unexpected_error_is_that_check_s_failure() -> None:
    """Only its type is shown: its text may hold anything."""
    found = run(raising(KeyError("hunter2")), Check("next", lambda: ok("Fine.")))
    assert found["broken"].finding.mark is Mark.FAILURE
    assert found["broken"].finding.found == "The check crashed with an unexpected error (KeyError)."
    assert "hunter2" not in str(found)
    assert found["next"].finding.mark is Mark.OK


def test_an_error_of_ours_is_split_into_what_was_found_and_what_to_do() -> None:
    """Its last sentence says what to do."""
    found = run(raising(StorageError("The database is lost: no route. Check DATABASE_URL.")))[
        "broken"
    ].finding
    assert (found.found, found.advice) == ("The database is lost: no route.", "Check DATABASE_URL.")
    assert not found.is_configuration


def test_an_error_of_ours_without_advice_gets_some() -> None:
    """There is no failure without a word on what to do."""
    found = run(raising(StorageError("The database refused a statement: no such table.")))["broken"].finding
    assert found.found == "The database refused a statement: no such table."
    assert found.advice


def test_an_account_s_error_brings_its_kind_s_advice() -> None:
    """The closed list of kinds knows what to do."""
    found = run(raising(AccountError(ErrorKind.TIMEOUT, "STS did not answer.")))["broken"].finding
    assert (found.found, found.advice) == ("STS did not answer.", ErrorKind.TIMEOUT.advice)


def test_a_configuration_error_is_known_as_one() -> None:
    """Every problem is shown, and a retry is known not to help."""
    found = run(raising(ConfigError("One.", "Two.")))["broken"].finding
    assert found.found.splitlines() == ["One.", "Two."]
    assert "these 2 problems" in found.advice
    assert found.is_configuration


def test_what_needs_a_failed_check_is_skipped_and_names_the_first_culprit() -> None:
    """A chain of needs leads to the check that failed, not to the one that was skipped for it."""
    results = run(
        Check("cellar", lambda: failure("Flooded.", "Pump.")),
        Check("floor", lambda: ok("Dry."), ["cellar"]),
        Check("roof", lambda: ok("Dry."), ["floor"]),
        Check("garden", lambda: ok("Green.")),
    )
    assert [result.finding.mark.value for result in results.values()] == [
        "failure",
        "skipped",
        "skipped",
        "ok",
    ]
    assert results["roof"].finding.found == "Skipped: depends on the failed cellar check."


def test_a_warning_keeps_nothing_from_being_looked_at() -> None:
    """Only failures do."""
    results = run(Check("a", lambda: warning("Old.", "Renew.")), Check("b", lambda: ok("Fine."), ["a"]))
    assert results["b"].finding.mark is Mark.OK


def test_secrets_are_masked_in_every_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """In what was found and in the advice."""
    monkeypatch.setattr(logs, "_secrets", {})
    logs.register_secret(Secret("correct-horse"))
    found = run(Check("leak", lambda: failure("It is correct-horse.", "Change correct-horse.")))[
        "leak"
    ].finding
    assert (found.found, found.advice) == ("It is ***.", "Change ***.")


def test_the_worst_mark_is_the_examination_s() -> None:
    """Failure before warning before ok; skipped has its reason in a failure."""
    results = [CheckResult("a", ok("."), 0), CheckResult("b", warning(".", "!"), 0)]
    assert Examination(tuple(results)).status is Mark.WARNING
    results.append(CheckResult("c", failure(".", "!"), 0))
    assert Examination(tuple(results)).status is Mark.FAILURE


def test_the_document_has_every_check_and_the_status() -> None:
    """The JSON for programs; advice is null if none is needed."""
    results = (CheckResult("a", ok("Fine."), 0.12345), CheckResult("b", warning("Old.", "Renew."), 1))
    assert Examination(results).to_document() == {
        "checks": [
            {"name": "a", "status": "ok", "found": "Fine.", "advice": None, "seconds": 0.123},
            {"name": "b", "status": "warning", "found": "Old.", "advice": "Renew.", "seconds": 1},
        ],
        "status": "warning",
    }


def test_without_readable_settings_everything_is_skipped_for_the_configuration() -> None:
    """Nothing else can be known then."""
    ward = Ward(problems=["X is wrong."], is_readable=False, has_store=False, vault=None, gateway=None)
    results = ward.examine()
    assert results["configuration"].finding.is_configuration
    others = [result.finding for name, result in results.items() if name != "configuration"]
    assert {finding.mark for finding in others} == {Mark.SKIPPED}
    assert all("configuration" in finding.found for finding in others)


def test_without_a_database_url_the_pushgateway_is_looked_at_all_the_same() -> None:
    """What can be looked at is."""
    results = Ward(problems=["DATABASE_URL is not set."], has_store=False).examine()
    assert results["database"].finding.mark is Mark.SKIPPED
    assert results["Pushgateway"].finding.mark is Mark.OK


def test_without_a_key_the_database_is_looked_at_all_the_same() -> None:
    """Only the check of the key is skipped for it."""
    results = Ward(problems=["ENCRYPTION_KEY is not set."], vault=None).examine()
    skipped = [name for name, result in results.items() if result.finding.mark is Mark.SKIPPED]
    assert skipped == ["encryption key", "discovery access"]


def test_a_lost_database_skips_what_is_in_it() -> None:
    """And leaves the Pushgateway, which is elsewhere."""
    results = Ward(health=FakeHealth(error=StorageError("It is gone. Bring it back."))).examine()
    assert results["database"].finding.mark is Mark.FAILURE
    assert results["last run"].finding.found == "Skipped: depends on the failed database check."
    assert results["Pushgateway"].finding.mark is Mark.OK


def test_a_fault_in_one_part_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken query is one failure, not the end."""

    def fail(_: FakeHealth) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(FakeHealth, "sinks", fail)
    results = Ward().examine()
    marks = [result.finding.mark for result in results.values()]
    assert results["events"].finding.mark is Mark.FAILURE
    assert marks.count(Mark.OK) == len(marks) - 1
