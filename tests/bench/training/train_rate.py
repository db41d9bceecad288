"""Training rows a second through Ray Train and Petastorm, against a plain loop in memory."""

import math
import time
from pathlib import Path
from typing import Any

import torch
from torch.nn.utils import clip_grad_norm_

from conf.contract import HISTORY_ITEMS, HISTORY_WEIGHTS, Manifest, catalogue_size
from conf.settings.config import Config
from conf.settings.load import load_config
from tests.bench.made_up import write_config, write_dataset
from tests.bench.runs import ratio_of
from trainer.cluster.ray_session import ray_session
from trainer.data.batches import block_batches
from trainer.data.columns import concatenate
from trainer.data.stream import read_row_groups
from trainer.models.bundle import build_model, model_section
from trainer.networks.inputs import TrainBatch
from trainer.networks.objective import TrainingObjective
from trainer.retrieval.train import fit_network

COLUMNS = (HISTORY_ITEMS, HISTORY_WEIGHTS)
EPOCHS = 3
SECTIONS = """
ray: {{num_cpus: 2, object_store_mib: 150}}
train:
  algorithm: neural
  precision: fp32
  cpus_per_worker: 2
  epochs: {epochs}
  patience_epochs: {epochs}
  batch_rows: 128
  eval_batch_rows: 512
"""


def measure(
    folder: Path,
    *,
    users: int = 24_000,
    items: int = 2000,
    mean_length: int = 20,
    row_group_rows: int = 2000,
    epochs: int = EPOCHS,
) -> dict[str, Any]:
    """Return the rates of all epochs but the first, which warms up both."""
    config = load_config(write_config(folder, SECTIONS.format(epochs=epochs)))
    sizes = {"users": users, "items": items, "mean_length": mean_length}
    manifest = write_dataset(folder, **sizes, row_group_rows=row_group_rows)
    plain = _plain_loop(config, manifest, folder / "datasets" / manifest.id)
    (folder / "work").mkdir()
    with ray_session(config):
        cursor = fit_network(config, manifest, folder / "work").cursor
    curve = cursor["curve"][1:]
    ours = sum(record["rows"] for record in curve) / sum(record["seconds"] for record in curve)
    return {
        "rows_per_second": round(ours),
        "plain_loop": round(plain),
        "ratio": ratio_of(ours, plain),
        "wanted": 0.9,
    }


def _plain_loop(config: Config, manifest: Manifest, dataset: Path) -> float:
    """Return rows a second of the same model over the same batches, all made beforehand."""
    torch.set_num_threads(config.train.cpus_per_worker)
    batches, rows = _all_batches(config, manifest, dataset)
    loss = config.train.loss
    objective = TrainingObjective(
        build_model(model_section(config, manifest), catalogue_size(manifest)),
        **loss.model_dump(),
        item_probability=None,
    )
    options = config.train.optimizer
    optimizer = torch.optim.AdamW(
        objective.parameters(), lr=options.learning_rate, betas=options.betas, fused=True
    )
    seconds = []
    for _ in range(config.train.epochs):
        started = time.monotonic()
        for batch in batches:
            mean = objective(batch) / batch.target_weight.sum()
            optimizer.zero_grad()
            mean.backward()
            clip_grad_norm_(objective.parameters(), options.clip_norm)
            optimizer.step()
        seconds.append(time.monotonic() - started)
    return rows * (config.train.epochs - 1) / sum(seconds[1:])


def _all_batches(config: Config, manifest: Manifest, dataset: Path) -> tuple[list[TrainBatch], int]:
    groups = read_row_groups(dataset, manifest.row_groups("train"), COLUMNS)
    columns = concatenate([block for _, block in groups])
    rows = sum(group.rows for group in manifest.row_groups("train"))
    length = config.train.model.history_length
    steps = math.ceil(rows / config.train.batch_rows)
    batches = block_batches(columns, steps=steps, max_length=length, row_seed=(1,), order_seed=(1,))
    return list(batches), rows
