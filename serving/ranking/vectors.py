"""Vectors of a model's items, and its scores of some items of each user.

Legend of shapes: V catalogue of the model, D width, B users, K items of each.
"""

import numpy as np
import torch
from torch import Tensor

from trainer.data.columns import Ragged
from trainer.models.als import Factors
from trainer.models.scorer import ModelScorer, Scorer


def raw_vectors(scorer: Scorer | None) -> Tensor | None:
    """Return each item's vector: [V, D]; None for a model without vectors."""
    if isinstance(scorer, ModelScorer):
        return scorer.item_vectors
    return torch.from_numpy(scorer.item_factors) if isinstance(scorer, Factors) else None


def vectors_of(scorer: Scorer | None) -> Tensor | None:
    """Return the direction of each item's vector: [V, D]; None for a model without vectors."""
    vectors = raw_vectors(scorer)
    return None if vectors is None else torch.nn.functional.normalize(vectors, dim=1)


def pair_scores(
    scorer: Scorer,
    histories: Ragged,
    rows: np.ndarray,
    items: np.ndarray,
    *,
    num_items: int,
    users_at_once: int,
) -> np.ndarray:
    """Return the model's scores of some items of each user: [B, K] float32; 0 for unknown ones.

    Args:
        scorer: The model.
        histories: As the model knows them.
        rows: [B] rows of the users.
        items: [B, K] numbers of the dataset; negative for none.
        num_items: V
        users_at_once: Users scored together.
    """
    found = np.zeros(items.shape, dtype=np.float32)
    for start in range(0, len(rows), users_at_once):
        chosen = slice(start, start + users_at_once)
        wanted = torch.from_numpy(items[chosen])
        with torch.no_grad():
            if isinstance(scorer, ModelScorer):
                scores = _products(scorer, histories, rows[chosen], wanted)
            else:
                every = scorer.scores(histories, rows[chosen]).cpu()  # [B, V]
                scores = every.gather(1, wanted.clamp(0, every.shape[1] - 1))
        known = (wanted >= 0) & (wanted < num_items) & torch.isfinite(scores)
        found[chosen] = torch.where(known, scores.float(), 0.0).numpy()
    if scorer.unknown is not None:
        found[scorer.unknown[items.clip(0, num_items - 1)]] = 0.0
    return found


def _products(scorer: ModelScorer, histories: Ragged, rows: np.ndarray, items: Tensor) -> Tensor:
    """Return the dot products of users and items: [B, K]."""
    users, vectors = scorer.model.encode(scorer.batch(histories, rows)), scorer.item_vectors
    chosen = vectors[items.clamp(0, len(vectors) - 1).to(vectors.device)]  # [B, K, D]
    return torch.einsum("bd,bkd->bk", users, chosen).cpu()
