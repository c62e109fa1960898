"""SIGTERM and SIGINT as a wish to stop: the first is granted in order, the second at once.

A thread of its own hears them, so that it answers also while the main thread waits for the database.
"""

import os
import signal
from collections.abc import Callable
from threading import Event, Thread
from types import TracebackType
from typing import Any, Self

from costbatch.logs import get_logger

log = get_logger(__name__)

# How long the last words of a process may take that is to end at once.
_GIVE_UP_SECONDS = 3.0
_END = 0


class StopSignals:
    """Sets ``stop`` at the first signal while the block runs; ``received`` is its number.

    acknowledge: called at the first signal, give_up at the second one, before the process ends. Both run in
    threads of their own, because the main one may hold a lock, and a terminal may be slow.
    """

    _SIGNALS = (signal.SIGTERM, signal.SIGINT)

    def __init__(self, *, acknowledge: Callable[[], None] = lambda: None) -> None:
        self.stop = Event()
        self.received: int | None = None
        self.give_up: Callable[[], None] = lambda: None
        self._acknowledge = acknowledge
        self._before: dict[int, Any] = {}
        self._is_second = False

    def __enter__(self) -> Self:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._wakeup_before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        # Handlers of Python run in the main thread, when it comes to it; the number is in the pipe at once.
        self._before = {number: signal.signal(number, lambda *_: None) for number in self._SIGNALS}
        self._listener = Thread(target=self._listen, name="signals", daemon=True)
        self._listener.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        os.write(self._writer, bytes([_END]))
        self._listener.join()
        os.close(self._reader)
        os.close(self._writer)

    def _listen(self) -> None:
        while (number := os.read(self._reader, 1)[0]) != _END:
            if number in self._SIGNALS:
                self._answer(number)

    def _answer(self, number: int) -> None:
        if self.received is None:
            self.received = number
            self.stop.set()
            Thread(target=self._tell, args=[number], name="stopping", daemon=True).start()
        elif not self._is_second:
            self._is_second = True
            Thread(target=self._leave, args=[number], name="leaving", daemon=True).start()
        else:
            os._exit(128 + number)

    def _tell(self, number: int) -> None:
        log.warning("stopping", signal=signal.Signals(number).name)
        self._acknowledge()

    def _leave(self, number: int) -> None:
        last_words = Thread(target=self.give_up, name="last words", daemon=True)
        last_words.start()
        last_words.join(_GIVE_UP_SECONDS)
        # By hand: the first process of a container ignores a signal that it does not handle.
        os._exit(128 + number)
