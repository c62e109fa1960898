"""Reads JSON without a guess: a member that stands twice in an object is refused, not overwritten."""

import json
from typing import Any


def loads(text: str | bytes) -> Any:  # noqa: ANN401 - JSON is anything
    """Return what a JSON text means.

    Raises:
        ValueError: it is not JSON, or an object holds a member twice; the message shows no value.

    """
    return json.loads(text, object_pairs_hook=_object)


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) != len(members):
        raise RepeatedMemberError
    return found


class RepeatedMemberError(ValueError):
    """An object holds a member twice."""

    def __init__(self) -> None:
        super().__init__("an object with the same member twice")
