"""Show the progress of training: a bar on a terminal, lines in a log."""

import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

log = logging.getLogger(__name__)
PROGRESS_NAME = "progress.json"
EPOCHS_NAME = "epochs.json"
POLL_SECONDS = 1.0
MOST_QUIET_SECONDS = 25.0
"""A log gets a line at least this often."""


@contextmanager
def shown_progress(work: Path, *, epochs: int, rows_in_epoch: int, metric: str) -> Iterator[None]:
    """Follow the files that the first worker writes, within the block.

    On a terminal a bar shows the progress, and the lines of all epochs follow at the end. Elsewhere
    each epoch gets its line when it ends, and lines in between show the progress of the current
    epoch.

    Args:
        work: Folder of the files `PROGRESS_NAME` and `EPOCHS_NAME`, which need not exist yet.
        epochs: Largest number of epochs of the run.
        rows_in_epoch: Rows of one epoch.
        metric: Name of the validation figure in the epochs' records.
    """
    lines = _EpochLines(work / EPOCHS_NAME, metric)
    if sys.stderr.isatty():
        with _bar(work / PROGRESS_NAME, epochs, rows_in_epoch):
            yield
    else:
        quiet = _QuietLog(work / PROGRESS_NAME, rows_in_epoch, lines)
        with _every_second(quiet.poll):
            yield
    lines.write_new()


class ProgressWriter:
    """Writes the progress of the first rank about once a second."""

    def __init__(self, path: Path, *, first_rank: bool) -> None:
        self.path, self.first_rank = path, first_rank
        self.written_at = time.monotonic()

    def write(self, **state: float) -> None:
        """Replace the progress file, unless it was written less than `POLL_SECONDS` ago."""
        if not self.first_rank or time.monotonic() - self.written_at < POLL_SECONDS:
            return
        self.written_at = time.monotonic()
        _replace(self.path, state)


def write_epochs(work: Path, curve: Sequence[Mapping[str, Any]]) -> None:
    """Replace the file of the epochs' records."""
    _replace(work / EPOCHS_NAME, curve)


class _EpochLines:
    """Logs a line for each epoch that has ended since the block began."""

    def __init__(self, path: Path, metric: str) -> None:
        self.path, self.metric = path, metric
        self.num_written = len(_read(path) or ())
        """Lines logged so far; those of an interrupted run were logged by that run."""

    def write_new(self) -> int:
        """Log the new epochs; return their number."""
        records = (_read(self.path) or [])[self.num_written :]
        for record in records:
            figure = f", {self.metric} {record[self.metric]:.4f}" if self.metric in record else ""
            rate = record["rows"] / max(record["seconds"], 1e-9)
            what = f"epoch {record['epoch']}: loss {record['loss']:.4f}{figure}"
            log.info("train: %s, %.0f rows/s", what, rate)
        self.num_written += len(records)
        return len(records)


class _QuietLog:
    """Logs ended epochs, and a sign of life when nothing else was logged for a while."""

    def __init__(self, path: Path, rows_in_epoch: int, lines: _EpochLines) -> None:
        self.path, self.rows_in_epoch, self.lines = path, rows_in_epoch, lines
        self.started_at = self.logged_at = time.monotonic()

    def poll(self) -> None:
        """Log new epochs, or the current state after a long silence."""
        now = time.monotonic()
        if self.lines.write_new():
            self.logged_at = now
        elif now - self.logged_at >= MOST_QUIET_SECONDS:
            self.logged_at = now
            log.info("train: %s (%.0f s)", self._state(), now - self.started_at)

    def _state(self) -> str:
        state = _read(self.path)
        if not state:
            return "waiting for the workers to start"
        if state["epoch"] < self.lines.num_written:
            return f"starting epoch {self.lines.num_written}"
        share = min(state["rows"] / max(self.rows_in_epoch, 1), 1)
        return f"epoch {state['epoch']:.0f}, {share:.0%} of its rows, loss {state['loss']:.4f}"


@contextmanager
def _bar(path: Path, epochs: int, rows_in_epoch: int) -> Iterator[None]:
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

        def poll() -> None:
            state = _read(path)
            if state:
                done = state["epoch"] * rows_in_epoch + state["rows"]
                bar.update(task, completed=done, epoch=state["epoch"], loss=state["loss"])

        with _every_second(poll):
            yield


@contextmanager
def _every_second(poll: Callable[[], None]) -> Iterator[None]:
    """Call `poll` about once a second in a thread, within the block."""
    stop = threading.Event()

    def follow() -> None:
        while not stop.wait(POLL_SECONDS):
            poll()

    follower = threading.Thread(target=follow, daemon=True, name="training-progress")
    follower.start()
    try:
        yield
    finally:
        stop.set()
        follower.join()


def _replace(path: Path, value: Any) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(value))
    temporary.replace(path)


def _read(path: Path) -> Any:
    """Return the content of a file, None if it is missing or incomplete."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None
