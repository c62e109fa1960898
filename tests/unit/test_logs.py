"""The logs: their form, whose lines they hold, and that no secret passes."""

import io
import json
import logging
import threading
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from costbatch import logs
from costbatch.domain.credentials import AccessKeys, Secret
from tests.support.logs import clean_logs

__all__ = ["clean_logs"]

ACCESS_KEY_ID = "AKIA" + "ABCDEFGHIJKLMNOP"


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        """Claim to be one."""
        return True


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """Return the JSON lines."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def json_logs(level: str = "info") -> io.StringIO:
    """Send the logs as JSON to a new stream."""
    stream = io.StringIO()
    logs.configure(level, "json", stream)
    return stream


def test_a_line_is_json_with_time_level_event_and_fields() -> None:
    """Programs read lines; the time is UTC."""
    stream = json_logs()
    logs.get_logger("costbatch.test").info("account_collected", aws_account_id="123456789012", rows=3)
    (line,) = lines(stream)
    assert list(line)[:3] == ["timestamp", "level", "event"]
    assert line["timestamp"].endswith("Z")
    assert (line["level"], line["event"], line["logger"]) == ("info", "account_collected", "costbatch.test")
    assert (line["aws_account_id"], line["rows"]) == ("123456789012", 3)


def test_lines_below_the_level_are_left_out() -> None:
    """The level is ours."""
    stream = json_logs("warning")
    logs.get_logger("costbatch.test").info("unimportant")
    assert lines(stream) == []


def test_an_alert_is_written_also_if_only_errors_are_shown() -> None:
    """It counts as delivered, so it is no warning that is withheld; what only informs is left out."""
    stream = io.StringIO()
    logs.configure("info", "json", stream, errors_only=True)
    events, others = logs.get_logger(logs.EVENTS), logs.get_logger("costbatch.test")
    for log in (events, others):
        log.info("informs")
        log.warning("needs_attention")
        log.error("fails")
    assert [(line["logger"], line["event"]) for line in lines(stream)] == [
        (logs.EVENTS, "needs_attention"),
        (logs.EVENTS, "fails"),
        ("costbatch.test", "fails"),
    ]
    assert logs.withheld_warnings() == {"needs_attention": 1}


def test_a_package_can_be_muted_for_a_while() -> None:
    """A backtest repeats what nights did; others are heard, and it is heard again afterwards."""
    stream = json_logs()
    log, other = logs.get_logger("costbatch.test.inside"), logs.get_logger("costbatch.other")
    with logs.muted("costbatch.test"):
        log.error("replayed")
        other.info("heard")
    log.info("again")
    assert [line["event"] for line in lines(stream)] == ["heard", "again"]


def test_others_are_heard_from_warning_on_even_when_we_debug() -> None:
    """The debug lines of botocore hold signed requests."""
    stream = json_logs("debug")
    logging.getLogger("botocore").info("quiet")
    logging.getLogger("urllib3").warning("retrying %s", "x")
    logs.get_logger("costbatch.test").debug("ours")
    assert [line["event"] for line in lines(stream)] == ["retrying x", "ours"]


def test_configuring_again_replaces_the_form() -> None:
    """One line stays one line."""
    json_logs()
    stream = json_logs()
    logging.getLogger("alembic").warning("once")
    assert len(lines(stream)) == 1


def test_the_run_is_on_every_line_of_every_thread() -> None:
    """A worker thread that is older than the run names it too, and so do third parties."""
    stream = json_logs()
    is_bound = threading.Event()

    def work() -> None:
        is_bound.wait()
        logs.get_logger("costbatch.worker").info("fetched")
        logging.getLogger("botocore").warning("slow")

    worker = threading.Thread(target=work)
    worker.start()
    logs.bind_run(UUID(int=1), "job-1")
    is_bound.set()
    worker.join()
    assert {(line["run_id"], line["run_key"]) for line in lines(stream)} == {(str(UUID(int=1)), "job-1")}


def test_a_person_gets_columns_on_a_terminal() -> None:
    """The automatic form asks the stream; colours are for terminals."""
    terminal, pipe = Terminal(), io.StringIO()
    logs.configure("info", "auto", terminal)
    logs.get_logger("costbatch.test").info("hello")
    logs.configure("info", "auto", pipe)
    logs.get_logger("costbatch.test").info("hello")
    assert "\x1b[" in terminal.getvalue()
    assert lines(pipe)[0]["event"] == "hello"


@pytest.mark.parametrize(("stream", "no_color"), [(Terminal(), True), (io.StringIO(), False)])
def test_there_are_no_colours_where_they_are_not_wanted(stream: io.StringIO, no_color: bool) -> None:  # noqa: FBT001 - a parameter of pytest
    """NO_COLOR and pipes get plain columns."""
    logs.configure("info", "console", stream, no_color=no_color)
    logs.get_logger("costbatch.test").info("hello", name="x")
    assert "hello" in stream.getvalue()
    assert "\x1b[" not in stream.getvalue()


def test_the_stream_is_standard_error_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    """Standard output belongs to the command."""
    logs.configure("info", "json")
    logs.get_logger("costbatch.test").info("hello")
    assert "hello" in capsys.readouterr().err


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_registered_secrets_never_appear(log_format: str) -> None:
    """Not in the event, not in a field however deep, not in an exception or its traceback."""
    stream = io.StringIO()
    logs.configure("info", log_format, stream)
    logs.register_secret(Secret('s3cr"et\\value'))
    logger = logs.get_logger("costbatch.test")
    text = 's3cr"et\\value'
    logger.warning(
        "event with %s", text, field=text, deep={"list": [text, (text,)], text: 1}, error=ValueError(text)
    )
    logging.getLogger("sqlalchemy").warning("it said %s", text)
    try:
        int(text)
    except ValueError:
        logger.exception("failed", note=Secret(text))
    assert "Traceback" in stream.getvalue()
    assert "***" in stream.getvalue()
    assert "et\\value" not in stream.getvalue()
    assert "et\\\\value" not in stream.getvalue()


def test_secrets_print_as_asterisks_by_their_type() -> None:
    """A Secret that nobody registered is still one."""
    stream = json_logs()
    keys = AccessKeys(access_key_id=Secret("id-text"), secret_access_key=Secret("key-text"))
    logs.get_logger("costbatch.test").info("oops", one=Secret("one-text"), keys=keys)
    assert "text" not in stream.getvalue()


def test_tracebacks_hold_no_local_variables() -> None:
    """What a frame holds at the time of an error may be a secret that nobody registered."""
    stream = Terminal()
    logs.configure("info", "console", stream)

    def fail() -> None:
        unregistered = "local" + "-value"
        raise ValueError(len(unregistered))

    try:
        fail()
    except ValueError:
        logs.get_logger("costbatch.test").exception("failed")
    assert "fail()" in stream.getvalue()
    assert "local-value" not in stream.getvalue()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"key {ACCESS_KEY_ID} rejected", "key *** rejected"),
        ("ASIA" + "ABCDEFGHIJKLMNOP", "***"),
        ("aws_secret_access_key = abc/def+ghi", "aws_secret_access_key = ***"),
        ('{"secret_access_key": "a b", "x": 1}', '{"secret_access_key": ***, "x": 1}'),
        ("aws_session_token=abc", "aws_session_token=***"),
        ("postgresql://u:p@ss@db/costs", "postgresql://u:***@db/costs"),
        ("https://:token@host/path", "https://:***@host/path"),
        ("https://token@host/path", "https://***@host/path"),
        ("https://token:@host/path", "https://***@host/path"),
        ("postgresql://someone@db/costs", "postgresql://someone@db/costs"),
        ("https://host/@scope?x=a@b", "https://host/@scope?x=a@b"),
        ("host=db password=abc dbname=x", "host=db password=*** dbname=x"),
        ("http://host:9091/metrics", "http://host:9091/metrics"),
        ("account 123456789012", "account 123456789012"),
    ],
)
def test_what_looks_like_a_secret_is_masked(text: str, expected: str) -> None:
    """The second net knows the shapes of secrets."""
    assert logs.redact(text) == expected


def test_a_longer_secret_is_masked_before_one_that_begins_it() -> None:
    """No tail of the longer one is left over."""
    logs.register_secret(Secret("abcdefgh"))
    logs.register_secret(Secret("abcdefghijkl"))
    assert logs.redact("x abcdefghijkl abcdefgh") == "x *** ***"


def test_a_very_short_secret_is_not_searched_for() -> None:
    """Masking every "db" would leave no log to read."""
    logs.register_secret(Secret("db"))
    assert logs.redact("the db is lost") == "the db is lost"


def test_a_field_named_like_a_secret_is_masked() -> None:
    """Whatever its value looks like."""
    stream = json_logs()
    logs.get_logger("costbatch.test").info("oops", password="short", external_id=None, cost=Decimal("1.50"))
    (line,) = lines(stream)
    assert (line["password"], line["external_id"], line["cost"]) == ("***", None, "1.50")
