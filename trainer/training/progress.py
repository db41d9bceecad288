"""Show how far training has got: a bar on a terminal, lines in a log."""

import json
import logging
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from conf.pages.text import figure
from conf.workspace.json_files import is_there, read_plain
from trainer.cluster.repeating import repeated

log = logging.getLogger(__name__)
PROGRESS_NAME = "progress.json"
EPOCHS_NAME = "epochs.json"
LOGGED_NAME = "epochs_logged.json"
POLL_SECONDS = 1.0
MOST_QUIET_SECONDS = 25.0
"""A log gets a line at least this often."""

Curve = Sequence[Mapping[str, Any]]
"""A record for each epoch that has ended."""


class ProgressWriter:
    """Writes how far the first rank is in an epoch: at its start, then about once a second."""

    def __init__(self, path: Path, *, first_rank: bool) -> None:
        self.path, self.first_rank = path, first_rank
        self.written_at = -POLL_SECONDS

    def write(self, **state: float) -> None:
        """Replace the progress file, unless that was done a moment ago."""
        if not self.first_rank or time.monotonic() - self.written_at < POLL_SECONDS:
            return
        self.written_at = time.monotonic()
        _replace(self.path, state)


def write_epochs(work: Path, curve: Curve) -> None:
    """Replace the file of the epochs' records."""
    _replace(work / EPOCHS_NAME, curve)


class EpochLog:
    """Logs a line for each epoch that has ended, once, also if the run is interrupted."""

    def __init__(self, work: Path, metric: str) -> None:
        self.work, self.metric = work, metric
        told = _read(work / LOGGED_NAME)
        self.num_written = told if type(told) is int and told > 0 else 0

    def write(self, curve: Curve | None = None) -> None:
        """Log the new epochs of `curve`, or of the file."""
        if curve is None:
            curve = _records(_read(self.work / EPOCHS_NAME))
        for record in curve[self.num_written :]:
            what = f"epoch {record['epoch']}: loss {record['loss']:.4f}"
            if self.metric in record:  # a refit has none
                what += f", {self.metric} {figure(record[self.metric])}"
            log.info("train: %s, %.0f rows/s", what, record["rows"] / max(record["seconds"], 1e-9))
        if len(curve) > self.num_written:
            self.num_written = len(curve)
            _replace(self.work / LOGGED_NAME, self.num_written)


class QuietLog:
    """Logs ended epochs, and how far the current one is if nothing was logged for a while."""

    def __init__(self, work: Path, epoch_log: EpochLog, *, epochs: int, rows_in_epoch: int) -> None:
        self.path, self.epoch_log = work / PROGRESS_NAME, epoch_log
        self.epochs, self.rows_in_epoch = epochs, rows_in_epoch
        self.started_at = self.logged_at = time.monotonic()

    def poll(self, now: float) -> None:
        """Log what is new at an instant of the monotonic clock."""
        before = self.epoch_log.num_written
        self.epoch_log.write()
        if self.epoch_log.num_written > before:
            self.logged_at = now
        elif now - self.logged_at >= MOST_QUIET_SECONDS:
            self.logged_at = now
            log.info("train: %s (%.0f s)", self._state(), now - self.started_at)

    def _state(self) -> str:
        state, ended = _read(self.path), self.epoch_log.num_written
        if ended >= self.epochs:
            return "the last epoch has ended"
        if not state or state["epoch"] < ended:
            return f"starting epoch {ended}" if ended else "waiting for the workers to start"
        share = min(state["rows"] / max(self.rows_in_epoch, 1), 1)
        return f"epoch {state['epoch']:.0f}, {share:.0%} of its rows, loss {state['loss']:.4f}"


@contextmanager
def shown_progress(
    work: Path, *, epochs: int, rows_in_epoch: int, metric: str
) -> Iterator[EpochLog]:
    """Follow the files that the first worker writes, for the time of the block.

    On a terminal a bar moves, and each epoch gets its line at the end. Elsewhere each epoch gets
    its line when it ends, and between them a line shows how far the current one is.

    Args:
        work: Folder of the files `PROGRESS_NAME` and `EPOCHS_NAME`; neither need exist yet.
        epochs: Largest number of epochs of the run.
        rows_in_epoch: Rows of one epoch.
        metric: Name of the validation figure in the epochs' records.

    Yields:
        The log of the epochs, for the lines that are left at the end.
    """
    (work / PROGRESS_NAME).unlink(missing_ok=True)  # of an interrupted run
    epoch_log = EpochLog(work, metric)
    if sys.stderr.isatty():
        with _bar(work / PROGRESS_NAME, epochs, rows_in_epoch):
            yield epoch_log
    else:
        quiet = QuietLog(work, epoch_log, epochs=epochs, rows_in_epoch=rows_in_epoch)
        with repeated(lambda: quiet.poll(time.monotonic()), every_seconds=POLL_SECONDS):
            yield epoch_log


@contextmanager
def signs_of_life(stage: str) -> Iterator[None]:
    """Log that the stage still works, if nothing else was logged for a while.

    A terminal gets no such lines.
    """
    if sys.stderr.isatty():
        yield
        return
    watch = _LastLine()
    started = time.monotonic()

    def poll() -> None:
        now = time.monotonic()
        if now - watch.seen_at >= MOST_QUIET_SECONDS:
            log.info("%s: still working (%.0f s)", stage, now - started)

    logging.getLogger().addHandler(watch)
    try:
        with repeated(poll, every_seconds=POLL_SECONDS):
            yield
    finally:
        logging.getLogger().removeHandler(watch)


class _LastLine(logging.Handler):
    """Notes when the last line was logged."""

    def __init__(self) -> None:
        super().__init__()
        self.seen_at = time.monotonic()

    def emit(self, record: logging.LogRecord) -> None:
        self.seen_at = time.monotonic()


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
            if isinstance(state, dict) and state.keys() >= {"epoch", "rows", "loss"}:
                done = state["epoch"] * rows_in_epoch + state["rows"]
                bar.update(task, completed=done, epoch=state["epoch"], loss=state["loss"])

        with repeated(poll, every_seconds=POLL_SECONDS):
            yield


def _replace(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(value))
    temporary.replace(path)


def _read(path: Path) -> Any:
    """Return the content of a file, None while there is no whole one."""
    try:
        return json.loads(read_plain(path)) if is_there(path) else None
    except (ValueError, RecursionError):
        return None


def _records(told: Any) -> Curve:
    """Return the records up to the first that is damaged: they only tell of the progress."""
    records = told if isinstance(told, list) else []
    needed = {"epoch", "loss", "rows", "seconds"}
    whole = [isinstance(one, dict) and needed <= one.keys() for one in records]
    return list(records[: whole.index(False) if False in whole else len(whole)])
