"""Read exactly the given row groups with Petastorm, in the given order, into numpy arrays.

Petastorm provides the threads, the queues and the reader around them. This module provides the list
of row groups, the decoding (Arrow buffers become numpy arrays, with no Python object per row) and
the order: a row group that is read early waits for its turn. The consumer itself hands work to the
pool, one row group for each one that it takes. So memory stays bounded, and an early end of data
means that a row group is missing. It is requested once more, and then the read fails.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from conf.contract import RowGroup
from trainer.data.columns import Columns, Ragged
from trainer.data.petastorm_bridge import (
    DatasetPiece,
    EmptyResultError,
    Reader,
    ShardError,
    ShardSource,
    ThreadPool,
    Ventilator,
    WorkerBase,
    row_group_error,
)


def read_row_groups(
    root: Path,
    row_groups: Sequence[RowGroup],
    columns: Sequence[str],
    *,
    threads: int = 2,
    prefetch: int = 4,
) -> Generator[tuple[RowGroup, Columns], None, None]:
    """Check the files immediately, then yield each row group's columns in the given order.

    Args:
        root: Folder that the row groups' paths are relative to.
        row_groups: Row groups to read; each must have the stated number of rows.
        columns: Names of the columns to read.
        threads: Threads that read and decode.
        prefetch: Row groups read ahead; at most `prefetch + threads` are in memory, not counting
            those that the caller holds.

    Raises:
        ShardError: When a file lies outside the folder, the folder contains pickled metadata, or
            a column is missing, has nulls, or has another type than numbers and lists of numbers.
        RowGroupError: When a row group cannot be read or has another number of rows.
    """
    if threads < 1 or prefetch < 0:
        raise ValueError(
            f"threads is {threads} and prefetch is {prefetch}; threads must be 1 or more, prefetch "
            "0 or more"
        )
    source = ShardSource(root, list(dict.fromkeys(columns)))
    source.check(row_groups)
    return _stream(source, list(row_groups), threads, threads + prefetch)


def _stream(
    source: ShardSource, row_groups: list[RowGroup], threads: int, window: int
) -> Generator[tuple[RowGroup, Columns], None, None]:
    if not row_groups:
        return
    with closing(source):
        reader = PlannedReader(source, row_groups, threads, window)
        try:
            for group in row_groups:
                yield group, next(reader)
        finally:
            reader.stop()
            reader.join()


class _Result(NamedTuple):
    position: int
    columns: Columns | None
    rows: int
    fault: Exception | None


class _DecodingWorker(WorkerBase):
    """Reads one row group at a time; publishes every fault, and the consumer decides on it."""

    @staticmethod
    def new_results_queue_reader() -> "_InOrder":
        return _InOrder()

    def process(self, position: int, piece_index: int) -> None:
        source, pieces = self.args[0], self.args[4]
        piece: DatasetPiece = pieces[piece_index]
        try:
            table = piece.read(source.columns)
            where = f"{piece.path} row group {piece.row_group}"
            decoded: Columns = {
                name: _to_numpy(table.column(name), f"{where} column {name}")
                for name in source.columns
            }
            result = _Result(position, decoded, table.num_rows, None)
        except (OSError, pa.ArrowException, ShardError) as fault:
            source.drop(piece.path)
            result = _Result(position, None, 0, fault)
        self.publish_func(result)


def _to_numpy(column: pa.ChunkedArray, where: str) -> np.ndarray | Ragged:
    array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    _refuse_nulls(array, where)
    if pa.types.is_fixed_size_list(array.type):
        return _numbers(array.flatten(), where).reshape(len(array), array.type.list_size)
    if not (pa.types.is_list(array.type) or pa.types.is_large_list(array.type)):
        return _numbers(array, where)
    if len(array) == 0:
        return Ragged(_numbers(array.flatten(), where), np.zeros(1, dtype=np.int64))
    offsets = array.offsets.to_numpy().astype(np.int64)
    values = array.values.slice(offsets[0], offsets[-1] - offsets[0])
    return Ragged(_numbers(values, where), offsets - offsets[0])


def _numbers(array: pa.Array, where: str) -> np.ndarray:
    _refuse_nulls(array, where)
    numbers: np.ndarray = array.to_numpy(zero_copy_only=False)
    return numbers


def _refuse_nulls(array: pa.Array, where: str) -> None:
    if array.null_count:
        raise ShardError(
            f"{where} has {array.null_count} nulls; shards may not contain nulls; fill the column "
            "or leave it out when you build the dataset"
        )


class _Window(Ventilator):
    """Hands work to the pool from the consumer's thread, `window` items ahead."""

    def __init__(
        self, ventilate: Callable[..., None], items: list[dict[str, int]], window: int
    ) -> None:
        super().__init__(ventilate)
        self._items = items
        self._num_asked = 0
        self._window = window

    def start(self) -> None:
        for _ in range(self._window):
            self.advance()

    def advance(self) -> None:
        if self._num_asked < len(self._items):
            self._ventilate_fn(**self._items[self._num_asked])
            self._num_asked += 1

    def ask_again(self, position: int) -> None:
        self._ventilate_fn(**self._items[position])

    def processed_item(self) -> None:
        """Do nothing: `advance` counts the items that the consumer takes."""

    def completed(self) -> bool:
        """Return True: everything that may be requested now has been requested."""
        return True

    def stop(self) -> None:
        """Do nothing: there is no thread to stop."""


