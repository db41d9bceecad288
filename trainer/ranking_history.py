"""What ranking models make of the items before an impression.

Pure torch.

Legend of shapes: B rows, L history length, I width of an item's vectors together.
"""

import torch
from torch import Tensor, nn


def mean_of_history(events: Tensor, is_there: Tensor) -> Tensor:
    """Return the mean of a history's vectors, zero where there are none.

    Args:
        events: [B, L, I]
        is_there: [B, L] bool

    Returns:
        [B, I]
    """
    mask = is_there.unsqueeze(-1).to(events.dtype)  # [B, L, 1]
    return (events * mask).sum(1) / mask.sum(1).clamp(min=1)


class TargetAttention(nn.Module):
    """A history's sum, each event weighted by what it has to do with the candidate.

    The weights come from a small network over both vectors, their difference and their product,
    and are not normalised: their sum says how much of the history speaks for the candidate.
    Source: Zhou et al. 2018, eq. 3 and figure 2; the product of elements stands for the outer one,
    and ReLU for Dice.
    """

    def __init__(self, *, inputs: int, inner_width: int) -> None:
        super().__init__()
        self.inner = nn.Linear(4 * inputs, inner_width)
        self.outer = nn.Linear(inner_width, 1)

    def weights(self, events: Tensor, candidate: Tensor, is_there: Tensor) -> Tensor:
        """Return each event's weight, 0 for padding: [B, L, I], [B, I], [B, L] -> [B, L]."""
        beside = candidate[:, None].expand_as(events)  # [B, L, I]
        both = torch.cat([events, beside, events - beside, events * beside], dim=-1)  # [B, L, 4 I]
        weights: Tensor = self.outer(torch.relu(self.inner(both))).squeeze(-1)  # [B, L]
        return weights * is_there

    def forward(self, events: Tensor, candidate: Tensor, is_there: Tensor) -> Tensor:
        """Return the weighted sum: [B, L, I], [B, I], [B, L] -> [B, I]."""
        weights = self.weights(events, candidate, is_there)  # [B, L]
        return torch.bmm(weights[:, None], events).squeeze(1)
