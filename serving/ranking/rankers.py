"""Find the best items of a batch of users with any kind of model.

The scores of a network are dot products: only one block of them is in memory at a time. Other
models return the scores of all items at once. They score fewer users at a time, so their scores
need no more memory than those of a network.

Legend of shapes: B users of a batch, V catalogue, D width, K items found.
"""

from functools import cached_property, partial
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from conf.errors import VersionError
from conf.settings.score import Score
from serving.ranking.approximate import ItemIndex
from serving.ranking.barred import Find, best_unbarred
from serving.ranking.shelf import Shelf
from serving.ranking.topk import TopK, top_k, top_k_of_scores
from serving.ranking.user_vectors import UserVectors
from serving.rules.allowed import Rules
from trainer.data.columns import Ragged
from trainer.models.scorer import ModelScorer, Scorer


class RankedLists(NamedTuple):
    """The best items of a batch, without the users whose scores are not finite."""

    rows: np.ndarray
    """[B] rows of the histories that the items are for."""
    best: TopK
    channels: np.ndarray | None = None
    """[B, K] int64, bit c is set if channel c named the item; None: there are no channels."""


class Ranker(Protocol):
    """Finds the best items for chosen rows of histories."""

    def rank(self, histories: Ragged, rows: np.ndarray, *, k: int, rules: Rules) -> RankedLists:
        """Return the best `k` items that each row may get, in the order of `rows`.

        Raises:
            VersionError: When the model's item vectors are not finite.
        """


def make_ranker(scorer: Scorer, score: Score, *, model_id: str, num_items: int) -> Ranker:
    """Return the ranker for this kind of model.

    Args:
        scorer: The model, already on its device.
        score: The section `score` of the configuration.
        model_id: Id for error messages.
        num_items: V
    """
    if isinstance(scorer, ModelScorer):
        return NetworkRanker(scorer, score, model_id)
    return ScoresRanker(scorer, score, num_items)


def users_at_once(score: Score, num_items: int) -> int:
    """Return how many users' scores of all items need no more memory than those of a block."""
    room = score.block_users * score.block_items // num_items
    return min(max(room, 1), score.block_users)


class NetworkRanker:
    """Ranks by a network's dot products, block by block.

    For each set of rules that leaves out items it keeps, as long as it lives, the vectors of the
    items that are left, [M, D] of the scorer's type, and with `score.index` an index of them.
    """

    def __init__(self, scorer: ModelScorer, score: Score, model_id: str) -> None:
        self.scorer, self.score, self.model_id = scorer, score, model_id
        self.is_checked = False
        self.vectors = UserVectors(scorer)
        self.shelves: dict[int, _Shelved] = {}
        """By the id of the array `kept` of rules; a shelf keeps its array, so ids stay unique."""
        scorer.model.requires_grad_(False)

    def rank(self, histories: Ragged, rows: np.ndarray, *, k: int, rules: Rules) -> RankedLists:
        """See `Ranker`."""
        with torch.no_grad():
            self._require_finite_items()
            users = self.vectors.of(histories, rows)  # [B, D]
            finite = torch.isfinite(users).all(1)  # [B]
            users, rows = users[finite], rows[finite.cpu().numpy()]
            allowed = rules.allowed(rows).to(users.device)
            shelf, find = self._shelved(rules)
            best = best_unbarred(
                find,
                users,
                shelf.placed(allowed.seen),
                allowed.masks,
                k=k,
                adjusting=allowed.adjusting,
            )
        return RankedLists(rows, shelf.numbered(best))

    def _shelved(self, rules: Rules) -> "_Shelved":
        """Return the items that the rules leave."""
        found = self.shelves.get(id(rules.kept))
        if found is None:
            vectors, left_out = self.scorer.item_vectors, self.scorer.left_out
            shelf = Shelf(rules.kept, len(vectors), vectors.device)
            if shelf.numbers is None:
                find = self.whole
            else:
                own = None if left_out is None else shelf.of_items(left_out)
                find = self._find(shelf.of_items(vectors), own)
            found = self.shelves[id(rules.kept)] = _Shelved(shelf, find)
        return found

    @cached_property
    def whole(self) -> Find:
        """Finds items among all of the model: all rules that leave all of them share its index."""
        return self._find(self.scorer.item_vectors, self.scorer.left_out)

    def _find(self, vectors: Tensor, left_out: Tensor | None) -> Find:
        """Return what finds items by their vectors, without those that are left out."""
        exact: Find = partial(
            top_k, item_vectors=vectors, block_items=self.score.block_items, left_out=left_out
        )
        if self.score.index is None:
            return exact
        return partial(ItemIndex(vectors, left_out, self.score.index).best, exact=exact)

    def _require_finite_items(self) -> None:
        if not self.is_checked and not bool(torch.isfinite(self.scorer.item_vectors).all()):
            raise VersionError(
                f"model {self.model_id} has item vectors that are NaN or infinite: it has "
                "diverged; lower train.optimizer.learning_rate and train again"
            )
        self.is_checked = True


class _Shelved(NamedTuple):
    """The items that rules leave."""

    shelf: Shelf
    find: Find
    """Finds the best of them, by place."""


class ScoresRanker:
    """Ranks by the scores of all items."""

    def __init__(self, scorer: Scorer, score: Score, num_items: int) -> None:
        self.scorer, self.score = scorer, score
        self.users_at_once = users_at_once(score, num_items)

    def rank(self, histories: Ragged, rows: np.ndarray, *, k: int, rules: Rules) -> RankedLists:
        """See `Ranker`."""
        starts = range(0, len(rows), self.users_at_once)
        parts = [
            self._rank_some(histories, rows[at : at + self.users_at_once], k, rules)
            for at in starts
        ]
        best = TopK(*(torch.cat(tensors) for tensors in zip(*(p.best for p in parts), strict=True)))
        return RankedLists(np.concatenate([part.rows for part in parts]), best)

    def _rank_some(self, histories: Ragged, rows: np.ndarray, k: int, rules: Rules) -> RankedLists:
        with torch.no_grad():
            scores = self.scorer.scores(histories, rows)  # [B, V]
            finite = (scores < torch.inf).all(1)  # [B]; -inf excludes an item, NaN compares false
            if not bool(finite.all()):
                scores, rows = scores[finite], rows[finite.cpu().numpy()]
            allowed = rules.allowed(rows).to(scores.device)
            shelf = Shelf(rules.kept, scores.shape[1], scores.device)
            best = best_unbarred(
                partial(top_k_of_scores, block_items=self.score.block_items),
                shelf.of_items(scores.T).T,
                shelf.placed(allowed.seen),
                allowed.masks,
                k=k,
                adjusting=allowed.adjusting,
            )
        return RankedLists(rows, shelf.numbered(best))
