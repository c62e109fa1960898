"""Puts an end to a wait that the operating system would not end."""

from collections.abc import Callable
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


def within(limit_seconds: float, action: Callable[[], T]) -> T:
    """Return what the action returns, or raise what it raises.

    It runs in a thread of its own, which is abandoned after the limit and ends at the latest with the
    process.

    Raises:
        TimeoutError: the action has not ended in time.

    """
    results: list[T] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(action())
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            errors.append(error)

    thread = Thread(target=work, name="bounded", daemon=True)
    thread.start()
    thread.join(limit_seconds)
    if thread.is_alive():
        raise TimeoutError
    if errors:
        raise errors[0]
    return results[0]
