"""What a training worker is given, and the state that it carries from step to step."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray.train.torch
import torch
import torch.distributed as dist
from torch import Tensor, nn

from conf.contract import NUM_RESERVED, Manifest, RowGroup, catalogue_size
from conf.schema import Config
from trainer.bundle import build_model, model_section
from trainer.content_data import read_content
from trainer.efficiency import peak_memory_bytes
from trainer.objective import TrainingObjective, item_sampling
from trainer.optimizer_state import named_state
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


@dataclass
class Cursor:
    """How far a run has come; saved with every checkpoint. Sums are over all ranks."""

    epoch: int = 0
    groups_done: int = 0
    """Row groups of this epoch's order that are consumed."""
    step: int = 0
    rows_seen: int = 0
    """Rows consumed in this epoch."""
    rows_given: int = 0
    """Rows that were to be consumed so far: what the shards' rows came to."""
    loss_sum: float = 0.0
    weight_sum: float = 0.0
    cells: int = 0
    """Positions of this epoch's batches, padding included."""
    padding: int = 0
    seconds: float = 0.0
    """Training time of this epoch."""
    best_figure: float = -1.0
    best_epoch: int = -1
    rate_scale: float = 1.0
    """What the plateaus so far have left of the learning rate."""
    plateau_from: int = 0
    """Epoch from which a plateau is counted."""
    finished: bool = False
    pruned: bool = False
    """Whether it ended because the best figure was too low for its epoch."""
    curve: list[dict[str, float]] = field(default_factory=list)
    """One record an epoch."""

    def is_below(self, bars: Sequence[float | None]) -> bool:
        """Return whether the best figure is too low for its epoch."""
        bar = bars[self.epoch] if self.epoch < len(bars) else None
        return bar is not None and self.best_figure < bar

    def begin_epoch(self) -> None:
        """Go on to the next epoch: what is counted within one begins anew."""
        self.epoch, self.groups_done = self.epoch + 1, 0
        self.rows_seen = self.rows_given = self.cells = self.padding = 0
        self.loss_sum = self.weight_sum = self.seconds = 0.0


@dataclass
class Learner:
    """Model, optimiser and the best weights so far."""

    objective: nn.Module
    """Possibly wrapped for data parallelism."""
    model: nn.Module
    """What it holds is the weights."""
    optimizer: torch.optim.Optimizer
    best: dict[str, Tensor]
    mean: dict[str, Tensor] | None = None
    """Moving mean of the weights, where it is asked for."""
    saves_state: bool = False
    """Whether the optimiser's state is remembered with the best weights."""
    best_state: dict[str, Tensor] = field(default_factory=dict)
    """That state by name, where it is."""

    def state(self, cursor: Cursor) -> dict[str, Any]:
        """Return all that a checkpoint has to hold."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best": self.best,
            "best_state": self.best_state,
            "mean": self.mean,
            "cursor": vars(cursor),
        }

    def load(self, state: dict[str, Any]) -> Cursor:
        """Take up a checkpoint and return its cursor."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        device = next(self.model.parameters()).device
        self.best, self.mean = state["best"], state["mean"]
        if self.mean is not None:
            self.mean = {name: tensor.to(device) for name, tensor in self.mean.items()}
        self.best_state = state["best_state"]
        return Cursor(**state["cursor"])

    @torch.no_grad()
    def update_mean(self, decay: float | None) -> None:
        """Let the moving mean of the weights follow them by one step; None: there is none."""
        if decay is None:
            return
        weights = {name: parameter.detach() for name, parameter in self.model.named_parameters()}
        if self.mean is None:
            self.mean = {name: weight.clone() for name, weight in weights.items()}
        for name, weight in weights.items():
            self.mean[name].lerp_(weight, 1 - decay)

    @contextmanager
    def mean_weights(self) -> Iterator[None]:
        """Give the model the moving mean for the time of the block, where there is one."""
        if self.mean is None:
            yield
            return
        own = {name: p.detach().clone() for name, p in self.model.named_parameters()}
        self.model.load_state_dict(self.mean, strict=False)  # buffers have no mean
        try:
            yield
        finally:
            self.model.load_state_dict(own, strict=False)

    def keep_best(self) -> None:
        """Remember the weights as they are."""
        self.best = {k: v.detach().cpu().clone() for k, v in self.model.state_dict().items()}
        if self.saves_state:
            self.best_state = named_state(self.model, self.optimizer)


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


def most_memory(job: Job) -> int:
    """Return the most memory in bytes that the worker of any rank has held so far."""
    most = torch.tensor(peak_memory_bytes(job.device), dtype=torch.int64, device=job.device)
    if job.world_size > 1:
        dist.all_reduce(most, op=dist.ReduceOp.MAX)
    return int(most)
