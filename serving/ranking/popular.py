"""Rank by popularity under the same rules as any model: the lists of users that it cannot score.

Legend of shapes: B users of a batch, V catalogue.
"""

from functools import partial

import numpy as np
import torch

from serving.ranking.barred import best_unbarred
from serving.ranking.rankers import RankedLists
from serving.ranking.shelf import Shelf
from serving.ranking.topk import TopK, top_k_of_scores
from serving.rules.allowed import Rules
from serving.rules.history import Popular
from trainer.data.columns import Ragged

_CPU = torch.device("cpu")


class PopularRanker:
    """Ranks the items with a training event by their share of the events."""

    def __init__(
        self, popular: Popular, catalogue: int, *, block_users: int, block_items: int
    ) -> None:
        """Take the shares.

        Args:
            popular: The items with a training event.
            catalogue: V
            block_users: Most users at a time.
            block_items: With it, the room for their scores.
        """
        self.shares = torch.full((catalogue,), -torch.inf)  # [V]
        self.shares[torch.from_numpy(popular.item_idx)] = torch.from_numpy(popular.shares)
        self.block_items = block_items
        self.users_at_once = min(max(block_users * block_items // catalogue, 1), block_users)

    def rank(self, histories: Ragged, rows: np.ndarray, *, k: int, rules: Rules) -> RankedLists:
        """See `serving.ranking.rankers.Ranker`."""
        shelf = Shelf(rules.kept, len(self.shares), _CPU)
        shares = shelf.of_items(self.shares)
        parts = [TopK(torch.zeros((0, k)), torch.zeros((0, k), dtype=torch.int64))]
        for start in range(0, len(rows), self.users_at_once):
            some = rows[start : start + self.users_at_once]
            allowed = rules.allowed(some)
            best = best_unbarred(
                partial(top_k_of_scores, block_items=self.block_items),
                shares.expand(len(some), -1),
                shelf.placed(allowed.seen),
                allowed.masks,
                k=k,
            )
            parts.append(shelf.numbered(best))
        joined = TopK(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))
        return RankedLists(rows, joined)
