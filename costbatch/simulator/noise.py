"""Deterministic random numbers: the same key always gives the same ones, in any process and order."""

from __future__ import annotations

import struct
from hashlib import blake2b

_EIGHT = struct.Struct("<8Q")
_SCALE = 2.0**-64


def draws(key: str) -> tuple[float, ...]:
    """Draw eight numbers of [0, 1) that belong to a key."""
    return tuple(value * _SCALE for value in _EIGHT.unpack(blake2b(key.encode()).digest()))
