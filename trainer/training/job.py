"""The training job of a worker, and the task: the interface of a kind of model for the loop."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import ray.train.torch
import torch
import torch.distributed as dist
from torch import Tensor, nn

from conf.contract import Manifest, RowGroup
from conf.settings.config import Config
from conf.settings.train import Train
from trainer.cluster.machine import peak_memory_bytes
from trainer.data.columns import Columns
from trainer.data.plan import Round
from trainer.networks.inputs import moved
from trainer.training.learner import Cursor, Learner
from trainer.training.optimizers import make_optimizer, rate_scale, set_rates

_WIDE, _WIDE_HIDDEN = 128, 256
"""Widths from which training in bfloat16 was faster on a CPU with AMX: of a network over the
catalogue, and of the widest hidden layer of one for single impressions."""


class Batch(Protocol):
    """Tensors of one step, a NamedTuple whose fields are moved to the device one by one."""

    def __iter__(self) -> Iterator[Any]: ...

    @property
    def weight(self) -> Tensor:
        """Return the sum of the weights of all targets: a scalar."""

    @property
    def num_rows(self) -> int:
        """Return the number of rows of the training part in the batch."""

    @property
    def num_cells(self) -> int:
        """Return the number of positions that are computed, padding included."""

    @property
    def num_padding(self) -> int:
        """Return the number of positions that are padding."""


class Task(Protocol):
    """One kind of model."""

    part: str
    """Part of the dataset to train on, each row once per epoch."""

    def columns(self, job: "TrainingJob") -> Sequence[str]:
        """Return the columns of that part to read."""

    def planned(self, job: "TrainingJob") -> list[RowGroup]:
        """Return the row groups of that part, each with its number of prepared rows."""

    def prepared(self, job: "TrainingJob", columns: Columns) -> Columns:
        """Return the rows of a round, prepared for training."""

    def num_rows(self, columns: Columns) -> int:
        """Return the number of prepared rows."""

    def learner(self, job: "TrainingJob") -> Learner:
        """Return model, loss and optimiser, initialised from the seed or a warm-start model."""

    def batches(
        self, job: "TrainingJob", cursor: Cursor, part: Round, columns: Columns
    ) -> Iterator[Batch]:
        """Yield this rank's rows of a round as `part.steps` batches."""

    def empty_batch(self, job: "TrainingJob") -> Batch:
        """Return a batch without rows, for a rank that has none in a round."""

    def validate(self, job: "TrainingJob", learner: Learner) -> float | None:
        """Return the validation figure over all ranks; higher is better.

        None means that nothing is held out: the newest weights are the best.
        """


@dataclass(frozen=True)
class Refit:
    """A second training that includes held-out events, with the epochs that validation chose."""

    epochs: int
    rate_scales: tuple[float, ...]
    """Factor of the learning rate in each epoch, as the first training lowered it at plateaus."""


