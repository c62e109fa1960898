"""When Python looks for garbage that holds itself: rarely, and not at the end."""

import atexit
import gc


def calm_garbage_collector() -> None:
    """Look for circles of garbage rarely while the program works, and no more when it ends.

    A start makes what stays, and an answer is thousands of objects that die together: neither holds circles.
    With Python's own threshold a third of a fetch's time goes into looking for them, and a tenth of a run
    that has nothing to do.
    """
    # More than a start and the first client make: each look at so many objects takes 10 to 20 ms.
    gc.set_threshold(200_000, 50, 50)
    atexit.register(gc.freeze)
