"""The training job that each worker gets, and the task: what the loop asks of a kind of model."""

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
from trainer.cluster.machine import peak_memory_bytes
from trainer.data.columns import Columns
from trainer.data.plan import Round
from trainer.networks.inputs import moved
from trainer.training.learner import Cursor, Learner
from trainer.training.optimizers import make_optimizer, rate_scale, set_rates


class Batch(Protocol):
    """Tensors of one step, a NamedTuple whose fields are moved to the device one by one."""

    def __iter__(self) -> Iterator[Any]: ...

    @property
    def weight(self) -> Tensor:
        """Return the sum of the weights of all targets: a scalar."""

    @property
    def num_rows(self) -> int:
        """Return how many rows of the training part these are."""

    @property
    def num_cells(self) -> int:
        """Return the positions that are worked out, padding included."""

    @property
    def num_padding(self) -> int:
        """Return those of them that hold nothing."""


class Task(Protocol):
    """One kind of model."""

    part: str
    """Part of the dataset that it is trained on, each row once an epoch."""

    def columns(self, job: "TrainingJob") -> Sequence[str]:
        """Return the columns of that part that are read."""

    def prepared(self, job: "TrainingJob", columns: Columns) -> Columns:
        """Return what is trained on of the rows of a round."""

    def num_rows(self, columns: Columns) -> int:
        """Return how many rows these are once they are prepared."""

    def learner(self, job: "TrainingJob") -> Learner:
        """Return model, loss and optimiser, initialised from the run's seed alone."""

    def batches(
        self, job: "TrainingJob", cursor: Cursor, part: Round, columns: Columns
    ) -> Iterator[Batch]:
        """Yield this rank's rows of a round as `part.steps` batches."""

    def empty_batch(self, job: "TrainingJob") -> Batch:
        """Return a batch without rows, for a rank that has none left."""

    def validate(self, job: "TrainingJob", learner: Learner) -> float | None:
        """Return the validation figure over all ranks, higher is better.

        None says that nothing is held out: the newest weights are the best.
        """


@dataclass(frozen=True)
class Refit:
    """A training anew, with what was held out, of what validation has chosen."""

    epochs: int
    rate_scales: tuple[float, ...]
    """What plateaus had left of the learning rate in each epoch."""


@dataclass(frozen=True)
class TrainingJob:
    """One training run as each of its workers sees it."""

    config: Config
    manifest: Manifest
    dataset: Path
    """Folder of the dataset."""
    work: Path
    """Folder of checkpoints and progress, seen by all workers."""
    rank: int
    world_size: int
    device: torch.device

    task: Task
    """The kind of model that is trained."""
    bars: tuple[float | None, ...] = ()
    """For each epoch, the least best figure that is trained on; None: any."""
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
    """Return the configured optimiser of all weights of a model."""
    options = job.config.train.optimizer
    chosen = ("kind", "learning_rate", "weight_decay", "decay_all", "betas", "momentum",
              "embeddings", "embedding_learning_rate")  # fmt: skip
    return make_optimizer(model, **{name: getattr(options, name) for name in chosen})


def set_learning_rate(job: TrainingJob, optimizer: torch.optim.Optimizer, cursor: Cursor) -> None:
    """Give the optimiser the learning rates of the cursor's step."""
    train = job.config.train
    rows = sum(group.rows for group in job.train_groups)
    scale = rate_scale(
        cursor.step,
        total_steps=train.epochs * math.ceil(rows / train.batch_rows),
        warmup_steps=(train.warm_start if train.warm_start.model else train.optimizer).warmup_steps,
        decay=train.optimizer.decay,
    )
    set_rates(optimizer, scale * cursor.rate_scale)


def lower_rate_at_plateau(job: TrainingJob, cursor: Cursor) -> None:
    """Lower the learning rate where the figure has not grown for long enough."""
    options = job.config.train.optimizer
    if job.refit is not None:
        cursor.rate_scale = job.refit.rate_scales[min(cursor.epoch + 1, job.refit.epochs - 1)]
        return
    cursor.plateau_from = max(cursor.plateau_from, cursor.best_epoch)
    if options.decay == "plateau" and cursor.epoch - cursor.plateau_from >= options.plateau_epochs:
        cursor.rate_scale *= options.plateau_factor
        cursor.plateau_from = cursor.epoch


def wrapped_objective(job: TrainingJob, objective: nn.Module) -> nn.Module:
    """Return the objective, for several ranks in data parallelism that leaves buffers alone."""
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
    """Give all ranks the mean of what their batch norms have seen.

    Each rank's have seen its own rows. As they are running means, it makes no difference to the
    last of them how often this is done in between.
    """
    if job.world_size > 1:
        for seen in learner.norms():
            seen.copy_(sum_over_ranks(job, seen.clone()) / job.world_size)


def most_memory(job: TrainingJob) -> int:
    """Return the most memory in bytes that the worker of any rank has held so far."""
    most = torch.tensor(peak_memory_bytes(job.device), dtype=torch.int64, device=job.device)
    if job.world_size > 1:
        dist.all_reduce(most, op=dist.ReduceOp.MAX)
    return int(most)


def to_device(batch: Batch, device: torch.device) -> Batch:
    """Return the batch with its tensors on the device."""
    there: Batch = type(batch)(*(moved(tensor, device) for tensor in batch))
    return there
