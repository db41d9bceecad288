"""Find the best items of a batch of users, and the reasons for them, with any kind of model.

The scores of a network are dot products: only one block of them is in memory at a time. Other
models return the scores of all items at once. They score fewer users at a time, so their scores
need no more memory than those of a network.

Legend of shapes: B users of a batch, V catalogue, D width, K list length, R reasons.
"""

from typing import NamedTuple, Protocol

import numpy as np
import torch

from conf.errors import VersionError
from conf.settings.score import Score
from serving.ranking.topk import TopK, top_k, top_k_of_scores
from serving.rules.history import Seen, nothing_seen, seen_items
from trainer.data.columns import Ragged
from trainer.models.reasons import Reasons, explain, joined
from trainer.models.scorer import ModelScorer, Scorer


class RankedLists(NamedTuple):
    """The lists of a batch, without those of users whose scores are not finite."""

    rows: np.ndarray
    """[B] rows of the histories that the lists are for."""
    best: TopK
    reasons: Reasons | None
    """None if `score.reasons` is 0, or without any list."""


class Ranker(Protocol):
    """Makes the lists for chosen rows of histories."""

    def rank(self, histories: Ragged, rows: np.ndarray) -> RankedLists:
        """Return the best items and the reasons, in the order of `rows`.

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


class NetworkRanker:
    """Ranks by a network's dot products, block by block."""

    def __init__(self, scorer: ModelScorer, score: Score, model_id: str) -> None:
        self.scorer, self.score, self.model_id = scorer, score, model_id
        self.is_checked = False
        scorer.model.requires_grad_(False)

    def rank(self, histories: Ragged, rows: np.ndarray) -> RankedLists:
        """See `Ranker`."""
        score, scorer = self.score, self.scorer
        with torch.no_grad():
            self._require_finite_items()
            users = scorer.model.encode(scorer.batch(histories, rows))  # [B, D]
            finite = torch.isfinite(users).all(1)  # [B]
            users, rows = users[finite], rows[finite.cpu().numpy()]
            best = top_k(
                users,
                scorer.item_vectors,
                k=score.list_length,
                block_items=score.block_items,
                left_out=scorer.left_out,
                seen=_seen(score, histories, rows, users.device),
            )
        return _explained(scorer, score, histories, rows, best)

    def _require_finite_items(self) -> None:
        if not self.is_checked and not bool(torch.isfinite(self.scorer.item_vectors).all()):
            raise VersionError(
                f"model {self.model_id} has item vectors that are NaN or infinite: it has "
                "diverged; lower train.optimizer.learning_rate and train again"
            )
        self.is_checked = True


class ScoresRanker:
    """Ranks by the scores of all items."""

    def __init__(self, scorer: Scorer, score: Score, num_items: int) -> None:
        self.scorer, self.score = scorer, score
        room = score.block_users * score.block_items // num_items
        self.users_at_once = min(max(room, 1), score.block_users)

    def rank(self, histories: Ragged, rows: np.ndarray) -> RankedLists:
        """See `Ranker`."""
        starts = range(0, len(rows), self.users_at_once)
        parts = [self._rank_some(histories, rows[at : at + self.users_at_once]) for at in starts]
        best = TopK(*(torch.cat(tensors) for tensors in zip(*(p.best for p in parts), strict=True)))
        reasons = [part.reasons for part in parts if part.reasons is not None]
        scored = np.concatenate([part.rows for part in parts])
        return RankedLists(scored, best, joined(reasons) if reasons else None)

    def _rank_some(self, histories: Ragged, rows: np.ndarray) -> RankedLists:
        score = self.score
        with torch.no_grad():
            scores = self.scorer.scores(histories, rows)  # [B, V]
            finite = (scores < torch.inf).all(1)  # [B]; -inf excludes an item, NaN compares false
            if not bool(finite.all()):
                scores, rows = scores[finite], rows[finite.cpu().numpy()]
            best = top_k_of_scores(
                scores,
                k=score.list_length,
                seen=_seen(score, histories, rows, scores.device),
                block_items=score.block_items,
            )
        return _explained(self.scorer, score, histories, rows, best)


def _explained(
    scorer: Scorer, score: Score, histories: Ragged, rows: np.ndarray, best: TopK
) -> RankedLists:
    if not score.reasons or not len(rows):
        return RankedLists(rows, best, None)
    reasons = explain(scorer, histories, rows, best.item_idx, num_reasons=score.reasons)
    return RankedLists(rows, best, reasons)


def _seen(score: Score, histories: Ragged, rows: np.ndarray, device: torch.device) -> Seen:
    seen = seen_items(histories, rows) if score.drop_seen else nothing_seen()
    return Seen(*(tensor.to(device) for tensor in seen))
