"""Labels of accounts: what they may be, and how they are changed."""

import pytest

from costbatch.domain.labels import MOST_LABELS, change_labels

LABELS = (("env", "prod"), ("team", "search"))


def test_a_change_sets_and_removes() -> None:
    """As kubectl's does; the order is that of the keys."""
    changed = change_labels(LABELS, ["team=payments", "env-", "a.b/c-d=x y@z"])
    assert changed == (("a.b/c-d", "x y@z"), ("team", "payments"))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (["team"], "is not a label change: write team=payments to set one"),
        (["=x"], "is not the key of a label"),
        (["1a=x"], "is not the key of a label"),
        (["a" * 64 + "=x"], "is not the key of a label"),
        (["a="], "is not the value of a label"),
        (["a=<b>"], "is not the value of a label"),
        (["a=x\n"], "is not the value of a label"),
        (["a=1", "a-"], "is given twice"),
        (["owner-"], "The account has no label 'owner'."),
        ([f"k{n}=x" for n in range(MOST_LABELS)], "at most 20 labels; this would make 22"),
    ],
)
def test_a_wrong_change_is_one_sentence(changes: list[str], sentence: str) -> None:
    """And nothing is changed."""
    with pytest.raises(ValueError, match=sentence.replace("(", r"\(")):
        change_labels(LABELS, changes)
