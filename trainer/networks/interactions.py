"""Bodies of ranking models: how the vectors of the fields interact.

Pure torch. Each body takes the vectors of all fields. It returns a representation, which is the
input of each label's head, and a term that is added directly to the heads' logits.

Legend of shapes: B rows, F fields, W width, I = F * W, R representation, T labels, H heads.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Crossed(NamedTuple):
    """The output of a body."""

    representation: Tensor
    """[B, R]"""
    direct: Tensor
    """[B, T], added to the logits."""


class Shape(NamedTuple):
    """The settings of a body; `train.ranking` explains the numbers."""

    num_fields: int
    dense_places: Sequence[int]
    """Positions of the fields that are made of numbers."""
    width: int
    num_labels: int
    hidden: Sequence[int]
    second_hidden: Sequence[int]
    dropout: float
    batch_norm: bool
    cross_layers: int
    heads: int
    gate_width: int


class DeepNetwork(nn.Module):
    """Dense layers with ReLU, optionally with batch normalisation and dropout."""

    def __init__(
        self, inputs: int, hidden: Sequence[int], *, dropout: float, batch_norm: bool
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        self.out_width = inputs
        for width in hidden:
            layers.append(nn.Linear(self.out_width, width))
            if batch_norm:
                layers.append(_Normed(width))
            layers.append(nn.ReLU())
            if dropout > 0:
                layers.append(nn.Dropout(dropout))
            self.out_width = width
        self.layers = nn.Sequential(*layers)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the output of the last layer: [B, in] -> [B, out]."""
        outputs: Tensor = self.layers(inputs)
        return outputs


class _Normed(nn.Module):
    """Batch normalisation; in training, a single row is scaled by the running statistics."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(width)

    def forward(self, inputs: Tensor) -> Tensor:
        norm = self.norm
        if self.training and len(inputs) < 2:
            assert norm.running_mean is not None and norm.running_var is not None
            scaled = (inputs - norm.running_mean) / (norm.running_var + norm.eps).sqrt()
            return scaled * norm.weight + norm.bias
        outputs: Tensor = norm(inputs)
        return outputs


class Apart(nn.Module):
    """No interaction: only the linear part remains, as in logistic regression."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.num_labels, self.out_width = shape.num_labels, 1

    def forward(self, fields: Tensor) -> Crossed:
        """Return zeros for fields [B, F, W]."""
        rows = len(fields)
        return Crossed(fields.new_zeros(rows, 1), fields.new_zeros(rows, self.num_labels))


class WideDeep(nn.Module):
    """A deep network, to which the model adds a linear part. Source: Cheng et al. 2016."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.num_labels = shape.num_labels
        self.deep = _deep(shape, shape.num_fields * shape.width, shape.hidden)
        self.out_width = self.deep.out_width

    def forward(self, fields: Tensor) -> Crossed:
        """Return the network's last layer for fields [B, F, W]."""
        hidden = self.deep(fields.flatten(1))  # [B, R]
        return Crossed(hidden, hidden.new_zeros(len(hidden), self.num_labels))


class DeepFM(WideDeep):
    """A deep network and all pairwise products. Source: Guo et al. 2017, eq. 1 and 2."""

    def forward(self, fields: Tensor) -> Crossed:
        """Return the network's last layer, with the sum of the pairwise products as `direct`."""
        crossed = super().forward(fields)
        return Crossed(crossed.representation, crossed.direct + pairwise_sum(fields)[:, None])


