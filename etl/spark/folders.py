"""The folders of a run: its work folder, and the leftovers of earlier runs."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame

from conf.contract import MANIFEST_NAME
from conf.errors import HeadraceError
from conf.workspace.folders import WITHOUT_OTHERS, open_as_usual, own_folder, remove
from etl.spark.paths import location, target

SCRATCH = "_scratch"


def refused_folder(datasets: Path, request: str) -> Path:
    """Return the folder for the quarantine of a run that made no dataset."""
    return datasets / f"refused-{request[:12]}"


@contextmanager
def work_folder(datasets: Path, request: str) -> Iterator[Path]:
    """Yield an empty folder next to the versions; leftovers of killed runs are removed.

    After an unexpected failure it is kept, with Spark's log in it, until the next run.
    """
    _remove_leavings(datasets, request)
    own_folder(datasets)
    # Its rows are those of the log, so it is closed to others until they are judged.
    work = own_folder(datasets / f".work-{request[:12]}", WITHOUT_OTHERS)
    (work / SCRATCH).mkdir()
    try:
        yield work
    except HeadraceError:
        shutil.rmtree(work, ignore_errors=True)  # its file system may be the reason
        raise


def finish(work: Path, datasets: Path, version: str) -> None:
    """Rename the work folder to that of a version; it only counts once it is committed."""
    shutil.rmtree(work / SCRATCH)
    open_as_usual(work)
    work.rename(datasets / version)


def _remove_leavings(datasets: Path, request: str) -> None:
    leavings = [*datasets.glob(".work-*"), refused_folder(datasets, request)]
    uncommitted = [
        folder
        for folder in datasets.glob(f"*-{request[:12]}")
        if not (folder / MANIFEST_NAME["datasets"]).exists()
    ]
    for folder in {*leavings, *uncommitted}:
        remove(folder)


def store(frame: DataFrame, folder: Path) -> DataFrame:
    """Write rows as Parquet and return a frame that reads them back."""
    frame.write.mode("overwrite").parquet(target(folder))
    return frame.sparkSession.read.schema(frame.schema).parquet(location(folder))


def stored_batches(folder: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yield stored rows, with those of the columns that they have, read without Spark."""
    for path in sorted(folder.glob("*.parquet")):
        yield from pq.ParquetFile(path).iter_batches(columns=columns)
