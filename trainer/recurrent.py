"""A recurrent encoder.

Pure torch. Legend of shapes: B rows, L length, D width.
"""

import torch
from torch import Tensor, nn

from trainer.history_encoder import HistoryEncoder


class RecurrentEncoder(HistoryEncoder):
    """Gated recurrent units, one layer over the other. Source: Hidasi et al. 2016 (GRU4Rec)."""

    def __init__(self, *, width: int, blocks: int, dropout: float) -> None:
        """Make the layers.

        Args:
            width: D
            blocks: Layers.
            dropout: Share of values dropped in training, of the input and between the layers.
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
