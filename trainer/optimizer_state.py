"""An optimiser's state by the names of the weights that it belongs to.

Pure torch. Torch's own form numbers the weights in the order of its groups, which another version
of a model may have otherwise.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from trainer.optimizers import Together

SEPARATOR = "/"


def named_state(model: nn.Module, optimizer: Optimizer) -> dict[str, Tensor]:
    """Return a copy of the state, on the CPU, by `<weight>/<kind of number>`."""
    return {
        f"{name}{SEPARATOR}{key}": tensor.detach().cpu().clone()
        for part, names in _parts(model, optimizer)
        for index, state in part.state_dict()["state"].items()
        for name, (key, tensor) in ((names[index], item) for item in state.items())
        if tensor is not None
    }


def load_named_state(model: nn.Module, optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Take up a state of `named_state`; weights that it lacks begin with none."""
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
        old: Rows that the table had.
        now: Rows that it has.
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
