"""Call a function again and again in a thread while the work goes on."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def repeated(call: Callable[[], object], *, every_seconds: float) -> Iterator[None]:
    """Call a function in a thread, first after one pause, until the block ends.

    Args:
        call: The function. If it raises, it is not called again.
        every_seconds: Pause before each call.
    """
    is_over = threading.Event()

    def repeat() -> None:
        while not is_over.wait(every_seconds):
            call()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
