"""Rows a second from the shards through Petastorm, against bare pyarrow over the same files."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from conf.contract import HISTORY_ITEMS, HISTORY_WEIGHTS, RowGroup
from tests.bench.made_up import write_dataset
from trainer.data.stream import read_row_groups

COLUMNS = [HISTORY_ITEMS, HISTORY_WEIGHTS]
REPEATS = 5
THREADS = 2


def measure(folder: Path) -> dict[str, Any]:
    manifest = write_dataset(
        folder, users=400_000, items=20_000, mean_length=50, row_group_rows=10_000
    )
    dataset, groups = folder / "datasets" / manifest.id, manifest.row_groups("train")
    ways: dict[str, Callable[[], int]] = {
        "bare": lambda: _read_bare(dataset, groups),
        "ours": lambda: _read_streamed(dataset, groups),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(REPEATS + 1):
        for name, way in ways.items():
            started = time.monotonic()
            rates[name].append(way() / (time.monotonic() - started))
    best = {name: max(values[1:]) for name, values in rates.items()}
    return {
        "rows_per_second": round(best["ours"]),
        "bare_pyarrow": round(best["bare"]),
        "ratio": round(best["ours"] / best["bare"], 3),
        "wanted": 0.85,
    }


def _read_bare(dataset: Path, groups: list[RowGroup]) -> int:
    """Read with as many threads as ours, one row group at a time each."""

    def read(group: RowGroup) -> int:
        table = pq.ParquetFile(dataset / group.path).read_row_group(
            group.index, columns=COLUMNS, use_threads=False
        )
        return int(table.num_rows)

    with ThreadPoolExecutor(THREADS) as pool:
        return sum(pool.map(read, groups))


def _read_streamed(dataset: Path, groups: list[RowGroup]) -> int:
    stream = read_row_groups(dataset, groups, COLUMNS, threads=THREADS)
    return sum(group.rows for group, _ in stream)
