"""Labels of accounts, such as team=payments: what they may look like, and changes of them."""

import re
from collections.abc import Iterable, Mapping

from costbatch.domain.excerpt import excerpt

# By key, so that equal labels are equal values.
Labels = tuple[tuple[str, str], ...]

MOST_LABELS = 20
_KEY = re.compile(r"[A-Za-z]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?")
_VALUE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9 ._/@:+-]{0,61}[A-Za-z0-9])?")


def sorted_labels(labels: Mapping[str, str]) -> Labels:
    """Return labels by key."""
    return tuple(sorted(labels.items()))


def check_label(key: str, value: str) -> None:
    """Refuse a key or a value that no label may have.

    Raises:
        ValueError: with a whole sentence.

    """
    if not _KEY.fullmatch(key):
        raise ValueError(
            f"{excerpt(key)} is not the key of a label: 1 to 63 letters, digits and . _ / -, "
            "beginning with a letter and ending with a letter or digit."
        )
    if not _VALUE.fullmatch(value):
        raise ValueError(
            f"{excerpt(value)} is not the value of a label: 1 to 63 letters, digits, spaces and any of "
            ". _ / @ : + -, beginning and ending with a letter or digit."
        )


def change_labels(labels: Labels, changes: Iterable[str]) -> Labels:
    """Return labels after changes: "team=payments" sets one, "team-" removes one.

    Raises:
        ValueError: with a whole sentence.

    """
    changed, seen = dict(labels), set[str]()
    for change in changes:
        key, is_set, value = change.partition("=")
        if not is_set:
            if not change.endswith("-"):
                raise ValueError(
                    f"{excerpt(change)} is not a label change: write team=payments to set one, "
                    "and team- to remove it."
                )
            key = change.removesuffix("-")
        if key in seen:
            raise ValueError(f"The label {excerpt(key)} is given twice.")
        seen.add(key)
        if is_set:
            check_label(key, value)
            changed[key] = value
        elif changed.pop(key, None) is None:
            raise ValueError(f"The account has no label {excerpt(key)}.")
    if len(changed) > MOST_LABELS:
        raise ValueError(f"An account can have at most {MOST_LABELS} labels; this would make {len(changed)}.")
    return sorted_labels(changed)