class _InOrder:
    """Takes results as they arrive and returns them in the planned order."""

    batched_output = True

    def follow(self, row_groups: list[RowGroup], ventilator: _Window) -> None:
        self._row_groups = row_groups
        self._ventilator = ventilator
        self._arrived: dict[int, Columns] = {}
        self._asked_again: set[int] = set()
        self._position = 0

    def read_next(self, pool: Any, _schema: object, _ngram: object) -> Columns:
        if self._position == len(self._row_groups):
            raise StopIteration
        while self._position not in self._arrived:
            try:
                self._accept(pool.get_results())
            except EmptyResultError:
                self._accept(_Result(self._position, None, 0, None))
        columns = self._arrived.pop(self._position)
        self._position += 1
        self._ventilator.advance()
        return columns

    def _accept(self, result: _Result) -> None:
        group = self._row_groups[result.position]
        if isinstance(result.fault, ShardError):
            raise result.fault
        if result.columns is not None and result.rows == group.rows:
            self._arrived[result.position] = result.columns
        elif result.position not in self._asked_again:
            self._asked_again.add(result.position)
            self._ventilator.ask_again(result.position)
        else:
            reason = f"unreadable: {result.fault}" if result.fault else "in two attempts"
            raise row_group_error(group, result.rows, reason) from result.fault


class PlannedReader(Reader):
    """Petastorm's reader on a given list of row groups."""

    worker_class: type[_DecodingWorker] = _DecodingWorker

    def __init__(
        self, source: ShardSource, row_groups: list[RowGroup], threads: int, window: int
    ) -> None:
        self._row_groups = row_groups
        self._window = window
        # A worker puts one result and one notice per item, so the queue never fills up.
        super().__init__(
            source,
            list(dict.fromkeys(group.path for group in row_groups)),
            reader_pool=ThreadPool(threads, results_queue_size=2 * window + 2),
            worker_class=self.worker_class,
            is_batched_reader=True,
        )
        self._results_queue_reader.follow(row_groups, self.ventilator)

    def _filter_row_groups(
        self, _dataset: object, pieces: list[DatasetPiece], *_ignored: object
    ) -> tuple[list[int], None]:
        index = {(piece.path, piece.row_group): place for place, piece in enumerate(pieces)}
        return [index[group.path, group.index] for group in self._row_groups], None

    def _create_ventilator(self, piece_indexes: list[int], *_ignored: object) -> _Window:
        items = [{"position": at, "piece_index": piece} for at, piece in enumerate(piece_indexes)]
        return _Window(self._workers_pool.ventilate, items, self._window)
