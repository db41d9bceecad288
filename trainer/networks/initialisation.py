"""Initialisation of all weights of a network, by named rules."""

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

RULES: dict[str, Callable[[Tensor], Tensor]] = {
    "xavier_uniform": nn.init.xavier_uniform_,
    "xavier_normal": nn.init.xavier_normal_,
    "kaiming_uniform": partial(nn.init.kaiming_uniform_, nonlinearity="relu"),
    "kaiming_normal": partial(nn.init.kaiming_normal_, nonlinearity="relu"),
}
"""Source: Glorot & Bengio 2010, eq. 12 and 16; He et al. 2015, eq. 10."""


def initialise(module: nn.Module, *, init: str, std: float, embedding_std: float) -> None:
    """Initialise all weights: dense layers and filters by the named rule.

    Embeddings, position vectors and the mask vector are drawn from N(0, embedding_std). Norms start
    as the identity, biases at zero. The rule is applied to each gate of a recurrent layer.

    Args:
        module: The network.
        init: A name in `RULES`, or `normal` for N(0, std).
        std: Standard deviation for `normal`.
        embedding_std: Standard deviation of embeddings, position vectors and the mask vector.
    """
    rule = partial(nn.init.normal_, std=std) if init == "normal" else RULES[init]
    looked_up = {
        id(inner.weight)
        for inner in module.modules()
        if isinstance(inner, nn.Embedding | nn.EmbeddingBag)
    }
    for name, parameter in module.named_parameters():
        last = name.rpartition(".")[2]
        if last.startswith("bias"):
            nn.init.zeros_(parameter)
        elif "norm" in name:
            nn.init.ones_(parameter)
        elif id(parameter) in looked_up or last in ("position", "mask_vector"):
            nn.init.normal_(parameter, std=embedding_std)
        elif last.startswith(("weight_ih", "weight_hh")):
            for gate in parameter.chunk(3):
                rule(gate)
        elif parameter.dim() > 1:
            rule(parameter)
