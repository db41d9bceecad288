"""Scoring users a second against the bare blocked matrix product, and the scorer's memory."""

import threading
import time
from pathlib import Path
from typing import Any

import psutil
import torch

from conf.settings.config import Config
from tests.bench.made_up import bench_model
from tests.bench.runs import ratio_of
from tests.bench.serving.top_k_rate import bare_products

USERS, ITEMS, WIDTH, ROW_GROUP_ROWS = 8192, 200_000, 64, 1024
SECTIONS = """
ray: {{num_cpus: 2, object_store_mib: 150}}
train: {{algorithm: neural, model: {model}}}
score: {{cpus_per_worker: 2, reasons: 0}}
"""
"""Of the configuration, with the settings of the model."""


def measure(
    folder: Path,
    *,
    users: int = USERS,
    items: int = ITEMS,
    row_group_rows: int = ROW_GROUP_ROWS,
) -> dict[str, Any]:
    """Return the rates of one worker and of the fastest product on as many threads."""
    sections = SECTIONS.format(model=f"{{width: {WIDTH}, blocks: 2, heads: 2}}")
    made = bench_model(folder, sections, users=users, items=items, row_group_rows=row_group_rows)
    bare = _bare_product(made.config(), users, items)
    with PeakMemory("PartScorer") as peak:
        rate = users_per_second(made.scored("c"), users)
    return {
        "users_per_second": round(rate),
        "bare_product": round(bare),
        "ratio": ratio_of(rate, bare),
        "scorer_peak_mib": peak.mib,
        "wanted_below_mib": 2048,
    }


def users_per_second(lists: Path, users: int) -> float:
    """Return the rate from the first part that is written to the last one.

    The start of Ray, and what a worker makes before its first part, are left out.

    Args:
        lists: Folder of lists that one worker made.
        users: Users of all parts.
    """
    written = sorted(path.stat().st_mtime for path in lists.glob("part-*.parquet"))
    return users / (written[-1] - written[0]) * (len(written) - 1) / len(written)


def _bare_product(config: Config, users: int, items: int) -> float:
    """Return users a second of the product alone, in its fastest form on as many threads."""
    torch.set_num_threads(config.score.cpus_per_worker)
    seconds = []
    for way in bare_products(torch.randn(users, WIDTH), torch.randn(items, WIDTH)).values():
        started = time.monotonic()
        way()
        seconds.append(time.monotonic() - started)
    return users / min(seconds)


class PeakMemory:
    """The largest resident memory of this process's descendants of a name."""

    def __init__(self, name: str) -> None:
        self.name, self.bytes, self.stop = name, 0, threading.Event()
        self.watcher = threading.Thread(target=self._watch, daemon=True)

    @property
    def mib(self) -> int:
        return round(self.bytes / 2**20)

    def __enter__(self) -> "PeakMemory":
        self.watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.watcher.join()

    def _watch(self) -> None:
        while not self.stop.wait(0.2):
            for child in psutil.Process().children(recursive=True):
                try:
                    if self.name in " ".join(child.cmdline()):
                        self.bytes = max(self.bytes, child.memory_info().rss)
                except psutil.Error:
                    continue
