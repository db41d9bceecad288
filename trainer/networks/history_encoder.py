"""The interface of all encoders, which turn a history into a vector for each position.

Pure torch. Histories are padded at the end, and every encoder except the bidirectional one is
causal. So events never see padding, and no mask is needed.

Legend of shapes: B rows, L length, D width.
"""

import torch
from torch import Tensor, nn


class HistoryEncoder(nn.Module):
    """An encoder. Subclasses override `last` if they can compute it at lower cost."""

    def forward(self, embedded: Tensor) -> Tensor:
        """Return the encoding of each position: [B, L, D] -> [B, L, D]."""
        raise NotImplementedError

    def last(self, embedded: Tensor, lengths: Tensor) -> Tensor:
        """Return the encoding of each row's last position: [B, L, D], [B] -> [B, D]."""
        rows = torch.arange(len(embedded), device=embedded.device)
        encoded: Tensor = self(embedded)[rows, lengths - 1]
        return encoded
