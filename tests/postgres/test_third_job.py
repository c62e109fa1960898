"""The example of docs/extending.md, as it stands there: a third job needs no change in the engine."""

import re
import types
from pathlib import Path

from costbatch.adapters.postgres import PostgresDatabase
from costbatch.application.deliver import Deliverer
from costbatch.application.jobs.runner import Runner
from costbatch.application.nightly import Nightly
from costbatch.domain.credentials import Access
from costbatch.domain.runs import FailOn, RunRequest, RunStatus
from costbatch.errors import AccountError, ErrorKind
from tests.postgres.conftest import Query
from tests.support.database_rows import NOW, account_id, add_account
from tests.support.fake_receivers import FakeMetrics, FakeSink
from tests.support.fake_runs import FakeDisplay
from tests.support.fakes import FakeVault
from tests.support.run_harness import POLICY

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/extending.md"


def example() -> str:
    """Return the code in the document."""
    (code,) = re.findall(
        r"<!-- example: a third job -->\n```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL
    )
    return str(code)


def root_keys_of(access: Access) -> int:
    """Return how many there are, or fail."""
    if access.account.aws_account_id == account_id(2):
        raise AccountError(ErrorKind.ACCESS_DENIED, "It may not be asked.")
    return 2


def test_the_example_is_short() -> None:
    """It fits on a screen and a half."""
    assert len(example().splitlines()) < 60


def test_the_example_is_a_whole_job(database: PostgresDatabase, query: Query) -> None:
    """It runs, fails for one account alone, reports, pushes and tells, as the others do."""
    module = types.ModuleType("third_job")
    exec(compile(example(), str(DOCUMENT), "exec"), module.__dict__)
    for number in (1, 2):
        add_account(database, number)
    job, metrics, sink = module.ScanJob(root_keys_of=root_keys_of, found={}), FakeMetrics(), FakeSink()
    runner = Runner(
        job=job,
        database=database,
        clock=lambda: NOW,
        policy=POLICY,
        display=FakeDisplay(),
        worker="this",
        is_gone=lambda _: False,
    )
    nightly = Nightly(
        runner=runner,
        report=job.report,
        deliverer=Deliverer(database=database, sinks=[sink], clock=lambda: NOW),
        vault=FakeVault(),
        metrics=metrics,
        clock=lambda: NOW,
        fail_on=FailOn.TOTAL,
    )
    report = nightly.run("key", RunRequest(job="scan"))
    assert report.run.status is RunStatus.PARTIAL
    assert (report.summary["accounts"]["scanned"], report.summary["root_keys"]) == (1, 2)
    assert metrics.pushed == [(report, True)]
    assert ("costbatch_root_keys", 2, ()) in [
        (one.metric.name, one.value, one.labels) for one in report.samples()
    ]
    assert sink.types == ["account.failed", "run.completed"]
    assert query("SELECT job, state FROM run_items ORDER BY account_id") == [
        ("scan", "succeeded"),
        ("scan", "failed"),
    ]
