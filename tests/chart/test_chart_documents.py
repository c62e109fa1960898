"""What a person reads: the README, the notes after an install, the versions."""

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from costbatch.cli import COMMANDS
from tests.chart import generate
from tests.chart.chart import CHART, ROOT, VALUE_FILES, alerts, render
from tests.chart.test_chart_pods import SECRET


def notes(values: dict[str, Any], folder: Path) -> str:
    """Return the notes. `helm template` does not print them: a copy of the chart has them in a ConfigMap."""
    chart = folder / "costbatch"
    shutil.copytree(CHART, chart, dirs_exist_ok=True)
    shutil.copy(CHART / "templates" / "NOTES.txt", chart / "notes.txt")
    text = '{{ tpl (.Files.Get "notes.txt") . | quote }}'
    template = f"{{kind: ConfigMap, metadata: {{name: notes}}, data: {{text: {text}}}}}"
    (chart / "templates" / "notes.yaml").write_text(template)
    return str(render(values, chart=chart).one("ConfigMap", "notes")["data"]["text"])


def test_the_readmes_table_is_generated() -> None:
    """After a change of values.yaml, `python -m tests.chart.generate` writes it anew."""
    assert (CHART / "README.md").read_text() == generate.readme()


def test_every_value_is_documented() -> None:
    """No value without a comment of its own, or of the object that it is in."""
    assert [*generate.undocumented_values(yaml.safe_load((CHART / "values.yaml").read_text()))] == []


def test_there_are_value_files_for_every_way_to_install() -> None:
    """The promise is fifteen at least."""
    assert len(VALUE_FILES) >= 15


def test_the_readme_tells_every_alert() -> None:
    """Nobody should be called for an alert that is written nowhere."""
    text = (CHART / "README.md").read_text()
    assert re.findall(r"\| `(Costbatch\w+)` \|", text) == list(alerts())


def test_the_notes_say_the_next_three_commands(tmp_path: Path) -> None:
    """Check, register an account, collect now."""
    text = notes(SECRET, tmp_path)
    assert re.findall(r"^([0-9])\. ", text, re.MULTILINE) == ["1", "2", "3"]
    assert "helm test costbatch --namespace finops" in text
    assert "job=costbatch-manual-$(date +%s)\n" in text
    assert "kubectl --namespace finops create job --from=cronjob/costbatch $job\n" in text
    assert "NOT FOR PRODUCTION" not in text


def test_the_notes_of_the_trial_say_what_it_is(tmp_path: Path) -> None:
    """Nobody shall take it for an installation."""
    text = notes({"demo": {"enabled": True}}, tmp_path)
    assert "NOT FOR PRODUCTION" in text
    assert re.findall(r"^([0-9])\. ", text, re.MULTILINE) == ["1", "2", "3", "4"]
    assert "--from=cronjob/costbatch-discover $job\n" in text


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({**SECRET, "suspend": True}, "IT IS SUSPENDED"),
        ({**SECRET, "migrations": {"mode": "none"}}, "run `costbatch db upgrade` yourself"),
        ({"secrets": {"values": {"DATABASE_URL": "a", "ENCRYPTION_KEY": "b"}}}, "make a Secret"),
    ],
)
def test_the_notes_warn_where_something_is_left_to_do(
    values: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    """What the values leave open is said once more."""
    assert sentence in notes(values, tmp_path)


def test_the_one_liners_fit_the_job(tmp_path: Path) -> None:
    """Each patch names fields that the CronJob's Jobs have, and a command that costbatch has."""
    job = render(SECRET).one("CronJob")["spec"]["jobTemplate"]
    texts = [notes(SECRET, tmp_path), (CHART / "README.md").read_text()]
    patches = [patch for text in texts for patch in re.findall(r"--patch=('\[.*?\]')", text, re.DOTALL)]
    assert len(patches) == 5
    for patch in patches:
        replacement, *additions = json.loads(shlex.split(patch)[0])
        assert replacement["op"] == "replace"
        assert _at(job, replacement["path"]) == ["collect"]
        assert replacement["value"][0] in COMMANDS
        for addition in additions:
            container, _, field = addition["path"].rpartition("/")
            assert _at(job, container)["name"] == "costbatch"
            assert field in {"stdin", "stdinOnce"}


def test_the_cronjobs_are_suspended_as_documented() -> None:
    """The names are those of a release `costbatch`, and the field is one that they have."""
    rendered = render({**SECRET, "discover": {"enabled": True}})
    cronjobs = {each["metadata"]["name"]: each for each in rendered.of_kind("CronJob")}
    operations = (ROOT / "docs" / "operations.md").read_text()
    commands = re.findall(r"patch cronjob/(\S+) --patch '(.*)'", operations)
    assert [name for name, _ in commands] == sorted(cronjobs)
    for name, patch in commands:
        assert json.loads(patch) == {"spec": {"suspend": True}}
        assert cronjobs[name]["spec"]["suspend"] is False


def _at(document: Any, path: str) -> Any:
    for part in path.strip("/").split("/"):
        document = document[int(part) if part.isdecimal() else part]
    return document
