"""SIGTERM and SIGINT as a wish to stop: the first is granted in order, the second at once."""

import os
import signal
from threading import Event, Thread
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
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, _frame: FrameType | None) -> None:
        if self.received is not None:
            # By hand: the first process of a container ignores a signal that it does not handle.
            os._exit(128 + number)
        self.received = number
        # In a thread: the code that the signal interrupts may hold a lock that is needed to stop or to log.
        Thread(target=self._tell, args=[number], name="stopping", daemon=True).start()

    def _tell(self, number: int) -> None:
        self.stop.set()
        log.warning("stopping", signal=signal.Signals(number).name)
