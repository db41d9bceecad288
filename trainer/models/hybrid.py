"""A blend: the weighted sum of several models' scores, scaled for each user.

Counts, cosines and dot products have different scales, and a network's spread differs from user to
user. So each member's scores of a user are standardised before they are added: minus their mean
over the catalogue, divided by their standard deviation. A member that gives all items the same
score adds nothing. Unlike ranks or probabilities, this keeps how far an item is above the others.
It is also linear: the contributions to the members' scores add up to those to the blend's score.

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
    """Members and their weights; members with weight 0 are not used."""

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
        """Return the weighted sum of the members' contributions: [B, K, L]."""
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
        """See `trainer.models.scorer.Scorer`: items that no member knows."""
        each = [member.unknown for _, member in self.asked()]
        known = [own for own in each if own is not None]
        return np.logical_and.reduce(known) if len(known) == len(each) else None

    def to(self, device: torch.device) -> "Hybrid":
        """Return the same blend with its members on the device."""
        members = {name: member.to(device) for name, member in self.members.items()}
        return Hybrid(members, self.blend, device)

    def asked(self) -> list[tuple[str, Scorer]]:
        """Return the members with a weight above 0, with their names."""
        return [(name, member) for name, member in self.members.items() if self.blend[name] > 0]


def weighted_sum(scores: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Return the weighted sum of the members' standardised scores: [B, V].

    A member without a score for an item adds 0, its mean; an item without any score keeps -inf.
    """
    unknown = torch.stack([own.isneginf() for own in scores]).all(0)
    parts = [own.masked_fill(own.isneginf(), 0) * w for own, w in zip(scores, weights, strict=True)]
    return torch.stack(parts).sum(0).masked_fill(unknown, -torch.inf)


def standard(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Return users' scores, scaled to mean 0 and standard deviation 1, and the deviation before.

    Args:
        scores: [B, V]; mean and deviation ignore the reserved numbers and -inf, which stays.

    Returns:
        [B, V] float32 and [B, 1]; zeros for a user whose items all have the same score.
    """
    items = scores[:, NUM_RESERVED:]
    is_out = scores.isneginf()  # [B, V]
    if bool(is_out[:, NUM_RESERVED:].any()):
        # An item without a score for one user has none for any user.
        items = items[:, ~is_out[:, NUM_RESERVED:].any(0)]
    if not items.shape[1]:  # the model knows no item
        return scores.float(), scores.new_zeros((len(scores), 1))
    # The figures of a single row would be added up in parts, one for each thread.
    rows = items.repeat(2, 1) if len(items) == 1 else items
    spread, mean = (  # [B, 1], [B, 1]
        found[: len(items)] for found in torch.std_mean(rows, dim=1, correction=0, keepdim=True)
    )
    says_nothing = items.amax(1, keepdim=True) == items.amin(1, keepdim=True)  # [B, 1]
    spread = spread.masked_fill(says_nothing, 0)
    scaled = (scores - mean) / spread.where(spread > 0, torch.inf)  # [B, V]
    return scaled.masked_fill(is_out, -torch.inf).float(), spread
