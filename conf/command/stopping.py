"""Signals end every command in the same way, whatever Spark and Ray make of them."""

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import typer

from conf.command.streams import complain
from conf.errors import EngineDiedError, LockHeldError, StorageError

_OWN_STOPS = (LockHeldError, StorageError, EngineDiedError)
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@contextmanager
def stoppable() -> Iterator[None]:
    """Stop the block at SIGTERM, SIGINT or SIGHUP; end with 128 plus the signal's number.

    The signal raises KeyboardInterrupt, the one exception that Ray and Spark pass on, so sessions
    are closed and the lock is freed. Errors that follow from the stop are not shown, and further
    signals are ignored. SIGHUP, of a terminal that is closed, stays ignored under nohup.

    Raises:
        typer.Exit: When a signal has stopped the block.
    """
    got: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        if not got:
            got.append(number)
            logging.disable(logging.CRITICAL)
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    under_nohup = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    numbers = [one for one in _SIGNALS if one != signal.SIGHUP or not under_nohup]
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    except BaseException as error:  # Ray and Spark may turn the interrupt into any error
        # A run that has lost its lock or its Ray stops itself, by SIGTERM.
        if isinstance(error, _OWN_STOPS) and got in ([], [signal.SIGTERM]):
            raise
        if not got and not isinstance(error, KeyboardInterrupt):
            raise
        number = got[0] if got else signal.SIGINT
        complain(
            f"stopped by {signal.Signals(number).name}; committed versions stay; run the same "
            "command again to go on"
        )
        if isinstance(error, EngineDiedError):
            os._exit(128 + number)  # the rest of Ray in this process would abort it
        raise typer.Exit(128 + number) from None
    finally:
        logging.disable(logging.NOTSET)
        for number, handler in before.items():
            signal.signal(number, handler)
