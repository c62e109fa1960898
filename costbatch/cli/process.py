"""Prepares the process: standard streams, garbage collection and signals."""

import atexit
import gc
import os
import signal
import sys
from collections.abc import Callable
from io import BufferedWriter, FileIO, TextIOWrapper
from threading import Event, Thread
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from typing_extensions import Buffer

# More objects than the start and the first AWS client create; each collection takes 10 to 20 ms.
_GC_THRESHOLD = 200_000
# How long a process that must exit at once may take to record that it was stopped, and to say so.
_GIVE_UP_SECONDS = 3.0
RECORD_SECONDS = 2.5
# Written to the pipe to end the listening thread; no signal has this number.
_END = 0


def prepare_process() -> None:
    """Set up SIGTERM, garbage collection and the standard streams before a command starts."""
    if os.getpid() == 1:
        # The kernel ignores SIGTERM for a container's first process unless it is handled.
        signal.signal(signal.SIGTERM, lambda number, _frame: os._exit(128 + number))
    # Collect garbage rarely, and not at exit: modules stay loaded and the objects of a response are freed
    # together, so neither forms cycles. By default, it takes a third of a fetch and a tenth of an idle run.
    gc.set_threshold(_GC_THRESHOLD, 50, 50)
    atexit.register(gc.freeze)
    # Open the standard streams that the parent process closed, and let the output take any text.
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # The lowest free descriptor is the closed stream's, and a connection must not get it.
            null = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, open(null, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - stays open
    if isinstance(sys.stdout, TextIOWrapper):
        # A name that the terminal's encoding lacks must not be an error after the work is done.
        sys.stdout.reconfigure(errors="replace")
    if isinstance(stderr := sys.stderr, TextIOWrapper):
        sys.stderr = TextIOWrapper(
            BufferedWriter(_StandardError(stderr.fileno(), "w", closefd=False)),
            encoding=stderr.encoding,
            errors=stderr.errors,
            line_buffering=True,
        )


class _StandardError(FileIO):
    """Drops what cannot be written, on a full disk or to a reader that is gone.

    Nothing can be said of it, and neither the exit status nor what standard output gets may depend on it.
    """

    def write(self, data: "Buffer", /) -> int:
        """Write the bytes, or drop them."""
        try:
            written = super().write(data)
        except OSError:
            written = None
        return memoryview(data).nbytes if written is None else written


class StopSignals:
    """Turns SIGTERM and SIGINT into a stop: the first in order, the second at once.

    While the block runs, the first signal sets ``stop``; ``received`` is its number. A thread of its own
    receives them, so that it also responds while the main thread waits for the database.

    acknowledge: called with the signal's name at the first signal. give_up: called at the second one, before
    the process exits. Both run in threads, because the main one may hold a lock and a terminal may be slow.
    """

    _SIGNALS = (signal.SIGTERM, signal.SIGINT)

    def __init__(self, *, acknowledge: Callable[[str], None] = lambda _name: None) -> None:
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
        # Python's handlers run in the main thread when it is free; the number is in the pipe at once.
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
            if number not in self._SIGNALS:
                continue
            if self.received is None:
                self.received = number
                self.stop.set()
                name = signal.Signals(number).name
                Thread(target=self._acknowledge, args=[name], name="stopping", daemon=True).start()
            elif not self._is_second:
                self._is_second = True
                Thread(target=self._give_up_and_exit, args=[number], name="giving up", daemon=True).start()
            else:
                os._exit(128 + number)

    def _give_up_and_exit(self, number: int) -> None:
        giving_up = Thread(target=self.give_up, name="last record", daemon=True)
        giving_up.start()
        giving_up.join(_GIVE_UP_SECONDS)
        # Not by the signal itself: the kernel ignores it for a container's first process.
        os._exit(128 + number)
