"""Petastorm on today's Arrow: the one place where Petastorm is imported.

Petastorm 0.12.1 was written for Arrow interfaces that no longer exist. Its reader, thread pool and
worker need few of them, and these few get stand-ins: two modules while Petastorm is imported, and
afterwards names inside Petastorm's own modules. pyarrow and numpy are not changed.

The stand-ins also rule out pickle: Petastorm would unpickle a schema that it finds next to the
data. Our datasets have no such metadata, and a folder that contains some is refused.
"""

import importlib
import importlib.metadata
import logging
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from conf.contract import RowGroup
from conf.errors import VersionError
from conf.workspace.parquet import open_parquet
from conf.workspace.storage import raise_storage_failure
from conf.workspace.versions import version_path

PETASTORM_VERSION = "0.12.1"
_GONE_FROM_ARROW = {"pyarrow.filesystem": "LocalFileSystem", "pyarrow.hdfs": "HadoopFileSystem"}
_OPEN_FILES_PER_THREAD = 16
_PICKLED_METADATA = ("_common_metadata", "_metadata")
_NUMBERS = frozenset(
    {
        pa.int8(),
        pa.int16(),
        pa.int32(),
        pa.int64(),
        pa.uint8(),
        pa.uint16(),
        pa.uint32(),
        pa.float32(),
        pa.float64(),
        pa.bool_(),
    }
)


class ShardError(VersionError):
    """Shards that the trainer must not or cannot read."""


class RowGroupError(ShardError):
    """A row group that is missing, unreadable, or has another size than in the manifest."""


def row_group_error(group: RowGroup, got_rows: int, reason: str) -> RowGroupError:
    """Return the error that names the file, the row group, and the expected and actual rows."""
    return RowGroupError(
        f"{group.path} row group {group.index}: expected {group.rows} rows, got {got_rows} "
        f"({' '.join(reason.split())}); the dataset is damaged: remove "
        "its folder below datasets/, and run headrace etl to make it again"
    )


class ShardSource:
    """The files of a version: footers are read once, and each thread keeps its files open."""

    def __init__(self, root: Path, columns: list[str]) -> None:
        self.root = root
        self.columns = columns
        self._footers: dict[str, Any] = {}
        self._open_files: dict[int, dict[str, pq.ParquetFile]] = {}

    def footer(self, path: str) -> Any:
        """Return the footer of a checked file."""
        return self._footers[path]

    def check(self, row_groups: Iterable[RowGroup]) -> None:
        """Read the footers of the files and refuse wrong row groups or columns."""
        groups_by_path: dict[str, list[RowGroup]] = {}
        for group in row_groups:
            groups_by_path.setdefault(group.path, []).append(group)
        for path, groups in groups_by_path.items():
            self._check_file(path, groups)

    def _check_file(self, path: str, row_groups: list[RowGroup]) -> None:
        try:
            file = version_path(self.root, path)
        except ValueError as error:
            raise ShardError(str(error)) from error
        _refuse_pickled_metadata(self.root.resolve(), file.parent)
        try:
            footer = self._footers[path] = pq.read_metadata(file)
        except (OSError, pa.ArrowException) as error:
            raise_storage_failure(error, file)
            raise row_group_error(row_groups[0], 0, f"unreadable: {error}") from error
        for group in row_groups:
            if not 0 <= group.index < footer.num_row_groups:
                raise row_group_error(group, 0, f"the file has {footer.num_row_groups} row groups")
            found_rows = footer.row_group(group.index).num_rows
            if found_rows != group.rows:
                raise row_group_error(group, found_rows, "file and manifest differ")
        _check_columns(path, footer.schema.to_arrow_schema(), self.columns)

    def open(self, path: str) -> pq.ParquetFile:
        """Return a checked file, opened for the calling thread alone."""
        mine = self._open_files.setdefault(threading.get_ident(), {})
        file = mine.pop(path, None)
        if file is None:
            file = open_parquet(version_path(self.root, path), self._footers[path])
        mine[path] = file  # the newest last
        if len(mine) > _OPEN_FILES_PER_THREAD:
            mine.pop(next(iter(mine))).close()
        return file

    def drop(self, path: str) -> None:
        """Close the calling thread's open file, so that the next attempt opens it again."""
        file = self._open_files.get(threading.get_ident(), {}).pop(path, None)
        if file is not None:
            file.close()

    def close(self) -> None:
        """Close all files; no thread may still be reading."""
        for files in self._open_files.values():
            for file in files.values():
                file.close()
        self._open_files.clear()


