"""A blend: the weighted sum of several models' scores, brought to one scale for each user.

Counts, cosines and dot products are on scales of their own, and a network's spread differs from
user to user. So each member's scores of a user lose their mean over the catalogue and are divided
by their standard deviation before they are added (a member that says the same of all items adds
nothing). Unlike ranks or probabilities this keeps how far an item stands out, and it is linear:
the parts that events have in the members' scores add up to those in the blend's.

Legend of shapes: B rows, V catalogue, K recommended items, L longest history.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from conf.contract import NUM_RESERVED
from trainer.data.columns import Ragged
from trainer.models.scorer import Scorer

NEURAL = "neural"


@dataclass(frozen=True)
class Hybrid:
    """Members and their weights; those of weight 0 are not asked."""

    members: Mapping[str, Scorer]
    blend: Mapping[str, float]
    """Weights by name, which add up to 1."""
    device: str | torch.device = "cpu"

    def scores(self, histories: Ragged, rows: np.ndarray) -> Tensor:
        """Return [B, V] float32."""
        asked = self.asked()
        scores = [standard(m.scores(histories, rows))[0].to(self.device) for _, m in asked]
        return weighted_sum(scores, [self.blend[name] for name, _ in asked])

    def contributions(self, histories: Ragged, rows: np.ndarray, recommended: Tensor) -> Tensor:
        """Return the weighted sum of the members' parts: [B, K, L]."""
        total = torch.zeros((), device=self.device)
        for name, member in self.asked():
            with torch.no_grad():
                _, spread = standard(member.scores(histories, rows))  # [B, 1]
            parts = member.contributions(histories, rows, recommended)  # [B, K, L]
            share = self.blend[name] / spread.where(spread > 0, torch.inf)  # [B, 1]
            total = total + (parts * share[..., None]).to(self.device, torch.float32)
        return total

    @property
    def unknown(self) -> np.ndarray | None:
        """See `trainer.models.scorer.Scorer`: what no member knows."""
        each = [member.unknown for _, member in self.asked()]
        known = [own for own in each if own is not None]
        return np.logical_and.reduce(known) if len(known) == len(each) else None

    def to(self, device: torch.device) -> "Hybrid":
        """Return the same blend with its members on the device."""
        members = {name: member.to(device) for name, member in self.members.items()}
        return Hybrid(members, self.blend, device)

    def asked(self) -> list[tuple[str, Scorer]]:
        """Return the members that have a weight, by name."""
        return [(name, member) for name, member in self.members.items() if self.blend[name] > 0]


def weighted_sum(scores: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Return the sum of members' scores, of one scale, by their weights: [B, V].

    A member without a score for an item adds 0, its mean; an item without any keeps -inf.
    """
    unknown = torch.stack([own.isneginf() for own in scores]).all(0)
    parts = [own.masked_fill(own.isneginf(), 0) * w for own, w in zip(scores, weights, strict=True)]
    return torch.stack(parts).sum(0).masked_fill(unknown, -torch.inf)


def standard(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Return a user's scores with mean 0 and deviation 1 over the catalogue, and the deviation.

    Args:
        scores: [B, V]; those of the reserved numbers do not count, nor does -inf, which stays.

    Returns:
        [B, V] float32 and [B, 1]; zeros where all items have the same score.
    """
    items = scores[:, NUM_RESERVED:]
    is_out = scores.isneginf()  # [B, V]
    if bool(is_out[:, NUM_RESERVED:].any()):
        # An item without a score is without one for everybody.
        items = items[:, ~is_out[:, NUM_RESERVED:].any(0)]
    spread, mean = torch.std_mean(items, dim=1, correction=0, keepdim=True)  # [B, 1], [B, 1]
    says_nothing = items.amax(1, keepdim=True) == items.amin(1, keepdim=True)  # [B, 1]
    spread = spread.masked_fill(says_nothing, 0)
    scaled = (scores - mean) / spread.where(spread > 0, torch.inf)  # [B, V]
    return scaled.masked_fill(is_out, -torch.inf).float(), spread
