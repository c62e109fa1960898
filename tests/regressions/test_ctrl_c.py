"""Ctrl-C on a real terminal: acknowledged at once, with the command that continues; twice ends at once."""

import shlex
from time import monotonic, sleep

import pytest

from tests.support.harness import Harness, make_account, wait_for
from tests.support.terminal import HIDE_CURSOR, SHOW_CURSOR, Terminal, terminal
from tests.support.waiting import count, locked, until

LONG = {"COSTBATCH_GRACE_SECONDS": "60", "COSTBATCH_AWS_READ_TIMEOUT_SECONDS": "60"}
_RUN = "SELECT status, stopped_by, finished_at IS NOT NULL AS is_finished FROM runs"


def _open_hanging(harness: Harness) -> None:
    """Open two accounts; the second one's answer does not come."""
    harness.open(make_account(1), make_account(2))
    harness.aws.add_fault(harness.ids[1], "hang", times=1, seconds=60)


def _resume(shown: Terminal, marker: str) -> list[str]:
    """Return the command that the screen says continues the run, without the program's name."""
    line = next(line for line in shown.lines if marker in line)
    return shlex.split(line.partition(marker)[2])[1:]


def test_the_first_is_acknowledged_at_once_with_the_command_that_continues(harness: Harness) -> None:
    """Long before the account that hangs comes back; and the command works as it is printed.

    It repeats what the run is asked for, and what its record does not hold: the cap and --fail-on.
    """
    _open_hanging(harness)
    own = ["--max-api-cost", "0.05", "--fail-on", "partial"]
    options = ["--date", "2025-03-01", *own, "--account", "100000000001", "--account", "100000000002"]
    with terminal(harness, "collect", "--run-key", "my$key", *options, **LONG) as shown:
        until(lambda: count(harness, "succeeded") == 1)
        began = monotonic()
        shown.press_ctrl_c()
        shown.until("To continue: costbatch collect --run-key 'my$key'")
        assert monotonic() - began < 2
        assert shown.process.poll() is None
        assert "Press Ctrl-C again to stop at once." in shown.screen
        again = _resume(shown, "To continue: ")
    assert again == ["collect", "--run-key", "my$key", *options]
    # The terminal is gone, and its process with it; the next one takes its accounts over.
    assert wait_for(harness.start(*again)).status == 0
    assert count(harness, "succeeded") == 2


def test_the_run_ends_in_order_and_its_last_line_continues_it(harness: Harness) -> None:
    """Status 130, a summary, the cursor back, and the command once more where the eye rests."""
    harness.open(*(make_account(number) for number in range(6)), latency_seconds=0.4)
    with terminal(harness, "collect", "--concurrency", "1") as shown:
        until(lambda: count(harness, "succeeded") > 0)
        shown.press_ctrl_c()
        assert shown.wait() == 130
        last = shown.lines[-1]
        left = count(harness, "pending")
        assert last.startswith(f"STOPPED: {left} of 6 accounts not finished. To continue: costbatch collect")
        assert shown.screen.rfind(SHOW_CURSOR) > shown.screen.rfind(HIDE_CURSOR) >= 0
        again = _resume(shown, f"STOPPED: {left} of 6 accounts not finished. To continue: ")
    assert wait_for(harness.start(*again)).status == 0
    assert count(harness, "succeeded") == 6


@pytest.mark.parametrize("options", [[], ["--output", "json"]])
def test_a_second_one_ends_at_once_and_leaves_everything_true(harness: Harness, options: list[str]) -> None:
    """The cursor is visible, the run is stopped, nothing is claimed, and the last line continues it."""
    _open_hanging(harness)
    with terminal(harness, "collect", "--run-key", "k", *options, **LONG) as shown:
        until(lambda: count(harness, "succeeded") == 1)
        shown.press_ctrl_c()
        shown.until("Press Ctrl-C again")
        began = monotonic()
        shown.press_ctrl_c()
        assert shown.wait() == 130
        assert monotonic() - began < 5
        assert shown.screen.rfind(SHOW_CURSOR) > shown.screen.rfind(HIDE_CURSOR) >= 0
        last = shown.lines[-1]
        assert last.startswith("STOPPED at once: requests in flight were abandoned. To continue: ")
        again = _resume(shown, "were abandoned. To continue: ")
    assert harness.rows(_RUN) == [{"status": "stopped", "stopped_by": "signal", "is_finished": True}]
    assert (count(harness, "running"), count(harness, "pending")) == (0, 1)
    assert wait_for(harness.start(*again)).status == 0


def test_both_are_heard_while_the_database_does_not_answer(harness: Harness) -> None:
    """The main thread waits inside the driver; the process ends all the same, within seconds."""
    harness.open(make_account(1))
    with locked(harness, "runs"), terminal(harness, "collect", "--run-key", "k", **LONG) as shown:
        until(lambda: harness.value("SELECT count(*) FROM pg_locks WHERE NOT granted") > 0)
        shown.press_ctrl_c()
        shown.until("To continue: costbatch collect --run-key k")
        began = monotonic()
        shown.press_ctrl_c()
        assert shown.wait() == 130
        assert monotonic() - began < 6
        assert shown.screen.rfind(SHOW_CURSOR) >= shown.screen.rfind(HIDE_CURSOR)


def test_three_in_a_row_end_it_without_waiting_for_anything(harness: Harness) -> None:
    """Not even for the database to take note."""
    harness.open(make_account(1))
    with locked(harness, "runs"), terminal(harness, "collect", **LONG) as shown:
        until(lambda: harness.value("SELECT count(*) FROM pg_locks WHERE NOT granted") > 0)
        began = monotonic()
        for _ in range(3):
            shown.press_ctrl_c()
            sleep(0.3)  # the kernel makes one signal of several that come together
        assert shown.wait() == 130
        assert monotonic() - began < 3


def test_a_prompt_that_is_interrupted_says_so(harness: Harness) -> None:
    """Status 130, and no traceback: also where no run has begun."""
    with terminal(harness, "accounts", "add", "123456789012", "--name", "x") as shown:
        shown.until(":")
        shown.press_ctrl_c()
        assert shown.wait() == 130
        assert shown.lines[-1] == "Interrupted."
        assert "Traceback" not in shown.screen
