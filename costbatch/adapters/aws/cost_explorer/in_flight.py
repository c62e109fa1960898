"""Limits the memory that the responses in flight use.

An ordinary night stays far below these limits. Many long first collections do not: then rows are packed as
they arrive, and if that is not enough, only one account at a time requests further pages.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import Lock
from weakref import finalize

from costbatch.domain.costs import CostColumns, PackedCosts

_MEGABYTE = 1 << 20
# Above the first, rows are packed; above the second, one response at a time requests further pages.
_TIGHT_BYTES = 40 * _MEGABYTE
_SCARCE_BYTES = 112 * _MEGABYTE
# The objects of a text take several times its size while it is read. Threads gain nothing by reading at the
# same time, because the interpreter runs one of them at a time.
_LARGE_TEXT_BYTES = 64 * 1024


class ResponsesInFlight:
    """The memory of one process's responses until they are stored; safe to share between threads."""

    def __init__(self) -> None:
        self._bytes = 0
        self._lock, self._reading, self._continuing = Lock(), Lock(), Lock()

    @contextmanager
    def response(self) -> Iterator["Share"]:
        """Yield the share of one response; it ends with the block unless it was handed over."""
        share = Share(self)
        try:
            yield share
        finally:
            share.end()

    def add(self, size: int) -> None:
        """Count bytes that are held from now on; a negative size releases them."""
        with self._lock:
            self._bytes += size

    @property
    def is_tight(self) -> bool:
        """Whether rows have to be packed."""
        return self._bytes > _TIGHT_BYTES

    def reading(self, text_bytes: int) -> AbstractContextManager[object]:
        """Return the lock to hold while a text is read."""
        return self._reading if text_bytes > _LARGE_TEXT_BYTES else nullcontext()

    def wait_for_turn(self) -> bool:
        """If memory is scarce, wait until this response may continue; return whether to call ``end_turn``."""
        return self._bytes > _SCARCE_BYTES and self._continuing.acquire()

    def end_turn(self) -> None:
        """Let another response continue."""
        self._continuing.release()


class Share:
    """The estimated memory of one response."""

    def __init__(self, of: ResponsesInFlight | None = None) -> None:
        self._all = of or ResponsesInFlight()
        self._bytes = 0
        self._has_turn = False

    @property
    def is_tight(self) -> bool:
        """Whether rows have to be packed, because all responses together use much memory."""
        return self._all.is_tight

    def reading(self, text_bytes: int) -> AbstractContextManager[object]:
        """Return the lock to hold while a text is read."""
        return self._all.reading(text_bytes)

    def resize(self, size: int) -> None:
        """Set how many bytes the response uses now."""
        self._all.add(size - self._bytes)
        self._bytes = size

    def wait_for_memory(self) -> None:
        """Wait, before a further page is requested, until there is memory for it."""
        self._has_turn = self._has_turn or self._all.wait_for_turn()

    def hand_over(self, costs: CostColumns | PackedCosts, size: int) -> None:
        """Count only the rows, for as long as they exist."""
        self.resize(size)
        finalize(costs, self._all.add, -size).atexit = False
        self._bytes = 0

    def end(self) -> None:
        """Release everything."""
        self.resize(0)
        if self._has_turn:
            self._all.end_turn()
