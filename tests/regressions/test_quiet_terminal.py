"""On a terminal the progress bar stands alone; the log is there if it was asked for, and never as Python."""

import json
import logging
import pty
from io import StringIO
from os import fdopen

import pytest

from costbatch import logs
from costbatch.simulator.world import Fault
from tests.support.harness import ONE_DAY, TODAY, Harness, bill, make_account, steady
from tests.support.logs import restored_logs
from tests.support.terminal import terminal

YESTERDAY = TODAY - ONE_DAY


def _open_eventful(harness: Harness) -> None:
    """Open an account with a spike, which writes an event and a warning, and one that fails."""
    spiked = make_account(1, rows=(*steady("100", until=YESTERDAY), bill(YESTERDAY, "900")))
    harness.open(spiked, make_account(2, faults=(Fault("not_enabled"),)))


def test_no_log_line_stands_beside_the_bar(harness: Harness) -> None:
    """Neither what happens, nor events that go elsewhere, nor warnings that the summary tells anyway."""
    _open_eventful(harness)
    with terminal(harness, "collect", COSTBATCH_SINKS="none") as shown:
        assert shown.wait() == 0
    assert "Collecting" in shown.screen
    for word in ("run_started", "account_finished", "account_failed", "cloudevent", "run_ended", "'data'"):
        assert word not in shown.screen
    assert "Warnings that are not shown" not in shown.screen
    assert "PARTIAL: 1 of 2 accounts NOT COLLECTED" in shown.screen


def test_alerts_for_the_log_are_written_on_a_terminal_too(harness: Harness) -> None:
    """They count as delivered: of a run and of `events deliver`, each once, and nothing else of the log."""
    _open_eventful(harness)
    with terminal(harness, "collect") as shown:
        assert shown.wait() == 0
    plain = "".join(shown.screen.split())
    assert (plain.count('"anomaly.detected"'), plain.count('"account.failed"')) == (1, 1)
    assert "Warnings that are not shown" not in shown.screen
    for word in ("run_started", "account_finished", "run_ended", "account_failed", "run.completed"):
        assert word not in shown.screen
    harness.rows("UPDATE deliveries SET state = 'pending', delivered_at = NULL, attempts = 0")
    with terminal(harness, "events", "deliver") as shown:
        assert shown.wait() == 0
    plain = "".join(shown.screen.split())
    assert (plain.count('"anomaly.detected"'), plain.count('"account.failed"')) == (1, 1)
    assert harness.value("SELECT count(*) FROM deliveries WHERE state = 'delivered'") == 3


@pytest.mark.parametrize(
    ("options", "environ"),
    [
        (["-v"], {}),
        (["--verbose"], {}),
        ([], {"COSTBATCH_LOG_LEVEL": "info"}),
        ([], {"COSTBATCH_LOG_FORMAT": "json"}),
    ],
)
def test_the_log_is_shown_if_it_was_asked_for(
    harness: Harness, options: list[str], environ: dict[str, str]
) -> None:
    """By the option, or by a setting of the log."""
    _open_eventful(harness)
    with terminal(harness, "collect", *options, **environ) as shown:
        assert shown.wait() == 0
    assert "run_started" in shown.screen
    assert '"specversion"' in shown.screen
    assert "'specversion'" not in shown.screen


def test_a_level_that_was_set_is_kept(harness: Harness) -> None:
    """Warnings and no more, if that is what was asked for."""
    _open_eventful(harness)
    with terminal(harness, "collect", COSTBATCH_LOG_LEVEL="warning") as shown:
        assert shown.wait() == 0
    assert "account_failed" in shown.screen
    assert "run_started" not in shown.screen


def test_a_warning_that_nothing_else_tells_is_named(harness: Harness) -> None:
    """A Pushgateway that is not there must not be a secret of the log."""
    harness.open(make_account(1))
    with terminal(harness, "collect", PUSHGATEWAY_URL="http://127.0.0.1:1") as shown:
        assert shown.wait() == 0
    assert "Warnings that are not shown: 1 metrics_not_pushed. Run with -v to see the log." in shown.screen


def test_an_unexpected_error_keeps_its_traceback_on_a_terminal(harness: Harness) -> None:
    """Errors are always shown: the sentence below points to them."""
    logger = logging.getLogger("costbatch.test")
    ours, theirs = pty.openpty()
    with restored_logs(), fdopen(ours, "rb", 0) as screen, fdopen(theirs, "w") as stream:
        logs.configure(stream=stream, errors_only=True)
        logger.warning("less")
        logger.error("more")
        stream.flush()
        assert b"more" in screen.read(4096)
        assert logs.withheld_warnings() == {"costbatch.test": 1}


def test_what_is_inside_a_field_is_json_for_people_too() -> None:
    """Lists, dictionaries, quotes and other scripts, as a program would read them."""
    stream = StringIO()
    inside = {"name": "Ünï 'x'", "parts": [1, None, True], "deep": {"a": "b"}}
    with restored_logs():
        logs.configure(log_format="console", stream=stream)
        logs.get_logger("costbatch.test").info("event", cloudevent=inside, months=["2025-01"])
    printed = stream.getvalue()
    assert "None" not in printed
    assert "True" not in printed
    assert 'months=["2025-01"]' in printed
    start = printed.index("cloudevent=") + len("cloudevent=")
    assert json.JSONDecoder().raw_decode(printed[start:])[0] == inside


def test_a_pipe_gets_the_whole_log_as_before(harness: Harness) -> None:
    """In a pod, the log is what there is."""
    _open_eventful(harness)
    run = harness.collect()
    assert run.logs("run_started")
    assert run.logs("account_failed")
    assert run.logs("event")
