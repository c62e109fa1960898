"""SIGTERM and SIGINT as a wish to stop: the first is granted in order, the second at once."""

import signal
from threading import Event
from types import FrameType, TracebackType
from typing import Any, Self

from costbatch.logs import get_logger

log = get_logger(__name__)


class StopSignals:
    """Sets ``stop`` at the first signal while the block runs; ``received`` is its number."""

    _SIGNALS = (signal.SIGTERM, signal.SIGINT)

    def __init__(self) -> None:
        self.stop = Event()
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._ask) for number in self._SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._restore()

    def _ask(self, number: int, _frame: FrameType | None) -> None:
        self.received = number
        self.stop.set()
        # A second signal means: now.
        self._restore()
        log.warning("stopping", signal=signal.Signals(number).name)

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
