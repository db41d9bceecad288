"""The state of a training between steps, which its checkpoints contain.

Pure torch.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from trainer.networks.fields import Values
from trainer.training.optimizers import named_state

_ONLY_KEPT = {"is_trained", "known_users", "running_mean", "running_var", "num_batches_tracked",
              *Values._fields}  # fmt: skip


@dataclass
class Cursor:
    """The progress of a run; saved with every checkpoint. Sums are over all ranks."""

    epoch: int = 0
    groups_done: int = 0
    """Row groups of this epoch's order that are consumed."""
    step: int = 0
    rows_seen: int = 0
    """Rows consumed in this epoch."""
    rows_given: int = 0
    """Rows to consume in this epoch so far: those that the task has prepared."""
    loss_sum: float = 0.0
    weight_sum: float = 0.0
    cells: int = 0
    """Positions of this epoch's batches, padding included."""
    padding: int = 0
    seconds: float = 0.0
    """Training time of this epoch."""
    best_figure: float | None = None
    """The best validation figure so far; None if there is none, or no such figure."""
    best_epoch: int = -1
    rate_scale: float = 1.0
    """Factor of the learning rate after the plateaus so far."""
    plateau_from: int = 0
    """Epoch from which a plateau is counted."""
    precision: str | None = None
    """`fp32` or `bf16`, as the workers chose at the start; None before it."""
    finished: bool = False
    pruned: bool = False
    """Whether the run ended because the best figure was too low for its epoch."""
    curve: list[dict[str, float | None]] = field(default_factory=list)
    """One record per epoch; its validation figure is None if the part does not have it."""

    def is_below(self, bars: Sequence[float | None]) -> bool:
        """Return whether the best figure is too low for its epoch."""
        bar = bars[self.epoch] if self.epoch < len(bars) else None
        if bar is None or self.best_figure is None:
            return False
        return self.best_figure < bar

    def begin_epoch(self) -> None:
        """Move to the next epoch and reset the counts of the last one."""
        self.epoch, self.groups_done = self.epoch + 1, 0
        self.rows_seen = self.rows_given = self.cells = self.padding = 0
        self.loss_sum = self.weight_sum = self.seconds = 0.0


@dataclass
class Learner:
    """Model, optimiser and the best weights so far."""

    objective: nn.Module
    """Possibly wrapped for data parallelism."""
    model: nn.Module
    """The model whose weights are trained and saved."""
    optimizer: torch.optim.Optimizer
    best: dict[str, Tensor]
    mean: dict[str, Tensor] | None = None
    """Moving mean of the weights and of the batch norms' statistics, if it is configured."""
    mean_steps: int = 0
    """Number of steps in the mean."""
    saves_state: bool = False
    """Whether the optimiser's state is saved with the best weights."""
    best_state: dict[str, Tensor] = field(default_factory=dict)
    """The optimiser's state by name, if it is saved."""

    def state(self, cursor: Cursor) -> dict[str, Any]:
        """Return the content of a checkpoint."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best": self.best,
            "best_state": self.best_state,
            "mean": self.mean,
            "mean_steps": self.mean_steps,
            "cursor": vars(cursor),
        }

    def load(self, state: dict[str, Any]) -> Cursor:
        """Load a checkpoint and return its cursor."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        device = next(self.model.parameters()).device
        self.best, self.mean_steps = state["best"], state.get("mean_steps", 0)
        # A mean without its steps is from a release that left out the norms: start it again.
        mean = state["mean"] if self.mean_steps else None
        self.mean = mean and {name: tensor.to(device) for name, tensor in mean.items()}
        self.best_state = state["best_state"]
        return Cursor(**state["cursor"])

    @torch.no_grad()
    def update_mean(self, decay: float | None) -> None:
        """Update the moving mean of the weights by one step; do nothing if `decay` is None.

        The n-th step keeps at most n / (n + 9) of the previous mean, so the first weights soon
        lose their influence.
        """
        if decay is None:
            return
        weights = _averaged(self.model)
        if self.mean is None:
            self.mean = {name: weight.clone() for name, weight in weights.items()}
        self.mean_steps += 1
        stays = min(decay, self.mean_steps / (self.mean_steps + 9))
        for name, weight in weights.items():
            self.mean[name].lerp_(weight, 1 - stays)

    @contextmanager
    def mean_weights(self) -> Iterator[None]:
        """Give the model the moving mean within the block, if there is one."""
        if self.mean is None:
            yield
            return
        own = {name: weight.clone() for name, weight in _averaged(self.model).items()}
        self.model.load_state_dict(self.mean, strict=False)  # other buffers have no mean
        try:
            yield
        finally:
            self.model.load_state_dict(own, strict=False)

    def norms(self) -> list[Tensor]:
        """Return the statistics of the batch norms, and their moving means."""
        own, mean = norm_statistics(self.model), self.mean or {}
        return [*own.values(), *(mean[name] for name in own if name in mean)]

    def keep_best(self) -> None:
        """Save a copy of the current weights as the best ones."""
        self.best = {k: v.detach().cpu().clone() for k, v in self.model.state_dict().items()}
        if self.saves_state:
            self.best_state = named_state(self.model, self.optimizer)


def _averaged(model: nn.Module) -> dict[str, Tensor]:
    """Return by name the tensors to average: the weights and the batch norms' statistics.

    The averaged weights have other activations than the last weights, so they need statistics that
    are averaged too.
    """
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    return norm_statistics(model) | weights


def norm_statistics(model: nn.Module) -> dict[str, Tensor]:
    """Return by name the running mean and variance of each batch norm."""
    return {
        f"{name}.{key}": buffer
        for name, module in model.named_modules()
        if isinstance(module, nn.BatchNorm1d)
        for key, buffer in module.named_buffers()
        if buffer.is_floating_point()
    }


def num_parameters(weights: dict[str, Tensor]) -> int:
    """Return how many numbers a model has learned, without those that are only stored with it."""
    learned = (t for name, t in weights.items() if name.rpartition(".")[2] not in _ONLY_KEPT)
    return sum(tensor.numel() for tensor in learned)
