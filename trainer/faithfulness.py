"""Whether the reasons of recommendations are true: without them, does the score fall?

Legend of shapes: B users, V catalogue, L longest history.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from trainer.columns import Ragged, without
from trainer.held_out import recommendable
from trainer.scorer import Scorer


class Faithfulness(NamedTuple):
    """Shares of users whose best item's score falls when one event is taken out of the history."""

    users: int
    """Users with a reason and another event."""
    by_reason: float
    """The event that is named as the strongest reason is taken out."""
    by_other: float
    """Another one is, drawn at random: what the share is to be compared with."""


_NOBODY = Faithfulness(0, 0.0, 0.0)


def faithfulness(
    scorer: Scorer, histories: Ragged, rows: np.ndarray, *, drop_seen: bool, seed: int = 1
) -> Faithfulness:
    """Take the strongest reason, and another event, out of each history and score again.

    Source: DeYoung et al. 2020, comprehensiveness, of one event.

    Args:
        scorer: The model.
        histories: Item numbers, oldest first.
        rows: [B] users to look at; those with fewer than two events, or without a reason, are
            left out.
        drop_seen: Whether what is recommended is nothing that the user has seen.
        seed: Of the other event.
    """
    rows = rows[histories.lengths[rows] > 1]
    if not len(rows):
        return _NOBODY
    with torch.no_grad():
        scores = scorer.scores(histories, rows).double()  # [B, V]
        scores = recommendable(scores, histories, rows, drop_seen=drop_seen)
    best = scores.argmax(1, keepdim=True)  # [B, 1]
    parts = scorer.contributions(histories, rows, best)[:, 0].cpu()  # [B, L]
    has_reason = parts.amax(1) > 0  # [B]; behind a history's end stand zeros
    if not bool(has_reason.any()):
        return _NOBODY
    rows, best = rows[has_reason.numpy()], best[has_reason.to(best.device)]
    before = scores[has_reason.to(scores.device)].gather(1, best)[:, 0].cpu().numpy()
    strongest = parts[has_reason].argmax(1).numpy()  # [B]
    lengths = histories.lengths[rows]
    other = (strongest + np.random.default_rng(seed).integers(1, lengths)) % lengths
    falls = [
        float((_scores_without(scorer, histories, rows, place, best) < before).mean())
        for place in (strongest, other)
    ]
    return Faithfulness(len(rows), *falls)


def _scores_without(
    scorer: Scorer, histories: Ragged, rows: np.ndarray, places: np.ndarray, items: Tensor
) -> np.ndarray:
    """Return the items' scores once the event at a place of each history is gone: [B]."""
    shorter = without(histories, rows, places)
    with torch.no_grad():
        scores = scorer.scores(shorter, np.arange(len(rows))).double()
    return scores.gather(1, items)[:, 0].cpu().numpy()
