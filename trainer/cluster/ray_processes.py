"""Processes of a Ray that this one has started: find them, watch them, end them."""

import _thread
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from conf.errors import EngineDiedError
from trainer.cluster.ray_room import load_now

POLL_SECONDS = 0.5


@contextmanager
def watched_ray(folder: Path) -> Iterator[None]:
    """Stop the block when Ray's process raylet ends: Ray would end this process without a word.

    Raises:
        EngineDiedError: When that has happened.
    """
    is_over, has_died = threading.Event(), threading.Event()
    raylet = raylet_of(folder)

    def watch() -> None:
        while raylet is not None and not is_over.wait(POLL_SECONDS):
            if not is_alive(raylet):
                has_died.set()
                _interrupt()
                return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    except BaseException as error:
        if has_died.is_set():
            raise EngineDiedError(
                f"Ray's process raylet ended in the middle of the run; {load_now()}. The usual "
                "cause is too little memory. Run the same command again: what is finished is kept"
            ) from error
        raise
    finally:
        is_over.set()
        thread.join()


def _interrupt() -> None:
    """Interrupt the main thread as a signal does."""
    if callable(signal.getsignal(signal.SIGTERM)):
        os.kill(os.getpid(), signal.SIGTERM)  # the command stops at the first one
    else:
        _thread.interrupt_main()


def _processes(folder: Path) -> Iterator[psutil.Process]:
    """Yield the processes that this one has started and that have the folder in an argument."""
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if any(str(folder) in argument for argument in child.cmdline()):
                yield child


def raylet_of(folder: Path) -> psutil.Process | None:
    """Return the process raylet of the Ray in a folder; None if there is none."""
    for process in _processes(folder):
        with suppress(psutil.Error):
            if process.name() == "raylet":
                return process
    return None


def is_alive(process: psutil.Process) -> bool:
    """Return whether a process runs and is no zombie."""
    try:
        return bool(process.is_running()) and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def end_processes(folder: Path) -> None:
    """Kill what an interrupted start or stop has left; the workers end by themselves."""
    for process in _processes(folder):
        with suppress(psutil.Error):
            process.kill()
