"""A least-recently-used cache of rendered answers, bounded by the bytes that it holds."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

Pages = tuple[bytes, ...]


class PageCache:
    """Keeps the answers that were asked for last."""

    def __init__(self, *, most_bytes: int) -> None:
        """Hold at most this many bytes of answers."""
        self._most_bytes = most_bytes
        self._held_bytes = 0
        self._pages: OrderedDict[Hashable, Pages] = OrderedDict()

    def get(self, key: Hashable, render: Callable[[], Pages]) -> Pages:
        """Return the answer of a key, rendering it when it is not held."""
        pages = self._pages.get(key)
        if pages is not None:
            self._pages.move_to_end(key)
            return pages
        pages = render()
        self._pages[key] = pages
        self._held_bytes += _size(pages)
        while self._held_bytes > self._most_bytes:
            _, dropped = self._pages.popitem(last=False)
            self._held_bytes -= _size(dropped)
        return pages

    def __len__(self) -> int:
        return len(self._pages)


def _size(pages: Pages) -> int:
    return sum(map(len, pages))
