"""Signals end every command in the same way, whatever Spark and Ray make of them."""

import _thread
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import typer

from conf.command.streams import complain
from conf.errors import EngineDiedError, LockHeldError, StorageError

_OWN_STOPS = (LockHeldError, StorageError, EngineDiedError)
_PATIENCE_SECONDS, _AGAIN_SECONDS = 10.0, 0.1
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@contextmanager
def stoppable() -> Iterator[None]:
    """Stop the block at SIGTERM, SIGINT or SIGHUP; end with 128 plus the signal's number.

    The signal raises KeyboardInterrupt, the one exception that Ray and Spark pass on, so sessions
    are closed and the lock is freed. Errors that follow from the stop are not shown, and further
    signals are ignored; one that comes ten seconds later or more ends the process at once. SIGHUP,
    of a terminal that is closed, stays ignored under nohup.

    Raises:
        typer.Exit: When a signal has stopped the block.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    stop, under_nohup = _Stop(), signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    numbers = [one for one in _SIGNALS if one != signal.SIGHUP or not under_nohup]
    before = {number: signal.signal(number, stop.on_signal) for number in numbers}
    sys.unraisablehook = stop.on_unraisable
    try:
        yield
    except BaseException as error:  # Ray and Spark may turn the interrupt into any error
        # A run that has lost its lock or its Ray stops itself, by SIGTERM.
        if isinstance(error, _OWN_STOPS) and stop.number in (None, signal.SIGTERM):
            raise
        if stop.number is None and not isinstance(error, KeyboardInterrupt):
            raise
        number = stop.number or signal.SIGINT
        complain(
            f"stopped by {signal.Signals(number).name}; committed versions stay; run the same "
            "command again to go on"
        )
        if isinstance(error, EngineDiedError):
            os._exit(128 + number)  # the rest of Ray in this process would abort it
        raise typer.Exit(128 + number) from None
    finally:
        logging.disable(logging.NOTSET)
        sys.unraisablehook = stop.other_hook
        for number, handler in before.items():
            signal.signal(number, handler)


class _Stop:
    """The signal that stops a block, if there was one."""

    def __init__(self) -> None:
        self.number: int | None = None
        self.at = 0.0
        self.is_swallowed = False
        self.other_hook = sys.unraisablehook

    def on_signal(self, number: int, _frame: FrameType | None) -> None:
        """Interrupt the block at the first signal, and end the process at a late one."""
        if self.number is None:
            self.number, self.at = number, time.monotonic()
            logging.disable(logging.CRITICAL)
            raise KeyboardInterrupt
        if self.is_swallowed:
            self.is_swallowed = False
            raise KeyboardInterrupt
        if time.monotonic() - self.at > _PATIENCE_SECONDS:
            os._exit(128 + number)

    def on_unraisable(self, info: "sys.UnraisableHookArgs") -> None:
        """Interrupt once more: Python drops what is raised in destructors and around a fork."""
        if self.number is None or info.exc_type is not KeyboardInterrupt:
            self.other_hook(info)
            return
        release: Callable[[], None] | None = getattr(logging, "_releaseLock", None)
        if release is not None and info.object is release:
            release()  # it was interrupted before it did so
        self.is_swallowed = True
        threading.Timer(_AGAIN_SECONDS, _thread.interrupt_main, [signal.SIGINT]).start()
