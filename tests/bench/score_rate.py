"""Scoring users a second against the bare blocked matrix product, and the scorer's memory."""

import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import torch

from conf.contract import NUM_RESERVED, Manifest
from conf.settings.config import Config
from conf.settings.load import load_config
from serving import score
from tests.bench.made_up import write_dataset
from tests.bench.runs import ratio_of
from tests.bench.top_k_rate import bare_products
from trainer.models.bundle import Trained, build_model, model_section, save_bundle

USERS, ITEMS, WIDTH, ROW_GROUP_ROWS = 8192, 200_000, 64, 1024
YAML = """
run: {{name: bench, output: "{folder}"}}
input: {{root: none, events: {{log: {{paths: [none], time_unit: seconds}}}}}}
etl: {{event_types: {{view: {{}}}}}}
ray: {{num_cpus: 2, object_store_mib: 150}}
train: {{algorithm: neural, model: {model}}}
score: {{cpus_per_worker: 2, reasons: 0}}
"""


def measure(
    folder: Path,
    *,
    users: int = USERS,
    items: int = ITEMS,
    row_group_rows: int = ROW_GROUP_ROWS,
) -> dict[str, Any]:
    """Return the rates of one worker and of the fastest product on as many threads."""
    model = f"{{width: {WIDTH}, blocks: 2, heads: 2}}"
    made = bench_model(folder, model, users=users, items=items, row_group_rows=row_group_rows)
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


class BenchModel(NamedTuple):
    """A made-up dataset with a network."""

    path: Path
    """The configuration."""
    manifest: Manifest
    model_id: str

    def config(self, *overrides: str) -> Config:
        return load_config(self.path, overrides)

    def scored(self, letter: str, *overrides: str) -> Path:
        """Make the lists of all users and return their folder; the letter keeps them apart."""
        config = self.config(*overrides)
        given = {"dataset_id": self.manifest.id, "model_id": self.model_id}
        return self.path.parent / "lists" / score.run(config, **given, request=letter * 64)


def bench_model(
    folder: Path,
    model: str,
    *,
    users: int,
    items: int,
    row_group_rows: int,
    vectors: torch.Tensor | None = None,
) -> BenchModel:
    """Write a dataset, and a network that nobody trained.

    Args:
        folder: The workspace.
        model: `train.model` as YAML, of the width `WIDTH`.
        users: Users of the dataset.
        items: Its items.
        row_group_rows: Users of each part.
        vectors: [items + 2, WIDTH] of the items; None: they are drawn.
    """
    path = folder / "bench.yaml"
    path.write_text(YAML.format(folder=folder, model=model))
    config = load_config(path)
    manifest = write_dataset(
        folder, users=users, items=items, mean_length=20, row_group_rows=row_group_rows
    )
    torch.manual_seed(1)
    section = model_section(config, manifest)
    weights = build_model(section, items + NUM_RESERVED).state_dict()
    if vectors is not None:
        name = next(key for key, value in weights.items() if value.shape == vectors.shape)
        weights[name] = vectors
    trained = Trained(section, weights, {"test": {}})
    return BenchModel(path, manifest, save_bundle(config, manifest, "b" * 64, trained))


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
