"""A stand-in for kubectl and `helm test` where there is no cluster, as strict about time as the real ones.

The folder in FAKE_CLUSTER holds `objects.json`, what the chart made, and a file for each Job. A Job's
container starts FAKE_STARTS_AFTER seconds after its creation and ends FAKE_ENDS_AFTER seconds later; one that
reads standard input ends when it has got it. It does what was observed on Kubernetes 1.34: `logs` and
`attach` fail until the container runs, `wait` for a ready pod does not end once the Job is over, a name is
taken once, and `helm test --logs` fails if the pod's hook policy deletes it before.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

FOLDER = Path(os.environ.get("FAKE_CLUSTER", "."))
STARTS_AFTER = float(os.environ.get("FAKE_STARTS_AFTER", "0.7"))
ENDS_AFTER = float(os.environ.get("FAKE_ENDS_AFTER", "0.7"))

Manifest = dict[str, Any]
# By command: the options that it may have here, all of which the real one has.
OPTIONS = {
    "create": {"--from", "--dry-run", "--output", "--filename"},
    "patch": {"--local", "--filename", "--output", "--type", "--patch"},
    "logs": {"--follow"},
    "attach": {"--stdin"},
    "wait": {"--for", "--timeout"},
}


class Refused(Exception):  # noqa: N818 - kubectl calls it no error
    """What kubectl prints before it ends with 1."""


def main(arguments: list[str]) -> None:
    """Do what one call asks for."""
    words = [each for each in arguments if not each.startswith("--")]
    options = dict(each.partition("=")[::2] for each in arguments if each.startswith("--"))
    if "--namespace" in options:
        # Given as two words.
        words = words[1:]
        del options["--namespace"]
    command, *words = words
    unknown = options.keys() - OPTIONS.get(command, set())
    if unknown:
        raise Refused(f"error: unknown flag: {', '.join(sorted(unknown))}")
    actions: dict[str, Callable[[list[str], dict[str, str]], None]] = {
        "create": _create,
        "patch": _patch,
        "logs": _logs,
        "attach": _attach,
        "wait": _wait,
    }
    actions[command](words, options)


def _create(words: list[str], options: dict[str, str]) -> None:
    if not words:
        job = json.load(sys.stdin)
    else:
        kind, name = words
        cron_job = _object("CronJob", options["--from"].removeprefix("cronjob/"))
        assert kind == "job"
        job = {"kind": "Job", "metadata": {"name": name}, **cron_job["spec"]["jobTemplate"]}
        job["metadata"] = {**job["metadata"], "name": name}
    name = job["metadata"]["name"]
    if len(name) > 63:
        raise Refused(f'The Job "{name}" is invalid: must be no more than 63 characters')
    if options.get("--dry-run") == "client":
        _say(json.dumps(job))
        return
    if _file(name).exists():
        raise Refused(f'Error from server (AlreadyExists): jobs.batch "{name}" already exists')
    _file(name).write_text(json.dumps({**job, "created": time.time()}))
    _say(f"job.batch/{name} created")


def _patch(_: list[str], options: dict[str, str]) -> None:
    document = json.load(sys.stdin)
    for change in json.loads(options["--patch"]):
        *path, last = change["path"].strip("/").split("/")
        place: Any = document
        for part in path:
            place = place[int(part)] if isinstance(place, list) else place[part]
        if change["op"] == "replace" and last not in place:
            raise Refused(f'error: replace operation does not apply: missing key "{last}"')
        place[last] = change["value"]
    _say(json.dumps(document))


def _logs(words: list[str], _: dict[str, str]) -> None:
    job = _job(words[0])
    if _phase(job) == "waiting":
        raise _waiting(job)
    time.sleep(max(0.0, _ends_at(job) - time.time()))
    _say(f"log of {' '.join(_container(job)['args'])}")


def _attach(words: list[str], _: dict[str, str]) -> None:
    job = _job(words[0])
    if _phase(job) == "waiting":
        raise _waiting(job)
    if _phase(job) == "over":
        raise Refused("error: cannot attach a container in a completed pod; current phase is Succeeded")
    if not _container(job).get("stdin"):
        raise Refused("error: Unable to use a TTY - container costbatch did not allocate one")
    given = sys.stdin.read()
    _file(job["metadata"]["name"]).write_text(json.dumps({**job, "given": given, "ended": time.time()}))
    _say("attached")


def _wait(words: list[str], options: dict[str, str]) -> None:
    if options["--for"] == "condition=Available":
        for word in words:
            _object("Deployment", word.removeprefix("deployment/"))
        return
    assert options["--for"] == "jsonpath={.status.ready}=1", options["--for"]
    job = _job(words[0])
    while _phase(job) == "waiting":
        time.sleep(0.05)
    if _phase(job) == "over":
        # The real one waits in vain until its time is over.
        raise Refused(f"error: timed out waiting for the condition on {words[0]}")
    _say(f"{words[0]} condition met")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _waiting(job: Manifest) -> Refused:
    name = job["metadata"]["name"]
    return Refused(
        f'Error from server (BadRequest): container "costbatch" in pod "{name}-abcde" is waiting to start: '
        "ContainerCreating"
    )


def _phase(job: Manifest) -> str:
    if time.time() < job["created"] + STARTS_AFTER:
        return "waiting"
    return "running" if time.time() < _ends_at(job) else "over"


def _ends_at(job: Manifest) -> float:
    if _container(job).get("stdin"):
        return float(job.get("ended", "inf"))
    return float(job["created"] + STARTS_AFTER + ENDS_AFTER)


def _container(job: Manifest) -> Manifest:
    (found,) = (each for each in job["spec"]["template"]["spec"]["containers"] if each["name"] == "costbatch")
    return dict(found)


def _object(kind: str, name: str) -> Manifest:
    for each in json.loads((FOLDER / "objects.json").read_text()):
        if (each["kind"], each["metadata"]["name"]) == (kind, name):
            return dict(each)
    raise Refused(f'Error from server (NotFound): {kind.lower()}s "{name}" not found')


def _job(word: str) -> Manifest:
    name = word.removeprefix("job/")
    if not _file(name).exists():
        raise Refused(f'Error from server (NotFound): jobs.batch "{name}" not found')
    return dict(json.loads(_file(name).read_text()))


def _file(name: str) -> Path:
    return FOLDER / f"job-{name}.json"


def helm(arguments: list[str]) -> None:
    """Do what `helm test RELEASE --namespace NAMESPACE --logs` does once the pod has succeeded."""
    command, release, *options = arguments
    assert (command, options[0], options[2:]) == ("test", "--namespace", ["--logs"]), arguments
    pod = _object("Pod", f"{release}-test")
    if "hook-succeeded" in pod["metadata"]["annotations"]["helm.sh/hook-delete-policy"]:
        raise Refused(f'Error: unable to get pod logs for {release}-test: pods "{release}-test" not found')
    _say(f"POD LOGS: {release}-test")


if __name__ == "__main__":
    try:
        (helm if sys.argv[1] == "helm" else main)(sys.argv[2:])
    except Refused as error:
        sys.exit(str(error))
