"""Check the reasons of recommendations: does the score fall without them?

Legend of shapes: B users, V catalogue.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from conf.contract import NO_ITEM, NUM_RESERVED
from trainer.data.columns import Ragged, events_of, without_items
from trainer.evaluation.held_out import recommendable
from trainer.models.reasons import explain
from trainer.models.scorer import Scorer


class Faithfulness(NamedTuple):
    """Shares of users whose best item's score falls when an item is taken out of the history."""

    users: int
    """Number of users with a reason and another item."""
    by_reason: float | None
    """Share if the item named as the strongest reason is taken out; None without users."""
    by_other: float | None
    """Share if another item, drawn at random, is taken out; to compare `by_reason` with."""


_NOBODY = Faithfulness(0, None, None)


def faithfulness(
    scorer: Scorer, histories: Ragged, rows: np.ndarray, *, drop_seen: bool, seed: int = 1
) -> Faithfulness:
    """Take the strongest reason, and another item, out of each history and score again.

    Source: DeYoung et al. 2020, comprehensiveness, with one item removed.

    Args:
        scorer: The model.
        histories: Item numbers, oldest first.
        rows: [B] users to look at; those with fewer than two items, or without a reason, are left
            out.
        drop_seen: Whether recommendations leave out seen items.
        seed: Seed for drawing the other item.
    """
    rows = rows[_num_items(histories, rows) > 1]
    if not len(rows):
        return _NOBODY
    with torch.no_grad():
        scores = scorer.scores(histories, rows).double()  # [B, V]
        scores = recommendable(scores, histories, rows, drop_seen=drop_seen)
    best = scores.argmax(1, keepdim=True)  # [B, 1]
    named = explain(scorer, histories, rows, best, num_reasons=1).item_idx[:, 0, 0].cpu()  # [B]
    has_reason = named != NO_ITEM
    if not bool(has_reason.any()):
        return _NOBODY
    rows, best = rows[has_reason.numpy()], best[has_reason.to(best.device)]
    before = scores[has_reason.to(scores.device)].gather(1, best)[:, 0].cpu().numpy()
    strongest = named[has_reason].numpy()
    other = _another(histories, rows, strongest, seed)
    falls = [
        float((_scores_without(scorer, histories, rows, items, best) < before).mean())
        for items in (strongest, other)
    ]
    return Faithfulness(len(rows), *falls)


def _items(histories: Ragged, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct pairs of a chosen row and one of its known items, sorted by row."""
    row, _, item = events_of(histories, rows)
    known = item >= NUM_RESERVED
    row, item = np.unique(np.stack([row[known], item[known]]), axis=1)
    return row, item


def _num_items(histories: Ragged, rows: np.ndarray) -> np.ndarray:
    """Return how many known items the chosen rows have: [B]."""
    return np.bincount(_items(histories, rows)[0], minlength=len(rows))


def _another(histories: Ragged, rows: np.ndarray, items: np.ndarray, seed: int) -> np.ndarray:
    """Return one of the other items of each chosen row, drawn at random: [B]."""
    row, item = _items(histories, rows)
    row, item = row[item != items[row]], item[item != items[row]]
    numbers = np.bincount(row, minlength=len(rows))
    first = np.cumsum(numbers) - numbers
    another: np.ndarray = item[first + np.random.default_rng(seed).integers(0, numbers)]
    return another


def _scores_without(
    scorer: Scorer, histories: Ragged, rows: np.ndarray, items: np.ndarray, best: Tensor
) -> np.ndarray:
    """Return the best items' scores after one item is removed from each history: [B]."""
    shorter = without_items(histories, rows, items)
    with torch.no_grad():
        scores = scorer.scores(shorter, np.arange(len(rows))).double()
    return scores.gather(1, best)[:, 0].cpu().numpy()
