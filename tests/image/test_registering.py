"""How `make run-local` registers the accounts of the local AWS; the chart's trial can do the same."""

import pytest

from costbatch.adapters.postgres import PostgresDatabase
from costbatch.demo.register import main
from tests.support.harness import KEY


@pytest.fixture(autouse=True)
def _configuration(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("ENCRYPTION_KEY", KEY)


def test_every_account_of_the_local_aws_is_registered_once(
    database: PostgresDatabase, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second call finds them all; the one that is reached by a role is there too."""
    assert (main(), main()) == (0, 0)

    assert capsys.readouterr().out.splitlines() == [
        "Registered 27 accounts; 0 were there already.",
        "Registered 0 accounts; 27 were there already.",
    ]
    with database.transaction() as tx:
        ways = {account.name: account.access for account in tx.accounts.list_all()}
    assert ways["partner-by-role"] == "assumed_role"
    assert ways["staging"] == "access_keys"


def test_a_database_that_does_not_answer_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 1: it may only be late, and trying again can help."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    assert main() == 1
    assert capsys.readouterr().err.startswith("Error: ")


def test_a_missing_database_is_wrong_usage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 2, with a sentence."""
    monkeypatch.delenv("DATABASE_URL")
    assert main() == 2
    assert "DATABASE_URL is not set" in capsys.readouterr().err
