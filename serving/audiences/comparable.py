"""Scores that can be compared between users: the items' share of each user's total.

A model's scores order the items of one user; those of two users are on different scales. So each
user's scores are divided by their sum over all items but those that are left out for the user. Of a
network they are logits of the next item, so their exponentials are divided: the share is the
probability that the model gives the items. Of other models, scores below zero count as zero.

Legend of shapes: B users, V catalogue, S pairs that are left out, M items.
"""

import numpy as np
import torch
from torch import Tensor

from conf.contract import NUM_RESERVED
from serving.rules.history import Seen
from trainer.models.scorer import ModelScorer, Scorer

_DECIMALS = 4
"""Of the logarithm of a share. The digits after them depend on which users are scored together."""


def shares(scorer: Scorer, scores: Tensor, left_out: Seen) -> np.ndarray:
    """Return each item's share of the user's total: [B, V] float64, 0 for pairs left out.

    Args:
        scorer: The model.
        scores: [B, V] of the model, -inf for items that it does not know.
        left_out: Pairs that the users must not get.
    """
    found = scores.double()
    found[:, :NUM_RESERVED] = -torch.inf
    is_there = left_out.item_idx < found.shape[1]
    found[left_out.rows[is_there], left_out.item_idx[is_there]] = -torch.inf
    if isinstance(scorer, ModelScorer):
        return torch.softmax(found, dim=1).nan_to_num().cpu().numpy()
    positive = found.clamp(min=0)
    total = positive.sum(1, keepdim=True)
    return (positive / total.clamp(min=torch.finfo(torch.float64).tiny)).cpu().numpy()


def share_of(of_items: np.ndarray) -> np.ndarray:
    """Return the share of several items together, rounded: [B, M] -> [B] float64."""
    total = of_items.sum(1)
    with np.errstate(divide="ignore"):
        found: np.ndarray = np.exp(np.round(np.log(total), _DECIMALS))
    return found
