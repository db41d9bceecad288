"""Rows a second from the shards through Petastorm, against bare pyarrow over the same files."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from conf.contract import HISTORY_ITEMS, HISTORY_WEIGHTS, RowGroup
from tests.bench.made_up import write_dataset
from tests.bench.runs import ratio_of
from trainer.data.stream import read_row_groups

COLUMNS = [HISTORY_ITEMS, HISTORY_WEIGHTS]
REPEATS = 5
THREADS = 2


def measure(
    folder: Path,
    *,
    users: int = 400_000,
    items: int = 20_000,
    mean_length: int = 50,
    row_group_rows: int = 10_000,
    repeats: int = REPEATS,
) -> dict[str, Any]:
    """Return the best rates of several rounds; the first round warms up."""
    sizes = {"users": users, "items": items, "mean_length": mean_length}
    manifest = write_dataset(folder, **sizes, row_group_rows=row_group_rows)
    dataset, groups = folder / "datasets" / manifest.id, manifest.row_groups("train")
    ways: dict[str, Callable[[], int]] = {
        "bare": lambda: _read_bare(dataset, groups, memory_map=False),
        "bare_mapped": lambda: _read_bare(dataset, groups, memory_map=True),
        "ours": lambda: _read_streamed(dataset, groups),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats + 1):
        for name, way in ways.items():
            started = time.monotonic()
            rates[name].append(way() / (time.monotonic() - started))
    best = {name: max(values[1:]) for name, values in rates.items()}
    ours = best.pop("ours")
    bare = max(best.values())
    return {
        "rows_per_second": round(ours),
        "bare_pyarrow": round(bare),
        "ratio": ratio_of(ours, bare),
        "wanted": 0.85,
    }


def _read_bare(dataset: Path, groups: list[RowGroup], *, memory_map: bool) -> int:
    """Read with as many threads as ours, one row group at a time each."""

    def read(group: RowGroup) -> int:
        file = pq.ParquetFile(dataset / group.path, memory_map=memory_map)
        table = file.read_row_group(group.index, columns=COLUMNS, use_threads=False)
        return int(table.num_rows)

    with ThreadPoolExecutor(THREADS) as pool:
        return sum(pool.map(read, groups))


def _read_streamed(dataset: Path, groups: list[RowGroup]) -> int:
    stream = read_row_groups(dataset, groups, COLUMNS, threads=THREADS)
    return sum(group.rows for group, _ in stream)
