"""Scoring users a second against the bare blocked matrix product, and the scorer's memory."""

import threading
import time
from pathlib import Path
from typing import Any

import psutil
import torch

from conf.contract import Manifest
from conf.settings.config import Config
from conf.settings.load import load_config
from serving import score
from tests.bench.made_up import write_dataset
from trainer.models.bundle import Trained, build_model, model_section, save_bundle

USERS, ITEMS = 8192, 200_000
YAML = """
run: {{name: bench, output: "{folder}"}}
input: {{root: none, events: {{log: {{paths: [none], time_unit: seconds}}}}}}
etl: {{event_types: {{view: {{}}}}}}
ray: {{num_cpus: 2, object_store_mib: 150}}
train: {{algorithm: neural, model: {{width: 64, blocks: 2, heads: 2}}}}
score: {{cpus_per_worker: 2, reasons: 0}}
"""


def measure(folder: Path) -> dict[str, Any]:
    path = folder / "bench.yaml"
    path.write_text(YAML.format(folder=folder))
    config = load_config(path)
    manifest = write_dataset(folder, users=USERS, items=ITEMS, mean_length=20, row_group_rows=1024)
    torch.manual_seed(1)
    section = model_section(config, manifest)
    model = build_model(section, ITEMS + 2)
    trained = Trained(section, model.state_dict(), {"test": {}})
    model_id = save_bundle(config, manifest, "b" * 64, trained)
    bare = _bare_product(config)
    with _PeakMemory("PartScorer") as peak:
        seconds = _score(config, manifest, model_id)
    return {
        "users_per_second": round(USERS / seconds),
        "bare_product": round(bare),
        "ratio": round(USERS / seconds / bare, 3),
        "scorer_peak_mib": round(peak.bytes / 2**20),
        "wanted_below_mib": 2048,
    }


def _score(config: Config, manifest: Manifest, model_id: str) -> float:
    """Return the seconds from the first to the last part written, Ray's start left out."""
    version = score.run(config, dataset_id=manifest.id, model_id=model_id, request="c" * 64)
    folder = Path(config.run.output) / "lists" / version
    written = sorted(path.stat().st_mtime for path in folder.glob("part-*.parquet"))
    return (written[-1] - written[0]) * len(written) / (len(written) - 1)


def _bare_product(config: Config) -> float:
    """Return users a second of the product alone, in the same blocks on as many threads."""
    torch.set_num_threads(config.score.cpus_per_worker)
    users, items = torch.randn(USERS, 64), torch.randn(ITEMS, 64)
    block_users, block_items = config.score.block_users, config.score.block_items
    started = time.monotonic()
    for first in range(0, USERS, block_users):
        some = users[first : first + block_users]
        for start in range(0, ITEMS, block_items):
            some @ items[start : start + block_items].T
    return USERS / (time.monotonic() - started)


class _PeakMemory:
    """The largest resident memory of this process's descendants of a name."""

    def __init__(self, name: str) -> None:
        self.name, self.bytes, self.stop = name, 0, threading.Event()
        self.watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "_PeakMemory":
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
