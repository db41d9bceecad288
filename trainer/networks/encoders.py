"""Encoders of a history, by name.

Pure torch.

Legend of shapes: B rows, L length, D width, K weighted sums, M changed rows, T longest rest.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.networks.attention import AttentionEncoder, BidirectionalEncoder
from trainer.networks.convolution import CaserEncoder, DilatedEncoder
from trainer.networks.history_encoder import Changed, HistoryEncoder


class MeanEncoder(HistoryEncoder):
    """The mean of all vectors up to each position: the baseline for the other encoders."""

    def __init__(self, *, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)

    def forward(self, embedded: Tensor) -> Tensor:
        """Return the encoding of each position: [B, L, D] -> [B, L, D]."""
        numbers = torch.arange(1, embedded.shape[1] + 1, device=embedded.device)  # [L]
        encoded: Tensor = self.dropout(embedded).cumsum(1) / numbers[:, None]
        return encoded

    def gradient_times_input(self, embedded: Tensor, lengths: Tensor, weights: Tensor) -> Tensor:
        """See `HistoryEncoder`."""
        products = torch.bmm(weights, embedded.transpose(1, 2))  # [B, K, L]
        places = torch.arange(embedded.shape[1], device=embedded.device)
        products = products.masked_fill((places >= lengths[:, None])[:, None], 0)
        return products / lengths[:, None, None]

    def memory(self, embedded: Tensor) -> list[Tensor]:
        """Return the sums of the vectors before each position, as one [B, L + 1, D]."""
        return [F.pad(embedded.cumsum(1), (0, 0, 1, 0))]

    def last_of_changed(self, memory: list[Tensor], changed: Changed) -> Tensor:
        """See `HistoryEncoder`; for scoring, without dropout."""
        before = memory[0][changed.owner, changed.shared]  # [M, D]
        places = torch.arange(changed.rest.shape[1], device=before.device)  # [T]
        is_there = (places < changed.lengths[:, None]).to(before.dtype)  # [M, T]
        added = torch.bmm(is_there[:, None], changed.rest)[:, 0]  # [M, D]
        encoded: Tensor = (before + added) / (changed.shared + changed.lengths)[:, None]
        return encoded


def build_encoder(
    kind: str,
    *,
    width: int,
    blocks: int,
    heads: int,
    feedforward_factor: int,
    dropout: float,
    history_length: int,
    positions: str,
    gated: bool,
    kernel_size: int,
    dilations: tuple[int, ...],
    window: int,
    vertical_filters: int,
    horizontal_filters: int,
) -> HistoryEncoder:
    """Return the encoder of a name; each kind uses only the arguments that it needs.

    It is long only because each argument takes a line here and above.

    Raises:
        ValueError: When there is no such encoder.
    """
    if kind in ("attention", "bidirectional"):
        made = AttentionEncoder if kind == "attention" else BidirectionalEncoder
        return made(
            width=width,
            blocks=blocks,
            heads=heads,
            feedforward_factor=feedforward_factor,
            dropout=dropout,
            max_length=history_length,
            positions=positions,
            is_gated=gated,
        )
    if kind == "gru":
        return RecurrentEncoder(width=width, blocks=blocks, dropout=dropout)
    if kind == "cnn":
        return DilatedEncoder(
            width=width,
            blocks=blocks,
            kernel_size=kernel_size,
            dilations=tuple(dilations),
            dropout=dropout,
        )
    if kind == "caser":
        return CaserEncoder(
            width=width,
            window=window,
            vertical_filters=vertical_filters,
            horizontal_filters=horizontal_filters,
            dropout=dropout,
        )
    if kind == "mean":
        return MeanEncoder(dropout=dropout)
    raise ValueError(
        f"encoder={kind!r} is unknown; use attention, bidirectional, gru, cnn, caser or mean"
    )


class RecurrentEncoder(HistoryEncoder):
    """Stacked layers of gated recurrent units. Source: Hidasi et al. 2016 (GRU4Rec)."""

    def __init__(self, *, width: int, blocks: int, dropout: float) -> None:
        """Make the layers.

        Args:
            width: D
            blocks: Number of layers.
            dropout: Share of values dropped in training, in the input and between the layers.
        """
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.GRU(
            width, width, num_layers=blocks, batch_first=True, dropout=dropout * (blocks > 1)
        )
        self.out = nn.Linear(width, width)

    def forward(self, embedded: Tensor) -> Tensor:
        """Return the encoding of each position: [B, L, D] -> [B, L, D]."""
        hidden, _ = self.layers(self.dropout(embedded))
        encoded: Tensor = self.out(hidden)
        return encoded

    def last(self, embedded: Tensor, lengths: Tensor) -> Tensor:
        """Return the encoding of each row's last position: [B, L, D], [B] -> [B, D]."""
        hidden, _ = self.layers(self.dropout(embedded))
        rows = torch.arange(len(embedded), device=embedded.device)
        encoded: Tensor = self.out(hidden[rows, lengths - 1])
        return encoded

    def gradient_times_input(self, embedded: Tensor, lengths: Tensor, weights: Tensor) -> Tensor:
        """See `HistoryEncoder`; for scoring, without dropout.

        All sums go backwards through time together, and the derivatives of the gates, which are
        the same for all of them, are computed once.
        """
        states = self.memory(embedded)
        layers, below = [], embedded
        for names, after in zip(self.layers.all_weights, states, strict=True):
            layers.append(_slopes(below, after, *names))
            below = after[:, 1:]
        rows, count, width = weights.shape
        begins = weights @ self.out.weight  # [B, K, D]
        gradients = [torch.zeros_like(begins) for _ in layers]
        carried = []
        for place in range(embedded.shape[1] - 1, -1, -1):
            above = begins * (lengths == place + 1)[:, None, None]  # [B, K, D]
            for layer in range(len(layers) - 1, -1, -1):
                one, gradient = layers[layer], gradients[layer] + above
                by_gate = gradient[:, :, None] * one.states[:, place, None]  # [B, K, 3, D]
                if layer == 0:
                    carried.append(torch.bmm(gradient, one.products[:, place, :, None])[..., 0])
                else:
                    by_input = gradient[:, :, None] * one.inputs[:, place, None]
                    above = by_input.view(rows, count, 3 * width) @ one.of_input
                gradients[layer] = torch.baddbmm(
                    gradient * one.stays[:, place, None],
                    by_gate.view(rows, count, 3 * width),
                    one.of_state.expand(rows, -1, -1),
                )
        return torch.stack(carried[::-1], dim=2)

    def memory(self, embedded: Tensor) -> list[Tensor]:
        """Return each layer's state before each position: each [B, L + 1, D]."""
        states, hidden = [], embedded
        for weights in self.layers.all_weights:
            start = hidden.new_zeros((1, len(hidden), hidden.shape[2]))
            hidden, _ = torch.gru(
                hidden,
                start,
                list[Tensor](weights),
                has_biases=True,
                num_layers=1,
                dropout=0.0,
                train=False,
                bidirectional=False,
                batch_first=True,
            )
            states.append(F.pad(hidden, (0, 0, 1, 0)))
        return states

    def last_of_changed(self, memory: list[Tensor], changed: Changed) -> Tensor:
        """See `HistoryEncoder`; for scoring, without dropout."""
        start = torch.stack([states[changed.owner, changed.shared] for states in memory])
        hidden, _ = self.layers(changed.rest, start)  # [M, T, D]
        rows = torch.arange(len(hidden), device=hidden.device)
        encoded: Tensor = self.out(hidden[rows, changed.lengths - 1])
        return encoded


