"""Self-attention over the whole history, with masked places to fill in.

Pure torch. Histories are padded behind; padding is masked.

Legend of shapes: B rows, L length, D width.
"""

from typing import Any

import torch
from torch import Tensor, nn

from trainer.attention import AttentionEncoder
from trainer.history_encoder import HistoryEncoder


class BidirectionalEncoder(HistoryEncoder):
    """Self-attention over all of a history, in which some places are masked and filled in.

    The next event is the masked place behind the history. Source: Sun et al. 2019 (BERT4Rec), with
    the norms before the layers; the first event of a row is never masked.
    """

    def __init__(self, *, width: int, max_length: int, **options: Any) -> None:
        """Make the layers.

        Args:
            width: D
            max_length: Longest history; one place more is for the mask.
            options: What else an `AttentionEncoder` takes.
        """
        super().__init__()
        self.mask_vector = nn.Parameter(torch.empty(width))  # [D]
        self.layers = AttentionEncoder(width=width, max_length=max_length + 1, **options)

    def fill_in(self, embedded: Tensor, masked: Tensor, lengths: Tensor) -> Tensor:
        """Return the encoding of each position, of masked ones made from the others alone.

        Args:
            embedded: [B, L, D], L at most `max_length` + 1.
            masked: [B, L] bool.
            lengths: [B] events of each row, masked ones included.

        Returns:
            [B, L, D]
        """
        layers = self.layers
        embedded = torch.where(masked.unsqueeze(-1), self.mask_vector, embedded)
        hidden = layers.placed(embedded)
        rotation = layers.rotation_to(hidden)
        is_there = torch.arange(hidden.shape[1], device=hidden.device) < lengths[:, None]  # [B, L]
        for block in layers.blocks:
            hidden = block(hidden, rotation, is_there)
        encoded: Tensor = layers.norm(hidden)
        return encoded

    def last(self, embedded: Tensor, lengths: Tensor) -> Tensor:
        """Return the encoding of the place behind each row: [B, L, D], [B] -> [B, D]."""
        behind = embedded.new_zeros((len(embedded), 1, embedded.shape[2]))
        longer = torch.cat([embedded, behind], dim=1)  # [B, L + 1, D]
        masked = torch.arange(longer.shape[1], device=embedded.device) == lengths[:, None]
        encoded = self.fill_in(longer, masked, lengths + 1)
        return encoded[torch.arange(len(embedded), device=embedded.device), lengths]
