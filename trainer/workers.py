"""Start the Ray Train workers of a training, and wait for what they come to."""

import json
import logging
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer
from torch import Tensor

from conf.contract import Manifest
from conf.errors import ConfigError, DivergedError, HeadraceError, InputError
from conf.schema import Config
from conf.train_schema import Train
from trainer.checkpoint import load_checkpoint
from trainer.efficiency import num_parameters
from trainer.job import Refit
from trainer.loop import FAILURE_NAME, task_of, train_worker
from trainer.machine import cores_gain_from_bf16
from trainer.progress import PROGRESS_NAME, shown_progress
from trainer.warm_start import write_start

log = logging.getLogger(__name__)


class Fitted(NamedTuple):
    """What the workers come to."""

    weights: dict[str, Tensor]
    """The best ones."""
    cursor: dict[str, Any]
    """Where the run ended."""
    optimizer: dict[str, Tensor]
    """The optimiser's state with the best weights, where it is to be saved."""


def require_trainable(config: Config, manifest: Manifest, part: str) -> None:
    """Refuse a training part that is empty, or has fewer row groups than there are workers."""
    groups, workers = len(manifest.row_groups(part)), config.train.workers
    if not groups:
        raise InputError(
            f"dataset {manifest.id} has no rows in {part}, so that there is nothing to train on; "
            "change etl.split, or give a longer log"
        )
    if groups < workers:
        raise ConfigError(
            f"train.workers={workers}, but dataset {manifest.id} has {groups} row group(s) in "
            f"{part}, and each worker needs one of its own; set train.workers to at most "
            f"{groups}, or make the dataset with a smaller etl.row_group_rows"
        )


def fit(
    config: Config,
    manifest: Manifest,
    work: Path,
    *,
    refit: Refit | None = None,
    bars: Sequence[float | None] = (),
) -> Fitted:
    """Run the workers and return the best weights and where the run ended.

    Args:
        config: The run's configuration.
        manifest: The dataset.
        work: Folder of checkpoints; an interrupted run goes on from what lies there.
        refit: What to train anew with what was held out; None: validation chooses.
        bars: For each epoch, the least best figure that is trained on; None: any.

    Raises:
        DivergedError: When the loss is no number any more.
    """
    train, task = config.train, task_of(config.train.algorithm, refit)
    work.mkdir(parents=True, exist_ok=True)
    (work / FAILURE_NAME).unlink(missing_ok=True)
    if train.warm_start.model is not None:
        write_start(config, manifest, work)
    dataset = Path(config.run.output).resolve() / "datasets" / manifest.id
    settings = {
        "config": config.model_dump(mode="json"),
        "manifest": manifest.model_dump(mode="json"),
        "dataset": str(dataset),
        "work": str(work),
        "refit": None if refit is None else asdict(refit),
        "bars": list(bars),
    }
    _warn_of_slow_products(train)
    epochs = train.epochs if refit is None else refit.epochs
    rows = sum(group.rows for group in manifest.row_groups(task.part))
    with shown_progress(work / PROGRESS_NAME, epochs=epochs, rows_in_epoch=rows):
        _ray_trainer(config, settings, work).fit()
    if (work / FAILURE_NAME).is_file():
        word = json.loads((work / FAILURE_NAME).read_text())
        raise (DivergedError if word["diverged"] else HeadraceError)(word["message"])
    state = load_checkpoint(work)
    assert state is not None and state["cursor"]["finished"], "the workers ended without a result"
    _tell(state["cursor"]["curve"], train.metric)
    return Fitted(state["best"], state["cursor"], state["best_state"])


def _warn_of_slow_products(train: Train) -> None:
    if train.precision == "bf16" and not train.gpus_per_worker and not cores_gain_from_bf16():
        log.warning(
            "train.precision=bf16, but this machine's cores gain nothing from it: if the workers' "
            "do not either, train.precision=fp32 is faster"
        )


def _tell(curve: Sequence[Mapping[str, float]], metric: str) -> None:
    for record in curve:
        figure = f", {metric} {record[metric]:.4f}" if metric in record else ""
        rate = record["rows"] / max(record["seconds"], 1e-9)
        log.info(
            "epoch %d: loss %.4f%s, %.0f rows/s", record["epoch"], record["loss"], figure, rate
        )


def _ray_trainer(config: Config, settings: dict[str, Any], work: Path) -> TorchTrainer:
    train = config.train
    resources = {"CPU": train.cpus_per_worker, "GPU": train.gpus_per_worker}
    return TorchTrainer(
        train_worker,
        train_loop_config=settings,
        torch_config=TorchConfig(timeout_s=train.collective_timeout_seconds),
        scaling_config=ScalingConfig(
            num_workers=train.workers,
            use_gpu=train.gpus_per_worker > 0,
            resources_per_worker={name: count for name, count in resources.items() if count},
        ),
        # A name of its own for each start: Ray's own record of an earlier one, whole or damaged,
        # has no part in a resume. Ours is the newest whole checkpoint in `work`.
        run_config=RunConfig(
            name=f"run-{uuid.uuid4().hex[:12]}",
            storage_path=str(work / "ray"),
            failure_config=FailureConfig(max_failures=train.max_failures),
        ),
    )


def training_figures(
    config: Config, cursor: dict[str, Any], seconds: float, weights: dict[str, Tensor]
) -> dict[str, Any]:
    """Return the figures of a training that `metrics.json` tells."""
    curve = cursor["curve"]
    rows, busy = sum(r["rows"] for r in curve), sum(r["seconds"] for r in curve)
    return {
        "valid": {config.train.metric: cursor["best_figure"]},
        "best_epoch": cursor["best_epoch"],
        "epochs": curve,
        "training": {
            "seconds": round(seconds, 1),
            "steps": cursor["step"],
            "rows_per_second": round(rows / max(busy, 1e-9), 1),
            "padding_share": round(curve[-1]["padding_share"], 4),
            "parameters": num_parameters(weights),
            "peak_memory_bytes": max(record["peak_memory_bytes"] for record in curve),
            "workers": config.train.workers,
        },
    }
