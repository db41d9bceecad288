"""Start the Ray Train workers of a training, and wait for their result."""

import logging
import uuid
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer
from ray.train.v2.api.exceptions import TrainingFailedError
from torch import Tensor

from conf import errors
from conf.contract import Manifest
from conf.errors import ConfigError, InputError
from conf.masking.origins import public_config
from conf.settings.config import Config
from conf.settings.train import Train
from conf.workspace.folders import remove
from conf.workspace.json_files import is_there, read_json
from trainer.cluster.machine import gains_from_bf16
from trainer.cluster.private_ray import private_folder
from trainer.cluster.ray_session import cpus_of_worker
from trainer.cluster.ray_signals import own_handlers
from trainer.training.checkpoint import load_checkpoint
from trainer.training.job import Refit, Task
from trainer.training.learner import num_parameters
from trainer.training.loop import FAILURE_NAME, train_worker
from trainer.training.progress import shown_progress
from trainer.training.rendezvous import torch_config

log = logging.getLogger(__name__)


class Fitted(NamedTuple):
    """The result of the workers."""

    weights: dict[str, Tensor]
    """The best weights."""
    cursor: dict[str, Any]
    """The fields of the `Cursor` at the end of the run."""
    optimizer: dict[str, Tensor]
    """The optimiser's state at the best weights, by name; {} if it is not saved."""


def require_trainable(config: Config, manifest: Manifest, part: str) -> None:
    """Refuse a training part that is empty, or has fewer row groups than there are workers."""
    workers = config.train.workers
    groups = len(manifest.row_groups(part)) if manifest.files.get(part) else 0
    if not groups:
        needs = "no user has two events" if part == "train" else "there is no event"
        raise InputError(
            f"dataset {manifest.id} has no rows in {part}, so there is nothing to train on: "
            f"{needs} in the training part; give a longer log, or another etl.split"
        )
    if groups < workers:
        raise ConfigError(
            f"train.workers={workers}, but dataset {manifest.id} has {groups} row group(s) in "
            f"{part}, and each worker needs one or more; set train.workers to at most {groups}, "
            "or build the dataset with a smaller etl.row_group_rows"
        )


def fit(
    config: Config,
    manifest: Manifest,
    work: Path,
    task: Task,
    *,
    refit: Refit | None = None,
    bars: Sequence[float | None] = (),
) -> Fitted:
    """Run the workers and return the best weights and the final state of the run.

    Args:
        config: The run's configuration.
        manifest: The dataset.
        work: Folder of checkpoints; an interrupted run resumes from the newest one.
        task: The kind of model to train. The workers get it pickled.
        refit: Epochs and rates of a training with held-out events; None: validation chooses.
        bars: For each epoch, the lowest best figure with which training continues; None: any.

    Raises:
        DivergedError: When the loss is not finite.
        HeadraceError: When a worker reports another error that a user must fix.
    """
    train = config.train
    work.mkdir(parents=True, exist_ok=True)
    remove(work / FAILURE_NAME)
    settings = {
        "config": public_config(config),
        "manifest": manifest.model_dump(mode="json"),
        "dataset": str(Path(config.run.output).resolve() / "datasets" / manifest.id),
        "work": str(work),
        "threads": cpus_of_worker(config),
        "task": task,
        "refit": None if refit is None else asdict(refit),
        "bars": list(bars),
    }
    _warn_of_slow_products(train)
    log.info(
        "train: %d worker(s) with %d CPU(s) and %d GPU(s) each",
        train.workers, settings["threads"], train.gpus_per_worker,
    )  # fmt: skip
    epochs = train.epochs if refit is None else refit.epochs
    rows = sum(group.rows for group in manifest.row_groups(task.part))
    with (
        shown_progress(work, epochs=epochs, rows_in_epoch=rows, metric=train.metric) as epoch_log,
        own_handlers(),
    ):
        _run_workers(config, settings, work)
    state = load_checkpoint(work)
    assert state is not None and state["cursor"]["finished"], "the workers ended without a result"
    epoch_log.write(state["cursor"]["curve"])
    log.info("train: the precision of products was %s", precision_in(config, state["cursor"]))
    if refit is None and state["cursor"]["best_figure"] is None:
        log.warning(
            "train: %s, so no epoch is better than another: the newest weights are kept",
            without_figure(train.metric, manifest),
        )
    return Fitted(state["best"], state["cursor"], state["best_state"])


def _run_workers(config: Config, settings: dict[str, Any], work: Path) -> None:
    """Run the workers; an error that one of them recorded goes before Ray's own.

    Raises:
        HeadraceError: The recorded error.
        TrainingFailedError: When there is none, and Ray allows no further failure.
    """
    try:
        _ray_trainer(config, settings, work).fit()
    except TrainingFailedError:
        _raise_reported(work)
        raise
    _raise_reported(work)


def _raise_reported(work: Path) -> None:
    """Raise the error that a worker left in the folder, if it left one."""
    if is_there(work / FAILURE_NAME):
        word = read_json(work / FAILURE_NAME)
        raise getattr(errors, word["kind"])(word["message"])


def without_figure(metric: str, manifest: Manifest) -> str:
    """Return why a validation part with rows does not have a figure."""
    needs = {
        "auc": "rows with the label 0 and rows with the label 1",
        "gauc": "a user who has rows with the label 0 and rows with the label 1",
    }
    return (
        f"train.metric={metric} has no value in the validation part of dataset {manifest.id}: it "
        f"needs {needs.get(metric, 'rows')}"
    )


def _warn_of_slow_products(train: Train) -> None:
    if train.gpus_per_worker or train.precision != "bf16":
        return
    if not gains_from_bf16(torch.device("cpu")):
        log.warning(
            "train: the cores of this machine have no instructions for train.precision=bf16; if "
            "those of the workers have none either, use train.precision=auto, which is faster"
        )


class _Trainer(TorchTrainer):
    """Ray's trainer with the command's own handler of Ctrl-C; Ray's hides that it happened."""

    def _register_sigint_handler(self, _controller: object) -> None:
        pass


def _ray_trainer(config: Config, settings: dict[str, Any], work: Path) -> TorchTrainer:
    train = config.train
    resources = {"CPU": settings["threads"], "GPU": train.gpus_per_worker}
    return _Trainer(
        train_worker,
        train_loop_config=settings,
        torch_config=torch_config(train.collective_timeout_seconds, private_folder()),
        scaling_config=ScalingConfig(
            num_workers=train.workers,
            use_gpu=train.gpus_per_worker > 0,
            resources_per_worker={name: count for name, count in resources.items() if count},
        ),
        # Each start gets a new name, so that Ray ignores its own record of an earlier start. A run
        # resumes only from our newest complete checkpoint in `work`.
        run_config=RunConfig(
            name=f"run-{uuid.uuid4().hex[:12]}",
            storage_path=str(work / "ray"),
            failure_config=FailureConfig(max_failures=train.max_failures),
        ),
    )


def precision_in(config: Config, cursor: dict[str, Any]) -> str:
    """Return the precision that the workers trained in.

    Checkpoints of earlier releases do not have it; their `train.precision` is not `auto`.
    """
    return str(cursor.get("precision") or config.train.precision)


def training_figures(
    config: Config, cursor: dict[str, Any], seconds: float, weights: dict[str, Tensor]
) -> dict[str, Any]:
    """Return the figures of a training that `metrics.json` contains."""
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
            "cpus_per_worker": cpus_of_worker(config),
            "precision": precision_in(config, cursor),
        },
    }
