"""What `costbatch db` prints."""

from costbatch.application.retention import OldRows
from costbatch.cli.db import NOUNS


def test_every_kind_of_old_rows_has_a_word() -> None:
    """What has none would be deleted in silence."""
    assert NOUNS.keys() == set(OldRows)
    assert all(one != several for one, several in NOUNS.values())
