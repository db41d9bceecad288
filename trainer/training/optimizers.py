"""Optimisers and learning rates, by their names in the configuration.

Pure torch. Legend of shapes: V rows of a table, R rows in a sparse gradient, D width.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adagrad, Adam, AdamW, Optimizer

_NOT_DECAYED = ("position", "mask_vector")
_TABLES_OVER_DENSE = 10.0
_EPS = 1e-10
SEPARATOR = "/"


class RowwiseAdagrad(Optimizer):
    """Adagrad with one number for each row of a table: the sum of its mean squared gradients.

    A sparse gradient changes only the rows that it contains. A row with zero gradient never
    changes. Source: Duchi et al. 2011, with the mean of each row's squares in the sum.
    """

    def __init__(self, params: Iterable[Tensor], lr: float) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Take one step."""
        assert closure is None
        for group in self.param_groups:
            for table in group["params"]:
                if table.grad is not None:
                    self._step(table, table.grad, group["lr"])

    def _step(self, table: Tensor, grad: Tensor, lr: float) -> None:
        state = self.state[table]
        if not state:
            state["sum"] = torch.zeros(len(table), device=table.device)  # [V]
        if not grad.is_sparse:
            state["sum"] += grad.float().square().mean(1)
            table.sub_(lr * grad / (state["sum"].sqrt() + _EPS)[:, None])
            return
        grad = grad.coalesce()
        rows, values = grad.indices()[0], grad.values()  # [R], [R, D]
        state["sum"].index_add_(0, rows, values.float().square().mean(1))
        scale = lr / (state["sum"][rows].sqrt() + _EPS)  # [R]
        table.index_add_(0, rows, values * scale[:, None], alpha=-1)


class Together(Optimizer):
    """Several optimisers as one: they step together and are saved together."""

    def __init__(self, parts: list[Optimizer]) -> None:
        self.parts = parts
        self.defaults: dict[str, Any] = {}

    @property
    def param_groups(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """All groups of all parts."""
        return [group for part in self.parts for group in part.param_groups]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients."""
        for part in self.parts:
            part.zero_grad(set_to_none)

    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Take one step with each part."""
        assert closure is None
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """Return the states of all parts."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the states of all parts."""
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)


def make_optimizer(
    model: nn.Module,
    *,
    kind: str,
    learning_rate: float,
    weight_decay: float,
    decay_all: bool,
    betas: tuple[float, float],
    momentum: float,
    embeddings: str,
    embedding_learning_rate: float | None,
) -> Optimizer:
    """Return the optimiser for all weights of a model; for the arguments see `train.optimizer`."""
    tables = _table_names(model)
    by_row = [p for n, p in model.named_parameters() if n in tables and embeddings != "same"]
    is_by_row = {id(parameter) for parameter in by_row}
    rest = [(n, p) for n, p in model.named_parameters() if id(p) not in is_by_row]
    decayed = [p for n, p in rest if decay_all or _is_decayed(n, p, tables)]
    is_decayed = {id(parameter) for parameter in decayed}
    groups = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": [p for _, p in rest if id(p) not in is_decayed], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    parts: list[Optimizer] = []
    if groups:  # the encoder `mean` has no weights besides its table
        parts.append(_dense(kind, groups, learning_rate, betas, momentum))
    if by_row:
        table_rate = embedding_learning_rate or _TABLES_OVER_DENSE * learning_rate
        parts.append(RowwiseAdagrad(by_row, table_rate))
    return _with_base_rates(parts[0] if len(parts) == 1 else Together(parts))


def _dense(
    kind: str,
    groups: list[dict[str, Any]],
    learning_rate: float,
    betas: tuple[float, float],
    momentum: float,
) -> Optimizer:
    if kind == "adamw":
        return AdamW(groups, lr=learning_rate, betas=betas, fused=True)
    if kind == "adam":
        return Adam(groups, lr=learning_rate, betas=betas, fused=True)
    if kind == "sgd":
        return SGD(groups, lr=learning_rate, momentum=momentum, fused=True)
    if kind == "adagrad":
        return Adagrad(groups, lr=learning_rate)
    raise ValueError(f"optimizer.kind={kind!r} is unknown; use adamw, adam, sgd or adagrad")


