"""The benchmark of discovery still runs, on two accounts, and its committed figures keep what is promised."""

import json
from pathlib import Path

from benchmarks.discovery import Night, discover
from costbatch.adapters.postgres import PostgresDatabase
from tests.postgres.conftest import Query
from tests.support.database_rows import add_account
from tests.support.logs import restored_logs

FIGURES = Path(__file__).resolve().parents[2] / "benchmarks/results/discovery.json"


def test_nights_are_measured(database: PostgresDatabase, database_url: str, query: Query) -> None:
    """A first night writes everything, an unchanged one hardly anything, and one with changes these."""
    for number in (1, 2):
        add_account(database, number)
    nights = [
        Night(url=database_url, number=number, accounts=2, regions=2, resources=40, changed=changed)
        for number, changed in ((1, 0), (2, 0), (3, 10))
    ]
    with restored_logs():
        first, unchanged, changed = (discover(night) for night in nights)
    assert (first.resources, query("SELECT count(*) FROM resources")) == (160, [(160,)])
    assert unchanged.wal_mb < first.wal_mb
    assert query("SELECT sum(rows_inserted), sum(rows_updated) FROM discoveries") == [(160, 16)]
    assert changed.peak_mb > 0


def test_the_committed_figures_keep_what_is_promised() -> None:
    """An unchanged night writes 1/100 of the first at most; memory follows the account, not their number."""
    figures = json.loads(FIGURES.read_text())
    assert figures["ratios"]["wal_unchanged"] <= 0.01
    assert figures["ratios"]["memory"] <= 1.1
    assert (figures["large_account"]["resources"], figures["large_account"]["peak_mb"] < 256) == (
        100_000,
        True,
    )
