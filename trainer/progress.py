"""Show how far the training workers have come: a bar on a terminal, a line an epoch in a log."""

import json
import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

log = logging.getLogger(__name__)
PROGRESS_NAME = "progress.json"
POLL_SECONDS = 1.0


@contextmanager
def shown_progress(path: Path, *, epochs: int, rows_in_epoch: int) -> Iterator[None]:
    """Follow the progress file that the first worker writes for the time of the block.

    Args:
        path: JSON with epoch, rows (in this epoch) and loss; may not exist yet.
        epochs: Most epochs of the run.
        rows_in_epoch: Rows of one.
    """
    if not sys.stderr.isatty():
        yield
        return
    stop = threading.Event()
    with Progress(
        TextColumn("training, epoch {task.fields[epoch]}"),
        BarColumn(),
        TextColumn(
            "{task.completed:,.0f} of at most {task.total:,.0f} rows, loss {task.fields[loss]:.3f}"
        ),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        task = bar.add_task("", total=epochs * rows_in_epoch, epoch=0, loss=float("nan"))

        def follow() -> None:
            while not stop.wait(POLL_SECONDS):
                state = _read(path)
                if state:
                    done = state["epoch"] * rows_in_epoch + state["rows"]
                    bar.update(task, completed=done, epoch=state["epoch"], loss=state["loss"])

        follower = threading.Thread(target=follow, daemon=True, name="training-progress")
        follower.start()
        try:
            yield
        finally:
            stop.set()
            follower.join()


class ProgressWriter:
    """Tells the driver, about once a second, how far the first rank has come."""

    def __init__(self, path: Path, *, first_rank: bool) -> None:
        self.path, self.first_rank = path, first_rank
        self.written_at = time.monotonic()

    def write(self, **state: float) -> None:
        """Replace the progress file, unless that was done a moment ago."""
        if not self.first_rank or time.monotonic() - self.written_at < POLL_SECONDS:
            return
        self.written_at = time.monotonic()
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text(json.dumps(state))
        temporary.replace(self.path)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        state = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return state if isinstance(state, dict) else None
