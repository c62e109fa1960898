"""The chart under test: helm, the value files, and what helm makes of them."""

import fcntl
import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from tests.chart.pods import Manifest, Pod, pod_of
from tests.support.machine import unavailable

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "costbatch"
HERE = Path(__file__).parent
HELPERS = CHART / "templates" / "_helpers.tpl"

RELEASE, NAMESPACE = "costbatch", "finops"
OLDEST_KUBERNETES = "1.29"
# Helm's own default is older than what the chart asks for.
_RENDERED_FOR = "1.31.0"

VALUE_FILES: Mapping[str, Path] = {
    **{path.stem: path for path in sorted((HERE / "values").glob("*.yaml"))},
    **{path.stem: path for path in sorted((CHART / "examples").glob("*.yaml"))},
}


class HelmError(Exception):
    """Helm refused; the message is what it said."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """What helm made of one set of values."""

    text: str
    documents: Sequence[Manifest]

    def of_kind(self, kind: str) -> list[Manifest]:
        """Return the objects of a kind."""
        return [document for document in self.documents if document["kind"] == kind]

    def one(self, kind: str, name: str = "") -> Manifest:
        """Return the only object of a kind, or the one of this name."""
        (found,) = (each for each in self.of_kind(kind) if name in {"", each["metadata"]["name"]})
        return found

    @property
    def pods(self) -> list[Pod]:
        """Every pod that would run, whatever object makes it."""
        return [pod for document in self.documents if (pod := pod_of(document))]

    def pod(self, component: str) -> Pod:
        """Return the pod of a component."""
        (found,) = (each for each in self.pods if each.component == component)
        return found


@cache
def helm() -> Path:
    """Return the path of the pinned helm; install it with npm if it is missing."""
    path = ROOT / "node_modules" / ".bin" / "helm"
    # One process installs, the others wait for it.
    with (ROOT / "package-lock.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            npm = shutil.which("npm")
            if npm is None:
                unavailable("helm is not installed, and npm, which installs it, is missing.")
            subprocess.run([npm, "ci", "--silent"], cwd=ROOT, check=False, timeout=100, capture_output=True)
    if not path.exists():
        unavailable("helm is not installed, and `npm ci` did not install it.")
    return path


def run_helm(*arguments: str, stdin: str = "") -> str:
    """Run helm and return what it printed.

    Raises:
        HelmError: it refused.

    """
    done = subprocess.run(
        [helm(), *arguments], input=stdin, capture_output=True, text=True, timeout=30, check=False
    )
    if done.returncode:
        raise HelmError(done.stderr)
    return done.stdout


@cache
def render_file(name: str) -> Rendered:
    """Render the chart with one of the value files."""
    return render(yaml.safe_load(VALUE_FILES[name].read_text()))


def render(values: Mapping[str, Any], *, chart: Path = CHART) -> Rendered:
    """Render the chart with these values.

    Raises:
        HelmError: they are refused.

    """
    options = ["--namespace", NAMESPACE, "--kube-version", _RENDERED_FOR, "--values", "-"]
    # JSON is YAML.
    text = run_helm("template", RELEASE, str(chart), *options, stdin=json.dumps(values))
    # By libyaml, in a tenth of the time of the loader in Python.
    documents = yaml.load_all(text, yaml.CSafeLoader)
    return Rendered(text, [document for document in documents if document])


def chart_with(job: str, *, noun: str, done: str, into: Path) -> Path:
    """Copy the chart with one more job in its list."""
    chart = _without_schema(into)
    helpers = into / HELPERS.relative_to(CHART)
    begin = '{{- define "costbatch.knownJobs" -}}\n'
    before, _, rest = helpers.read_text().partition(begin)
    last, end, rest = rest.partition("{{- end }}")
    helpers.write_text(f"{before}{begin}{last}- {{job: {job}, noun: {noun}, done: {done}}}\n{end}{rest}")
    return chart


@cache
def alerts() -> tuple[str, ...]:
    """Return the name of every alert, of every job, in order."""
    rule = {"prometheusRule": {"enabled": True, "kubeStateMetrics": True}}
    with TemporaryDirectory() as folder:
        chart = _without_schema(Path(folder) / "chart")
        rendered = render({"demo": {"enabled": True}, "monitoring": rule}, chart=chart)
    (group,) = rendered.one("PrometheusRule")["spec"]["groups"]
    return tuple(each["alert"] for each in group["rules"])


def _without_schema(into: Path) -> Path:
    """Copy the chart without its schema, which knows only the jobs and alerts that it was generated with."""
    chart = shutil.copytree(CHART, into)
    (chart / "values.schema.json").unlink()
    return chart
