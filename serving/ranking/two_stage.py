"""Candidates, then ranking: channels name items, a ranker or their ranks order them.

Legend of shapes: N users of a part, B users of a batch, M pairs of a user and a candidate, K list
length.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch

from serving.ranking.channels import Channel, PartChannel
from serving.ranking.fusion import best_of, union
from serving.ranking.rankers import RankedLists
from serving.ranking.topk import TopK
from serving.rules.allowed import Rules
from trainer.data.columns import Ragged

PAIRS_AT_ONCE = 1 << 17
"""Pairs of users and candidates that are ordered together; fewer users are taken if need be."""


class PartValues(Protocol):
    """Gives the value of pairs of a user of a part and an item."""

    def values(self, rows: np.ndarray, item_idx: np.ndarray) -> np.ndarray:
        """Return the value of each pair, higher is better: [M], [M] -> [M] float64."""


class Values(Protocol):
    """A ranker of pairs."""

    def for_part(self, histories: Ragged, users: np.ndarray) -> PartValues:
        """Return it for the users of a part: [N] histories, and their numbers."""


class TwoStage:
    """Channels and what orders their candidates."""

    def __init__(self, channels: Sequence[Channel], ranker: Values | None) -> None:
        self.channels, self.ranker = channels, ranker

    def for_part(self, histories: Ragged, users: np.ndarray) -> "TwoStageRanker":
        """Return the ranker of a part's users: [N] histories, and their numbers."""
        channels = [channel.for_part(histories, users) for channel in self.channels]
        most = sum(channel.count for channel in self.channels)
        values = None if self.ranker is None else self.ranker.for_part(histories, users)
        return TwoStageRanker(channels, values, max(PAIRS_AT_ONCE // most, 1))


class TwoStageRanker(NamedTuple):
    """See `serving.ranking.rankers.Ranker`, for the users of one part."""

    channels: Sequence[PartChannel]
    ranker: PartValues | None
    users_at_once: int

    def rank(self, histories: Ragged, rows: np.ndarray, *, k: int, rules: Rules) -> RankedLists:
        """See `Ranker`; the histories are those that it was made for."""
        starts = range(0, len(rows), self.users_at_once)
        parts = [self._rank_some(rows[at : at + self.users_at_once], k, rules) for at in starts]
        best = TopK(*(torch.cat(tensors) for tensors in zip(*(p.best for p in parts), strict=True)))
        channels = [part.channels for part in parts if part.channels is not None]
        return RankedLists(
            np.concatenate([part.rows for part in parts]), best, np.concatenate(channels)
        )

    def _rank_some(self, rows: np.ndarray, k: int, rules: Rules) -> RankedLists:
        named = [channel.names(rows, rules) for channel in self.channels]
        candidates = union([one.item_idx for one in named])
        values = candidates.fused
        if self.ranker is not None:
            values = self.ranker.values(rows[candidates.user], candidates.item_idx)
        finite = np.all([one.is_finite for one in named], axis=0)  # [B]
        finite[candidates.user[~np.isfinite(values)]] = False
        best, channels = best_of(
            candidates.of_users(finite),
            values[finite[candidates.user]],
            users=int(finite.sum()),
            k=k,
        )
        return RankedLists(rows[finite], best, channels)
