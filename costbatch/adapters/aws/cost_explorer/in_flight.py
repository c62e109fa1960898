"""How much memory the answers in flight hold, and what is done when it is much.

An ordinary night stays far below these limits. Many long first collections do not: then rows are packed as
they come, and if that is not enough, one account after the other goes on to its further pages.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import Lock
from weakref import finalize

from costbatch.domain.costs import CostColumns, PackedCosts

_MEGABYTE = 1 << 20
# Beyond the first, rows are packed; beyond the second, one answer at a time asks for further pages.
_TIGHT_BYTES = 40 * _MEGABYTE
_SCARCE_BYTES = 112 * _MEGABYTE
# The objects of a text take several times its size while it is read. Threads gain nothing by reading at the
# same time, because the interpreter lets one of them work.
_LARGE_TEXT_BYTES = 64 * 1024


class AnswersInFlight:
    """What the answers of one process hold until they are stored; safe to share between threads."""

    def __init__(self) -> None:
        self._bytes = 0
        self._lock, self._reading, self._continuing = Lock(), Lock(), Lock()

    @contextmanager
    def answer(self) -> Iterator["Share"]:
        """Give an answer its share, which ends with the block if nothing was handed over."""
        share = Share(self)
        try:
            yield share
        finally:
            share.end()

    def add(self, size: int) -> None:
        """Note that so many bytes more are held, or fewer."""
        with self._lock:
            self._bytes += size

    @property
    def is_tight(self) -> bool:
        """Whether rows are to be packed."""
        return self._bytes > _TIGHT_BYTES

    def reading(self, text_bytes: int) -> AbstractContextManager[object]:
        """Return what to hold while a text is read."""
        return self._reading if text_bytes > _LARGE_TEXT_BYTES else nullcontext()

    def wait_for_turn(self) -> bool:
        """Wait until this answer may go on if memory is scarce; return whether ``end_turn`` has to follow."""
        return self._bytes > _SCARCE_BYTES and self._continuing.acquire()

    def end_turn(self) -> None:
        """Let another answer go on."""
        self._continuing.release()


class Share:
    """What one answer holds in memory, by estimate."""

    def __init__(self, of: AnswersInFlight | None = None) -> None:
        self._all = of or AnswersInFlight()
        self._bytes = 0
        self._has_turn = False

    @property
    def is_tight(self) -> bool:
        """Whether rows are to be packed, because all answers together hold much."""
        return self._all.is_tight

    def reading(self, text_bytes: int) -> AbstractContextManager[object]:
        """Return what to hold while a text is read."""
        return self._all.reading(text_bytes)

    def resize(self, size: int) -> None:
        """Note how many bytes the answer holds now."""
        self._all.add(size - self._bytes)
        self._bytes = size

    def go_on(self) -> None:
        """Wait, before a further page, until there is memory for it."""
        self._has_turn = self._has_turn or self._all.wait_for_turn()

    def hand_over(self, costs: CostColumns | PackedCosts, size: int) -> None:
        """Hold only the rows, and for as long as they exist."""
        self.resize(size)
        finalize(costs, self._all.add, -size).atexit = False
        self._bytes = 0

    def end(self) -> None:
        """Hold nothing any more."""
        self.resize(0)
        if self._has_turn:
            self._all.end_turn()
