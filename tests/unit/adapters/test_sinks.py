"""Sinks: each type is imported when it is configured, and the log sink writes one line per event."""

import subprocess
import sys
from io import StringIO

import pytest
from structlog.testing import capture_logs

from costbatch import logs
from costbatch.adapters.sinks import SINKS, make_sinks, sink_type
from costbatch.config import Settings
from costbatch.config.sinks import LOG, READERS
from costbatch.domain.events import EventType
from costbatch.errors import ConfigError
from tests.support.logs import clean_logs
from tests.support.sinks import anomaly_event, make_context, make_sink

__all__ = ["clean_logs"]


@pytest.mark.parametrize(
    ("type_", "level"),
    [
        (EventType.ANOMALY_DETECTED, "warning"),
        (EventType.ANOMALY_UPDATED, "warning"),
        (EventType.ANOMALY_RESOLVED, "info"),
        (EventType.ACCOUNT_FAILED, "warning"),
        (EventType.ACCOUNT_RECOVERED, "info"),
        (EventType.RUN_COMPLETED, "info"),
        (EventType.RUN_FAILED, "warning"),
        (EventType.RUN_STOPPED, "warning"),
        (EventType.SINK_TEST, "info"),
    ],
)
def test_an_event_is_one_log_line_of_its_severity(type_: EventType, level: str) -> None:
    """What asks for attention is a warning; the event's name is static and the CloudEvent a field."""
    cloudevent = anomaly_event(type_=type_)
    with capture_logs() as lines:
        make_sink("type: log").deliver([cloudevent])
    assert lines == [{"event": "event", "log_level": level, "cloudevent": cloudevent}]


@pytest.mark.parametrize(("level", "is_there"), [("info", True), ("warning", False), ("error", False)])
def test_no_log_level_leaves_out_an_alert_and_a_test_says_whether_it_is_there(
    level: str, *, is_there: bool
) -> None:
    """What is written nowhere would count as delivered."""
    stream = StringIO()
    logs.configure(level, "json", stream)
    sink = make_sink("type: log")
    assert sink.deliver([anomaly_event(type_=EventType.ANOMALY_DETECTED)]) == "The event is in the log."
    answer = sink.deliver([anomaly_event(type_=EventType.SINK_TEST)])
    assert (answer == "The event is in the log.") is is_there
    assert ("not in the log" in answer) is not is_there
    assert len(stream.getvalue().splitlines()) == 1 + is_there


def test_the_variable_makes_the_log_or_no_sink() -> None:
    """The log once, also if it is repeated."""
    context = make_context()
    for text, names in (("log,log", ["log"]), ("none", [])):
        settings = Settings.from_environment({"COSTBATCH_SINKS": text})
        assert [sink.name for sink in make_sinks(settings.sinks, context)] == names
        assert settings.sinks == (LOG,) * len(names)


def test_a_type_that_needs_options_is_not_for_the_variable() -> None:
    """The sentence names what is."""
    with pytest.raises(ConfigError) as error:
        Settings.from_environment({"COSTBATCH_SINKS": "log,pigeon"})
    (problem,) = error.value.problems
    assert problem == (
        "COSTBATCH_SINKS must be log or none, not 'pigeon'; describe other sinks in a YAML file and set "
        "COSTBATCH_SINKS_FILE to its path."
    )


def test_every_type_that_can_be_configured_has_its_class() -> None:
    """And the other way round."""
    assert SINKS.keys() == READERS.keys()
    assert len({sink_type(kind) for kind in SINKS}) == len(SINKS)


def test_what_is_not_configured_is_not_loaded() -> None:
    """A run with the log only loads neither apprise nor the client of SNS."""
    code = (
        "import sys; from costbatch.bootstrap import Bootstrap; from costbatch.config import Settings;"
        "b = Bootstrap(settings=Settings.from_environment({}), now=None); b.sinks();"
        "print(sorted({'apprise', 'botocore', 'standardwebhooks', 'requests'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_sink_without_its_package_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra `notify` is not everywhere: the sentence says what is missing, and how to install it."""
    monkeypatch.setitem(sys.modules, "apprise", None)
    monkeypatch.delitem(sys.modules, "costbatch.adapters.sinks.notify", raising=False)
    with pytest.raises(ConfigError) as caught:
        make_sink("type: notify\nurl: {secret_env: URL}", {"URL": "json://a.example"})
    assert str(caught.value) == (
        "The sink it needs the Python package apprise, which is not installed; use the image, or run "
        "`pip install '.[notify]'` in the clone of costbatch."
    )