def _refuse_pickled_metadata(root: Path, folder: Path) -> None:
    for place in (folder, *folder.parents):
        for name in _PICKLED_METADATA:
            if (place / name).exists():
                raise ShardError(
                    f"{place / name} is not part of a dataset, and such a file may contain a "
                    "pickle; remove it, or build the dataset again"
                )
        if place == root:
            return


def _check_columns(path: str, schema: pa.Schema, columns: list[str]) -> None:
    missing = [name for name in columns if name not in schema.names]
    if missing:
        raise ShardError(f"{path} has no column {missing}; it has {schema.names}")
    for name in columns:
        kind = schema.field(name).type
        is_list = (
            pa.types.is_list(kind)
            or pa.types.is_large_list(kind)
            or pa.types.is_fixed_size_list(kind)
        )
        if (kind.value_type if is_list else kind) not in _NUMBERS:
            raise ShardError(
                f"{path}: column {name} is {kind}; shards may contain booleans, integers up to "
                "int64 and uint32, float32, float64 and lists of these; encode it or leave it out"
            )


class DatasetPiece:
    """One file, or one row group of it; the part of `pq.ParquetDatasetPiece` that is needed."""

    def __init__(
        self,
        path: str,
        open_file_func: Callable[[str], Any],
        row_group: int | None = None,
        partition_keys: object = None,
        get_footer: Callable[[str], Any] | None = None,
    ) -> None:
        self.path = path
        self.row_group = row_group
        self.partition_keys = partition_keys
        self._open_file = open_file_func
        self._get_footer = get_footer

    def get_metadata(self) -> Any:
        """Return the footer of the file."""
        assert self._get_footer is not None, "Petastorm reads footers of a Dataset's pieces only"
        return self._get_footer(self.path)

    def read(self, columns: Sequence[str]) -> Any:
        """Return the row group's columns as an Arrow table, read by the calling thread alone."""
        file = self._open_file(self.path)
        return file.read_row_group(self.row_group, columns=columns, use_threads=False)


class Dataset:
    """A list of files; the part of `pq.ParquetDataset` that is needed."""

    partitions = None
    metadata = None
    common_metadata = None

    def __init__(self, paths: Sequence[str], filesystem: ShardSource, **_ignored: object) -> None:
        self.paths = paths
        self.fs = filesystem
        self.pieces = [
            DatasetPiece(path, filesystem.open, get_footer=filesystem.footer) for path in paths
        ]


@contextmanager
def _stand_in_modules() -> Iterator[None]:
    for module_name, class_name in _GONE_FROM_ARROW.items():
        module = ModuleType(module_name)
        setattr(module, class_name, type(class_name, (), {}))
        sys.modules[module_name] = module
    try:
        yield
    finally:
        for module_name in _GONE_FROM_ARROW:
            del sys.modules[module_name]


def _require_petastorm(version: str) -> None:
    found = importlib.metadata.version("petastorm")
    if found != version:
        raise ImportError(
            f"petastorm {found} is installed, but only {version} is known to work with "
            f"this code; install petastorm=={version}"
        )


def _schema_never_read(_dataset: Dataset) -> Any:
    # Petastorm's own inference may unpickle, fails on strings and leaves out unsigned integers and
    # vectors. Petastorm needs a schema with at least one field; decoding uses Arrow's schema.
    unischema = importlib.import_module("petastorm.unischema")
    field = unischema.UnischemaField("row", np.int64, (), None, False)
    return unischema.Unischema("shards", [field])


def _import_petastorm() -> tuple[Any, Any, Any, Any, Any]:
    _require_petastorm(PETASTORM_VERSION)
    with _stand_in_modules():
        reader = importlib.import_module("petastorm.reader")
        pool = importlib.import_module("petastorm.workers_pool")
        thread_pool = importlib.import_module("petastorm.workers_pool.thread_pool")
        worker_base = importlib.import_module("petastorm.workers_pool.worker_base")
        ventilator = importlib.import_module("petastorm.workers_pool.ventilator")
        dataset_metadata = importlib.import_module("petastorm.etl.dataset_metadata")
    parquet = SimpleNamespace(ParquetDataset=Dataset, ParquetDatasetPiece=DatasetPiece)
    reader.pq = parquet  # type: ignore[attr-defined]
    dataset_metadata.pq = parquet  # type: ignore[attr-defined]
    reader.infer_or_load_unischema = _schema_never_read  # type: ignore[attr-defined]
    logger = logging.getLogger("petastorm")
    if logger.level == logging.NOTSET:  # its messages on every reader do not help a user
        logger.setLevel(logging.ERROR)
    return (
        reader.Reader,
        thread_pool.ThreadPool,
        worker_base.WorkerBase,
        ventilator.Ventilator,
        pool.EmptyResultError,
    )


Reader, ThreadPool, WorkerBase, Ventilator, EmptyResultError = _import_petastorm()
