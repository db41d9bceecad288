"""Let the stages of one command share the Ray, or the connection, that the first of them makes."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

_kept: ExitStack | None = None


@contextmanager
def one_ray() -> Iterator[None]:
    """Keep what the first `ray_session` of the block starts until the block ends.

    Nothing starts before that, so a command without work for Ray starts none.
    """
    global _kept
    with ExitStack() as stack:
        _kept = stack
        try:
            yield
        finally:
            _kept = None


def kept_open() -> ExitStack | None:
    """Return what ends with the block of `one_ray`; None outside of such a block."""
    return _kept
