"""A network over a catalogue of millions: memory and seconds of a training step.

`python -m tests.bench.training.large_catalogue FOLDER KIND EMBEDDINGS [ITEMS]` trains an epoch in a
process of its own, through the trainer's own epoch and validation, and prints one JSON object. KIND
is a `train.loss.kind`, EMBEDDINGS a `train.optimizer.embeddings`.
"""

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from conf.contract import Manifest
from conf.settings.load import load_config
from conf.workspace.pointers import current_version
from conf.workspace.versions import read_manifest
from tests.bench.made_up import write_config, write_dataset
from tests.bench.runs import ratio_of, timed_python
from trainer.cluster.machine import peak_memory_bytes
from trainer.retrieval.task import RetrievalTask
from trainer.training.job import TrainingJob
from trainer.training.learner import Cursor
from trainer.training.loop import train_epoch

ITEMS = 2_000_000
USERS, BATCH_ROWS = 256, 64
CASES = (
    ("sampled_softmax", "same"),
    ("sampled_softmax", "rowwise_adagrad"),
    ("cross_entropy", "same"),
    ("cross_entropy", "rowwise_adagrad"),
)
SECTIONS = """
train:
  precision: fp32
  cpus_per_worker: 1
  epochs: 1
  batch_rows: {batch_rows}
  model: {{width: 64, blocks: 1, heads: 2}}
  loss: {{kind: {kind}, num_negatives: 256}}
  optimizer: {{embeddings: {embeddings}}}
"""


def measure(
    folder: Path, *, items: int = ITEMS, cases: Sequence[tuple[str, str]] = CASES
) -> dict[str, Any]:
    """Train each case in a fresh process, on one dataset; the first two cases are compared."""
    figures = {}
    for kind, embeddings in cases:
        command = [
            "-m",
            "tests.bench.training.large_catalogue",
            str(folder),
            kind,
            embeddings,
            str(items),
        ]
        figures[f"{kind}, {embeddings}"], _, _ = timed_python(command)
    sparse, dense = (
        figures[f"sampled_softmax, {name}"]["cpu_seconds_a_step"]
        for name in ("rowwise_adagrad", "same")
    )
    return {
        **figures,
        "ratio": ratio_of(sparse, dense),
        "ratio_of": "CPU seconds of a step with rowwise_adagrad over those with adamw on all rows",
        "wanted_below_gib": 8,
    }


def train(folder: Path, kind: str, embeddings: str, items: int = ITEMS) -> dict[str, Any]:
    """Train one epoch in this process, validate, and keep the best weights as a run would."""
    sections = SECTIONS.format(kind=kind, embeddings=embeddings, batch_rows=BATCH_ROWS)
    path = write_config(folder, sections, f"{kind}-{embeddings}.yaml")
    manifest = _dataset(folder, items)
    config, device = load_config(path), torch.device("cpu")
    torch.set_num_threads(config.train.cpus_per_worker)
    dataset = folder.resolve() / "datasets" / manifest.id
    job = TrainingJob(config, manifest, dataset, folder, 0, 1, device, task=RetrievalTask())
    task, cursor = RetrievalTask(), Cursor()
    learner = task.learner(job)
    started, cpu_before = time.monotonic(), time.process_time()
    train_epoch(job, learner, cursor)
    seconds, cpu = time.monotonic() - started, time.process_time() - cpu_before
    training_peak = peak_memory_bytes(device)
    learner.objective.eval()
    figure = task.validate(job, learner)
    learner.keep_best()
    return {
        "items": items,
        "steps": cursor.step,
        "targets_a_step": round(cursor.weight_sum / cursor.step, 1),
        "loss": round(cursor.loss_sum / cursor.weight_sum, 4),
        config.train.metric: figure,
        "seconds_a_step": round(seconds / cursor.step, 2),
        "cpu_seconds_a_step": round(cpu / cursor.step, 6),
        "training_peak_gib": round(training_peak / 2**30, 2),
        "peak_gib": round(peak_memory_bytes(device) / 2**30, 2),
    }


def _dataset(folder: Path, items: int) -> Manifest:
    """Return the folder's dataset, made where it is not there yet."""
    if not (folder / "datasets").is_dir():
        return write_dataset(folder, users=USERS, items=items, mean_length=4, row_group_rows=USERS)
    return read_manifest(folder, "datasets", current_version(folder, "datasets"), Manifest)


if __name__ == "__main__":
    where, loss_kind, tables, *size = sys.argv[1:]
    print(json.dumps(train(Path(where), loss_kind, tables, *map(int, size))))