class _Slopes(NamedTuple):
    """Derivatives in a layer of gated recurrent units at each position, see `torch.nn.GRU`."""

    states: Tensor
    """[B, L, 3, D] by what the reset, update and new gate add up from the state before."""
    inputs: Tensor
    """[B, L, 3, D] by what they add up from the input."""
    stays: Tensor
    """[B, L, D] by the state before, where it stays."""
    products: Tensor
    """[B, L, D] `inputs` times what they add up from the input, summed over the gates."""
    of_state: Tensor
    """[3 D, D]"""
    of_input: Tensor
    """[3 D, D]"""


def _slopes(
    below: Tensor, states: Tensor, of_input: Tensor, of_state: Tensor, *biases: Tensor
) -> _Slopes:
    """Return the derivatives of each state by what it depends on.

    Args:
        below: [B, L, D] input of the layer.
        states: [B, L + 1, D] before each position, and the last.
        of_input: [3 D, D]
        of_state: [3 D, D]
        biases: [3 D] of either.
    """
    shape = (*below.shape[:2], 3, below.shape[2])
    before = states[:, :-1]  # [B, L, D]
    read = (below @ of_input.T).view(shape)  # [B, L, 3, D]
    held = F.linear(before, of_state, biases[1]).view(shape)
    added = read + biases[0].view(shape[2:])
    reset = torch.sigmoid(added[:, :, 0] + held[:, :, 0])
    update = torch.sigmoid(added[:, :, 1] + held[:, :, 1])
    new = torch.tanh(added[:, :, 2] + reset * held[:, :, 2])
    by_new = (1 - update) * (1 - new * new)
    by_reset = by_new * held[:, :, 2] * reset * (1 - reset)
    by_update = (before - new) * update * (1 - update)
    inputs = torch.stack([by_reset, by_update, by_new], dim=2)
    return _Slopes(
        torch.stack([by_reset, by_update, by_new * reset], dim=2),
        inputs,
        update,
        (inputs * read).sum(2),
        of_state,
        of_input,
    )
