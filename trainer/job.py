"""What a training worker is given, and the state that it carries from step to step."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from conf.contract import Manifest, RowGroup, catalogue_size
from conf.optimizer_schema import Optimizer
from conf.schema import Config
from trainer.bundle import build_model
from trainer.catalogue import read_train_events
from trainer.retrieval import TrainingObjective, item_sampling


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
    loss_sum: float = 0.0
    weight_sum: float = 0.0
    cells: int = 0
    """Positions of this epoch's batches, padding included."""
    padding: int = 0
    seconds: float = 0.0
    """Training time of this epoch."""
    best_figure: float = -1.0
    best_epoch: int = -1
    finished: bool = False
    curve: list[dict[str, float]] = field(default_factory=list)
    """One record an epoch."""


@dataclass
class Learner:
    """Model, optimiser and the best weights so far."""

    objective: nn.Module
    """Possibly wrapped for data parallelism."""
    model: nn.Module
    """What it holds is the weights."""
    optimizer: torch.optim.Optimizer
    best: dict[str, Tensor]

    def state(self, cursor: Cursor) -> dict[str, Any]:
        """Return all that a checkpoint has to hold."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best": self.best,
            "cursor": vars(cursor),
        }

    def load(self, state: dict[str, Any]) -> Cursor:
        """Take up a checkpoint and return its cursor."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.best = state["best"]
        return Cursor(**state["cursor"])

    def keep_best(self) -> None:
        """Remember the weights as they are."""
        self.best = {k: v.detach().cpu().clone() for k, v in self.model.state_dict().items()}


def build_objective(job: Job) -> TrainingObjective:
    """Return the model with its loss, initialised from the run's seed alone."""
    torch.manual_seed(job.config.run.seed)
    train = job.config.train
    model = build_model(train.model.model_dump(), catalogue_size(job.manifest))
    probability = None
    if train.loss.kind == "sampled_softmax" and train.loss.sampling == "popularity":
        events = read_train_events(job.dataset, job.manifest)
        probability = item_sampling(torch.from_numpy(events))
    return TrainingObjective(
        model,
        kind=train.loss.kind,
        num_negatives=train.loss.num_negatives,
        negatives_for=train.loss.negatives_for,
        item_probability=probability,
    )


def build_optimizer(job: Job, model: nn.Module) -> torch.optim.Optimizer:
    """Return AdamW, without decay on embeddings, positions, norms and biases."""
    options = job.config.train.optimizer
    decayed: list[nn.Parameter] = []
    kept: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        plain = parameter.dim() > 1 and not name.endswith(("embedding.weight", "position"))
        (decayed if plain else kept).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": options.weight_decay},
        {"params": kept, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=options.learning_rate, betas=options.betas, fused=True)


def learning_rate(options: Optimizer, step: int, total_steps: int) -> float:
    """Return the learning rate of a step, counted from 0: a linear warm-up, then the decay."""
    warm = min(1.0, (step + 1) / max(options.warmup_steps, 1))
    if options.decay == "none":
        return options.learning_rate * warm
    done = min(1.0, step / max(total_steps, 1))
    return options.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * done))


def set_learning_rate(job: Job, optimizer: torch.optim.Optimizer, step: int) -> None:
    """Give the optimiser the learning rate of a step."""
    train = job.config.train
    rows = sum(group.rows for group in job.train_groups)
    total_steps = train.epochs * math.ceil(rows / train.batch_rows)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(train.optimizer, step, total_steps)


def sum_over_ranks(job: Job, values: Tensor) -> Tensor:
    """Return the sum of each value over all ranks."""
    if job.world_size > 1:
        dist.all_reduce(values)
    return values
