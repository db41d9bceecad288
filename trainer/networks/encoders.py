"""Encoders of a history, by name.

Pure torch.

Legend of shapes: B rows, L length, D width.
"""

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

    def memory(self, embedded: Tensor) -> list[Tensor]:
        """Return each layer's state before each position: each [B, L + 1, D]."""
        states, hidden = [], embedded
        for weights in self.layers.all_weights:
            start = hidden.new_zeros((1, len(hidden), hidden.shape[2]))
            hidden, _ = torch.gru(
                hidden,
                start,
                weights,
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
