"""Reads JSON strictly: an object with a repeated member is refused."""

import json
from typing import Any


def loads(text: str | bytes) -> Any:  # noqa: ANN401 - JSON is anything
    """Return the value of a JSON text.

    Raises:
        ValueError: not JSON, or an object has a member twice; the message shows no value.

    """
    return json.loads(text, object_pairs_hook=_object)


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) != len(members):
        raise RepeatedMemberError
    return found


class RepeatedMemberError(ValueError):
    """An object has a member twice."""

    def __init__(self) -> None:
        super().__init__("an object with the same member twice")
