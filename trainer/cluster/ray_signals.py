"""This process's own handlers of signals, which Ray replaces when it starts and when it stops."""

import ctypes
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, ModuleType
from typing import Any

import ray

from trainer.cluster.repeating import repeated

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_SECONDS_UNTIL_SET = 0.005
_ROOM_BYTES = 1024  # more than a `struct sigaction` of any system has


@contextmanager
def own_handlers() -> Iterator[None]:
    """Keep this process's handlers of signals while Ray starts or trains, and afterwards.

    Ray's handlers of SIGTERM, one in Python and one in C++, end the process at once. Ray Train
    leaves a handler of SIGINT.
    """
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        with replaced(ray._private.utils, "set_sigterm_handler", lambda _handler: None):
            yield
    finally:
        _set(handlers)


def stop_ray() -> None:
    """Disconnect from Ray and stop what it has started here; signals wait until that is done.

    An interrupt in the middle of it would abort this process at its end.
    """
    with _held_back():
        ray.shutdown()


@contextmanager
def _held_back() -> Iterator[None]:
    """Let signals wait for the end of the block, and then call their handlers."""
    got: list[tuple[int, FrameType | None]] = []
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    called = {number: handler for number, handler in before.items() if callable(handler)}
    for number in called:
        signal.signal(number, lambda number, frame: got.append((number, frame)))
    try:
        # Ray's C++ gives SIGTERM its default, which kills, long before it has stopped.
        with repeated(_as_it_is(signal.SIGTERM), every_seconds=_SECONDS_UNTIL_SET):
            yield
    finally:
        _set(before)
    for caught, frame in got[:1]:
        called[signal.Signals(caught)](caught, frame)


def _as_it_is(number: signal.Signals) -> Callable[[], object]:
    """Return a function that sets the handler which a signal has now, from any thread."""
    system = ctypes.CDLL(None)
    handler = ctypes.create_string_buffer(_ROOM_BYTES)
    system.sigaction(int(number), None, handler)
    return lambda: system.sigaction(int(number), handler, None)


def _set(handlers: dict[signal.Signals, Any]) -> None:
    """Set handlers again, where that is possible."""
    if threading.current_thread() is threading.main_thread():
        for number, handler in handlers.items():
            if handler is not None:  # else it was set by C alone
                signal.signal(number, handler)


@contextmanager
def replaced(module: ModuleType, name: str, function: Callable[..., Any]) -> Iterator[None]:
    """Replace a function of a module of Ray for the block."""
    before = getattr(module, name)
    setattr(module, name, function)
    try:
        yield
    finally:
        setattr(module, name, before)
