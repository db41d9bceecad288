"""Writing to stdout and stderr when nobody reads, or the disk below them is full."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

import typer

from conf.errors import StorageError

_SIGPIPE = 13
BROKEN_PIPE = 128 + _SIGPIPE
"""Exit code of a command whose reader has left, as shells show it."""


def open_streams() -> None:
    """Put nowhere in the place of standard streams that are closed.

    Else a file that is opened later would get the number of one, and with it what C++ prints.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free, which is this one
    sys.stdout = sys.stdout or os.fdopen(os.dup(1), "w")
    sys.stderr = sys.stderr or os.fdopen(os.dup(2), "w")


@contextmanager
def whole_output() -> Iterator[None]:
    """Write all that is printed in the block; end the command if that is not possible.

    Raises:
        typer.Exit: With 141 and no message if the reader of stdout has left, as `head` does; else
            with the code of StorageError and a message.
    """
    try:
        yield
        _flush(sys.stdout)
    except OSError as error:
        _give_up(sys.stdout)
        if error.errno in (errno.EPIPE, errno.ESHUTDOWN):
            raise typer.Exit(BROKEN_PIPE) from None
        if error.filename is not None:
            raise
        complain(f"the result cannot be written to stdout: {error.strerror}; run again")
        raise typer.Exit(StorageError.exit_code) from None


def complain(message: str) -> None:
    """Print an error's message on stderr; if that cannot be written, the exit code has to do."""
    try:
        print(f"headrace: {message}", file=sys.stderr, flush=True)
    except (OSError, ValueError):
        _give_up(sys.stderr)


def close_streams() -> None:
    """Flush stderr and give it up if that fails; else Python would change the exit code."""
    try:
        _flush(sys.stderr)
    except OSError:
        _give_up(sys.stderr)


def _flush(stream: TextIO | None) -> None:
    if stream is not None and not stream.closed:
        stream.flush()


def _give_up(stream: TextIO | None) -> None:
    """Send what is left in a stream's buffer nowhere, so that Python's last flush succeeds."""
    if stream is None:
        return
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
