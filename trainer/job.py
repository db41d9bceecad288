"""What a training worker is given, and what it makes of the configuration."""

import math
from dataclasses import dataclass
from pathlib import Path

import ray.train.torch
import torch
import torch.distributed as dist
from torch import Tensor, nn

from conf.contract import NUM_RESERVED, Manifest, RowGroup, catalogue_size
from conf.schema import Config
from trainer.bundle import build_model, model_section
from trainer.content_data import read_content
from trainer.efficiency import peak_memory_bytes
from trainer.learner import Cursor, Learner
from trainer.objective import TrainingObjective, item_sampling
from trainer.optimizers import make_optimizer, rate_scale, set_rates


@dataclass(frozen=True)
class Refit:
    """A training anew, with what was held out, of what validation has chosen."""

    epochs: int
    rate_scales: tuple[float, ...]
    """What plateaus had left of the learning rate in each epoch."""


@dataclass(frozen=True)
class Job:
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

    part: str
    """Part of the dataset that is trained on."""
    bars: tuple[float | None, ...] = ()
    """For each epoch, the least best figure that is trained on; None: any."""
    refit: Refit | None = None
    """None: validation chooses the weights and ends the training."""

    @property
    def train_groups(self) -> list[RowGroup]:
        """Row groups of the training part."""
        return self.manifest.row_groups(self.part)

    @property
    def batch_rows_per_rank(self) -> int:
        """Rows of this worker in one step."""
        return -(-self.config.train.batch_rows // self.world_size)


def build_objective(job: Job, events: Tensor) -> TrainingObjective:
    """Return the model with its loss, initialised from the run's seed alone.

    Args:
        job: The training.
        events: [V] how often each item occurs in what is trained on.
    """
    torch.manual_seed(job.config.run.seed)
    train = job.config.train
    model = build_model(model_section(job.config, job.manifest), catalogue_size(job.manifest))
    is_alone = job.world_size == 1 or job.device.type == "cpu"  # NCCL adds up no sparse tensors
    is_by_row = train.optimizer.embeddings != "same" and train.loss.kind != "cross_entropy"
    model.items.embedding.sparse = is_by_row and is_alone
    features = read_content(train.model.content, job.dataset, job.manifest)
    model.items.set_catalogue(events, features)
    candidates = None
    if model.items.has_untrained:
        candidates = events[NUM_RESERVED:].nonzero()[:, 0] + NUM_RESERVED
    sampling = train.loss.sampling
    probability = None
    if (train.loss.kind == "sampled_softmax" and sampling != "uniform") or sampling == "popularity":
        probability = item_sampling(events)
    return TrainingObjective(
        model, **train.loss.model_dump(), item_probability=probability, candidates=candidates
    )


def build_optimizer(job: Job, model: nn.Module) -> torch.optim.Optimizer:
    """Return the configured optimiser of all weights of a model."""
    options = job.config.train.optimizer
    chosen = ("kind", "learning_rate", "weight_decay", "decay_all", "betas", "momentum",
              "embeddings", "embedding_learning_rate")  # fmt: skip
    return make_optimizer(model, **{name: getattr(options, name) for name in chosen})


def set_learning_rate(job: Job, optimizer: torch.optim.Optimizer, cursor: Cursor) -> None:
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


def lower_rate_at_plateau(job: Job, cursor: Cursor) -> None:
    """Lower the learning rate where the figure has not grown for long enough."""
    options = job.config.train.optimizer
    if job.refit is not None:
        cursor.rate_scale = job.refit.rate_scales[min(cursor.epoch + 1, job.refit.epochs - 1)]
        return
    cursor.plateau_from = max(cursor.plateau_from, cursor.best_epoch)
    if options.decay == "plateau" and cursor.epoch - cursor.plateau_from >= options.plateau_epochs:
        cursor.rate_scale *= options.plateau_factor
        cursor.plateau_from = cursor.epoch


def wrapped_objective(job: Job, objective: nn.Module) -> nn.Module:
    """Return the objective, for several ranks in data parallelism that leaves buffers alone."""
    if job.world_size == 1:
        return objective
    wrapped: nn.Module = ray.train.torch.prepare_model(
        objective, parallel_strategy_kwargs={"broadcast_buffers": False}
    )
    return wrapped


def sum_over_ranks(job: Job, values: Tensor) -> Tensor:
    """Return the sum of each value over all ranks."""
    if job.world_size > 1:
        dist.all_reduce(values)
    return values


def even_out_norms(job: Job, learner: Learner) -> None:
    """Give all ranks the mean of what their batch norms have seen.

    Each rank's have seen its own rows. As they are running means, it makes no difference to the
    last of them how often this is done in between.
    """
    if job.world_size > 1:
        for seen in learner.norms():
            seen.copy_(sum_over_ranks(job, seen.clone()) / job.world_size)


def most_memory(job: Job) -> int:
    """Return the most memory in bytes that the worker of any rank has held so far."""
    most = torch.tensor(peak_memory_bytes(job.device), dtype=torch.int64, device=job.device)
    if job.world_size > 1:
        dist.all_reduce(most, op=dist.ReduceOp.MAX)
    return int(most)