@dataclass(frozen=True)
class TrainingJob:
    """One training run as each of its workers sees it."""

    config: Config
    manifest: Manifest
    dataset: Path
    """Folder of the dataset."""
    work: Path
    """Folder of checkpoints and progress, visible to all workers."""
    rank: int
    world_size: int
    device: torch.device

    task: Task
    """The kind of model to train."""
    bars: tuple[float | None, ...] = ()
    """For each epoch, the lowest best figure with which training continues; None: any."""
    refit: Refit | None = None
    """None: validation chooses the weights and ends the training."""

    @property
    def train_groups(self) -> list[RowGroup]:
        """Row groups of the training part."""
        return self.manifest.row_groups(self.task.part)

    @property
    def batch_rows_per_rank(self) -> int:
        """Rows of this worker in one step."""
        return -(-self.config.train.batch_rows // self.world_size)


def build_optimizer(job: TrainingJob, model: nn.Module) -> torch.optim.Optimizer:
    """Return the configured optimiser for all weights of a model."""
    options = job.config.train.optimizer
    chosen = ("kind", "learning_rate", "weight_decay", "decay_all", "betas", "momentum",
              "embeddings", "embedding_learning_rate")  # fmt: skip
    return make_optimizer(model, **{name: getattr(options, name) for name in chosen})


def set_learning_rate(job: TrainingJob, optimizer: torch.optim.Optimizer, cursor: Cursor) -> None:
    """Set the optimiser's learning rates for the cursor's step."""
    train = job.config.train
    rows = sum(group.rows for group in job.task.planned(job))
    scale = rate_scale(
        cursor.step,
        total_steps=train.epochs * math.ceil(rows / train.batch_rows),
        warmup_steps=(train.warm_start if train.warm_start.model else train.optimizer).warmup_steps,
        decay=train.optimizer.decay,
    )
    set_rates(optimizer, scale * cursor.rate_scale)


def lower_rate_at_plateau(job: TrainingJob, cursor: Cursor) -> None:
    """Lower the learning rate at a plateau of the figure; in a refit, use the recorded rate."""
    options = job.config.train.optimizer
    if job.refit is not None:
        cursor.rate_scale = job.refit.rate_scales[min(cursor.epoch + 1, job.refit.epochs - 1)]
        return
    cursor.plateau_from = max(cursor.plateau_from, cursor.best_epoch)
    if options.decay == "plateau" and cursor.epoch - cursor.plateau_from >= options.plateau_epochs:
        cursor.rate_scale *= options.plateau_factor
        cursor.plateau_from = cursor.epoch


def wrapped_objective(job: TrainingJob, objective: nn.Module) -> nn.Module:
    """Return the objective, wrapped for data parallelism if there are several ranks.

    Buffers are not broadcast.
    """
    if job.world_size == 1:
        return objective
    wrapped: nn.Module = ray.train.torch.prepare_model(
        objective, parallel_strategy_kwargs={"broadcast_buffers": False}
    )
    return wrapped


def sum_over_ranks(job: TrainingJob, values: Tensor) -> Tensor:
    """Return the sum of each value over all ranks."""
    if job.world_size > 1:
        dist.all_reduce(values)
    return values


def even_out_norms(job: TrainingJob, learner: Learner) -> None:
    """Set the statistics of the batch norms on all ranks to their mean over the ranks.

    Each rank's batch norms have seen only its own rows. Because the statistics are running means,
    the final ones do not depend on how often this is done.
    """
    if job.world_size > 1:
        for seen in learner.norms():
            seen.copy_(sum_over_ranks(job, seen.clone()) / job.world_size)


def most_memory(job: TrainingJob) -> int:
    """Return the largest peak memory of any rank's worker so far, in bytes."""
    most = torch.tensor(peak_memory_bytes(job.device), dtype=torch.int64, device=job.device)
    if job.world_size > 1:
        dist.all_reduce(most, op=dist.ReduceOp.MAX)
    return int(most)


def precision_of(job: TrainingJob, gains: bool) -> str:
    """Return `train.precision`; for `auto` bf16 if the devices of all ranks gain from it.

    Args:
        job: The training.
        gains: Whether the device of this rank has instructions for bfloat16.
    """
    train = job.config.train
    if train.precision != "auto":
        return train.precision
    gains = gains and (job.device.type != "cpu" or gains_on_cpu(train))
    fewest = torch.tensor(int(gains), device=job.device)
    if job.world_size > 1:
        dist.all_reduce(fewest, op=dist.ReduceOp.MIN)
    return "bf16" if fewest else "fp32"


def gains_on_cpu(train: Train) -> bool:
    """Return whether bfloat16 makes the training of a network faster on a CPU made for it.

    In narrow networks, and with negatives for each position, the conversions cost more than the
    products gain.
    """
    if train.algorithm == "ranking":
        hidden = () if train.ranking.interaction == "linear" else train.ranking.hidden
        return max(hidden, default=0) >= _WIDE_HIDDEN
    loss = train.loss
    draws = loss.kind != "cross_entropy" and loss.sampling != "in_batch"
    return train.model.width >= _WIDE and not (draws and loss.negatives_for == "position")


def to_device(batch: Batch, device: torch.device) -> Batch:
    """Return the batch with its tensors on the device."""
    there: Batch = type(batch)(*(moved(tensor, device) for tensor in batch))
    return there
