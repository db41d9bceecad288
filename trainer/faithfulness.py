"""Whether the reasons of recommendations are true: without them, does the score fall?

Legend of shapes: B users, V catalogue, L longest history.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from conf.contract import NUM_RESERVED
from trainer.scorer import Scorer
from trainer.stream import Ragged


class Faithfulness(NamedTuple):
    """Shares of users whose best item's score falls when one event is taken out of the history."""

    users: int
    """Users with a reason and another event."""
    by_reason: float
    """The event that is named as the strongest reason is taken out."""
    by_other: float
    """Another one is, drawn at random: what the share is to be compared with."""


def faithfulness(
    scorer: Scorer, histories: Ragged, rows: np.ndarray, *, seed: int = 1
) -> Faithfulness:
    """Take the strongest reason, and another event, out of each history and score again.

    Source: DeYoung et al. 2020, comprehensiveness, of one event.

    Args:
        scorer: The model.
        histories: Item numbers, oldest first.
        rows: [B] users to look at; those with fewer than two events, or without a reason, are
            left out.
        seed: Of the other event.
    """
    rows = rows[np.diff(histories.offsets)[rows] > 1]
    if not len(rows):
        return Faithfulness(0, 0.0, 0.0)
    with torch.no_grad():
        scores = _unseen(scorer.scores(histories, rows).double(), histories, rows)  # [B, V]
    best = scores.argmax(1, keepdim=True)  # [B, 1]
    parts = scorer.contributions(histories, rows, best)[:, 0].cpu()  # [B, L]
    strongest = parts.argmax(1).numpy()  # [B]
    has_reason = parts.amax(1).numpy() > 0
    lengths = np.diff(histories.offsets)[rows]
    step = np.random.default_rng(seed).integers(1, lengths)  # never the reason itself
    other = (strongest + step) % lengths
    before = scores.gather(1, best)[:, 0].cpu().numpy()
    falls = [
        _scores_without(scorer, histories, rows, place, best) < before
        for place in (strongest, other)
    ]
    users = int(has_reason.sum())
    shares = [float(fall[has_reason].mean()) if users else 0.0 for fall in falls]
    return Faithfulness(users, *shares)


def _scores_without(
    scorer: Scorer, histories: Ragged, rows: np.ndarray, places: np.ndarray, items: Tensor
) -> np.ndarray:
    """Return the items' scores once the event at a place of each history is gone: [B]."""
    shorter = without(histories, rows, places)
    with torch.no_grad():
        scores = scorer.scores(shorter, np.arange(len(rows))).double()
    return scores.gather(1, items)[:, 0].cpu().numpy()


def without(histories: Ragged, rows: np.ndarray, places: np.ndarray) -> Ragged:
    """Return the chosen histories, each without the event at one place.

    Args:
        histories: Item numbers with what stands beside them.
        rows: [B]
        places: [B] places in the histories, from 0.
    """
    starts, ends = histories.offsets[rows], histories.offsets[rows + 1]
    kept = np.concatenate(
        [
            np.delete(np.arange(start, end), place)
            for start, end, place in zip(starts, ends, places, strict=True)
        ]
    )
    beside = {name: values[kept] for name, values in (histories.beside or {}).items()}
    offsets = np.concatenate([[0], np.cumsum(ends - starts - 1)])
    return Ragged(histories.values[kept], offsets, beside)


def _unseen(scores: Tensor, histories: Ragged, rows: np.ndarray) -> Tensor:
    scores[:, :NUM_RESERVED] = -torch.inf
    for place, row in enumerate(rows):
        seen = histories.values[histories.offsets[row] : histories.offsets[row + 1]]
        scores[place, torch.from_numpy(seen.astype(np.int64)).to(scores.device)] = -torch.inf
    return scores