class CrossDeep(nn.Module):
    """Cross layers in parallel with a deep network. Source: Wang et al. 2021, eq. 1."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        inputs = shape.num_fields * shape.width
        self.num_labels = shape.num_labels
        self.cross = nn.ModuleList(nn.Linear(inputs, inputs) for _ in range(shape.cross_layers))
        self.deep = _deep(shape, inputs, shape.hidden)
        self.out_width = inputs + self.deep.out_width

    def forward(self, fields: Tensor) -> Crossed:
        """Return both last layers for fields [B, F, W], concatenated."""
        start = fields.flatten(1)  # [B, I]
        hidden = start
        for layer in self.cross:
            hidden = start * layer(hidden) + hidden  # [B, I]
        both = torch.cat([hidden, self.deep(start)], dim=1)  # [B, R]
        return Crossed(both, both.new_zeros(len(both), self.num_labels))


class DotProducts(nn.Module):
    """Dot products of all fields, after a network has merged those of numbers into one.

    Source: Naumov et al. 2019, section 2.2.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.num_labels, self.dense = shape.num_labels, list(shape.dense_places)
        self.looked_up = [at for at in range(shape.num_fields) if at not in self.dense]
        width, fields = shape.width, len(self.looked_up) + bool(self.dense)
        if self.dense:
            self.bottom = _deep(shape, len(self.dense) * width, (2 * width, width))
        self.register_buffer("pairs", torch.triu_indices(fields, fields, 1), persistent=False)
        inputs = fields * (fields - 1) // 2 + (width if self.dense else 0)
        self.top = _deep(shape, inputs, shape.hidden)
        self.out_width = self.top.out_width

    def forward(self, fields: Tensor) -> Crossed:
        """Return the top network's last layer for fields [B, F, W]."""
        beside: list[Tensor] = []
        if self.dense:
            dense = self.bottom(fields[:, self.dense].flatten(1))  # [B, W]
            fields = torch.cat([fields[:, self.looked_up], dense[:, None]], dim=1)
            beside = [dense]
        first, second = self.get_buffer("pairs")
        products = torch.bmm(fields, fields.transpose(1, 2))[:, first, second]  # [B, pairs]
        hidden = self.top(torch.cat([*beside, products], dim=1))  # [B, R]
        return Crossed(hidden, hidden.new_zeros(len(hidden), self.num_labels))


class TwoStreams(nn.Module):
    """Two networks with gated inputs, whose outputs are multiplied head by head.

    Source: Mao et al. 2023, with its stream-specific feature selection and its multi-head bilinear
    fusion. The gates are computed from the vectors of user and item, the first two fields. Each
    label has separate products.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        inputs = shape.num_fields * shape.width
        self.heads, self.width = shape.heads, shape.width
        self.first = _deep(shape, inputs, shape.hidden)
        self.second = _deep(shape, inputs, shape.second_hidden or shape.hidden)
        self.is_gated = shape.gate_width > 0
        if self.is_gated:
            self.user_gate = _gate(shape.width, shape.gate_width, inputs)
            self.item_gate = _gate(shape.width, shape.gate_width, inputs)
        ends = self.first.out_width, self.second.out_width
        parts = (shape.num_labels, shape.heads, ends[0] // shape.heads, ends[1] // shape.heads)
        self.products = nn.Parameter(torch.empty(parts))  # [T, H, R1 / H, R2 / H]
        self.out_width = sum(ends)

    def forward(self, fields: Tensor) -> Crossed:
        """Return both networks' last layers for fields [B, F, W], and their products."""
        flat = fields.flatten(1)  # [B, I]
        one = two = flat
        if self.is_gated:
            one = flat * 2 * torch.sigmoid(self.user_gate(fields[:, 0]))  # [B, I]
            two = flat * 2 * torch.sigmoid(self.item_gate(fields[:, 1]))  # [B, I]
        first, second = self.first(one), self.second(two)  # [B, R1], [B, R2]
        left = first.view(len(first), self.heads, -1)  # [B, H, R1 / H]
        right = second.view(len(second), self.heads, -1)  # [B, H, R2 / H]
        products = torch.einsum("bhi,thij,bhj->bt", left, self.products, right)  # [B, T]
        return Crossed(torch.cat([first, second], dim=1), products)


BODIES: dict[str, Callable[[Shape], nn.Module]] = {
    "linear": Apart,
    "wide_deep": WideDeep,
    "deepfm": DeepFM,
    "dcnv2": CrossDeep,
    "dlrm": DotProducts,
    "finalmlp": TwoStreams,
}
"""Bodies by the name in `train.ranking.interaction`."""
WITH_LINEAR_PART = ("linear", "wide_deep", "deepfm")
"""Bodies to which the model adds a linear part."""


def pairwise_sum(fields: Tensor) -> Tensor:
    """Return the sum of the dot products of all pairs of fields: [B, F, W] -> [B].

    Source: Rendle 2010, lemma 3.1.
    """
    return 0.5 * (fields.sum(1).square() - fields.square().sum(1)).sum(1)


def _deep(shape: Shape, inputs: int, hidden: Sequence[int]) -> DeepNetwork:
    return DeepNetwork(inputs, hidden, dropout=shape.dropout, batch_norm=shape.batch_norm)


def _gate(inputs: int, inner: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, inner), nn.ReLU(), nn.Linear(inner, outputs))