def set_rates(optimizer: Optimizer, scale: float) -> None:
    """Set every group's learning rate to its configured one times a scale."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * scale


def rate_scale(step: int, *, total_steps: int, warmup_steps: int, decay: str) -> float:
    """Return a step's factor of the configured learning rate: linear warm-up times decay.

    Args:
        step: Number of the step, from 0.
        total_steps: Number of steps of the whole training.
        warmup_steps: Number of steps until the full rate.
        decay: `cosine`; with any other name the rate stays constant after the warm-up.
    """
    warm = min(1.0, (step + 1) / max(warmup_steps, 1))
    if decay != "cosine":
        return warm
    done = min(1.0, step / max(total_steps, 1))
    return warm * 0.5 * (1 + math.cos(math.pi * done))


def clip_gradients(parameters: Iterable[Tensor], largest: float) -> None:
    """Scale all gradients, sparse ones too, so that their total norm is at most `largest`."""
    grads = []
    for parameter in parameters:
        if parameter.grad is not None and parameter.grad.is_sparse:
            parameter.grad = parameter.grad.coalesce()
            grads.append(parameter.grad.values())
        elif parameter.grad is not None:
            grads.append(parameter.grad)
    norm = nn.utils.get_total_norm(grads)
    nn.utils.clip_grads_with_norm_(_holders(grads), largest, norm)


def _holders(grads: list[Tensor]) -> list[Tensor]:
    """Return tensors with the given gradients, because torch's clipping needs tensors."""
    holders = []
    for grad in grads:
        holder = torch.empty_like(grad)
        holder.grad = grad
        holders.append(holder)
    return holders


def _table_names(model: nn.Module) -> set[str]:
    tables = (nn.Embedding, nn.EmbeddingBag)
    return {f"{n}.weight" for n, inner in model.named_modules() if isinstance(inner, tables)}


def _is_decayed(name: str, parameter: Tensor, tables: set[str]) -> bool:
    return parameter.dim() > 1 and name not in tables and not name.endswith(_NOT_DECAYED)


def _with_base_rates(optimizer: Optimizer) -> Optimizer:
    for group in optimizer.param_groups:
        group["base_lr"] = group["lr"]
    return optimizer


def named_state(model: nn.Module, optimizer: Optimizer) -> dict[str, Tensor]:
    """Return a copy of the state on the CPU, by `<name of the weight>/<name in its state>`."""
    return {
        f"{name}{SEPARATOR}{key}": tensor.detach().cpu().clone()
        for part, names in _parts(model, optimizer)
        for index, state in part.state_dict()["state"].items()
        for name, (key, tensor) in ((names[index], item) for item in state.items())
        if tensor is not None
    }


def load_named_state(model: nn.Module, optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Load a state from `named_state`; weights that it lacks start without state."""
    found: dict[str, dict[str, Tensor]] = {}
    for path, tensor in tensors.items():
        name, _, key = path.rpartition(SEPARATOR)
        found.setdefault(name, {})[key] = tensor
    for part, names in _parts(model, optimizer):
        own = part.state_dict()
        for index, name in enumerate(names):
            if name in found:
                own["state"][index] = found[name]
        part.load_state_dict(own)


def grown(state: Tensor, old: int, now: int) -> Tensor:
    """Return a table's state with zeros for new rows; a single number stays as it is.

    Args:
        state: [old, ...], or a number for the whole table.
        old: Number of rows that the table had.
        now: Number of rows that it has now.
    """
    if state.dim() == 0 or len(state) != old:
        return state
    return torch.cat([state, state.new_zeros((now - old, *state.shape[1:]))])


def _parts(model: nn.Module, optimizer: Optimizer) -> Iterator[tuple[Optimizer, list[str]]]:
    """Yield each optimiser with the names of its weights in the order of its state."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for part in optimizer.parts if isinstance(optimizer, Together) else [optimizer]:
        groups = part.param_groups
        yield part, [names[id(weight)] for group in groups for weight in group["params"]]
