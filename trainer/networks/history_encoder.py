"""What every encoder of a history is: it makes a vector of each position of what is before it.

Pure torch. Histories are padded behind, and every encoder but the bidirectional one is causal, so
that padding is never seen by an event and needs no mask.

Legend of shapes: B rows, L length, D width.
"""

import torch
from torch import Tensor, nn


class HistoryEncoder(nn.Module):
    """An encoder. One that can work out the last position alone at a lower cost says how."""

    def forward(self, embedded: Tensor) -> Tensor:
        """Return the encoding of each position: [B, L, D] -> [B, L, D]."""
        raise NotImplementedError

    def last(self, embedded: Tensor, lengths: Tensor) -> Tensor:
        """Return the encoding of each row's last position: [B, L, D], [B] -> [B, D]."""
        rows = torch.arange(len(embedded), device=embedded.device)
        encoded: Tensor = self(embedded)[rows, lengths - 1]
        return encoded
