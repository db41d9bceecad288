"""Find the items of a history that contributed most to a recommended item's score.

The model gives each event's contribution to a score; see `contributions` in `scorer.py`.
Only items that raised the score are named.

Legend of shapes: B users, L history length, K list length, R reasons.
"""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from conf.contract import NO_ITEM, NUM_RESERVED
from trainer.data.batches import history_batch
from trainer.data.columns import Ragged
from trainer.models.alike import even_groups, even_lengths, filled
from trainer.models.attribution import first_of_item
from trainer.models.scorer import Scorer

CELLS_AT_ONCE = 16_384
"""Rows times length that are explained together, with K scores each."""


class Reasons(NamedTuple):
    """History items that contributed to the score of each recommended item, largest first."""

    item_idx: Tensor
    """[B, K, R] int64, `NO_ITEM` if there is no further reason."""
    weight: Tensor
    """[B, K, R] float32: share of the sum of all contributions that raised the score."""


def explain(
    scorer: Scorer, histories: Ragged, rows: np.ndarray, recommended: Tensor, *, num_reasons: int
) -> Reasons:
    """Return the reasons for each item that a model of any kind recommends.

    Those of a user do not depend on the other users, see `trainer.models.alike`.

    Args:
        scorer: The model.
        histories: Item numbers, oldest first.
        rows: [B], the rows to explain.
        recommended: [B, K] int64, `NO_ITEM` if a list is shorter.
        num_reasons: R
    """
    shape = (*recommended.shape, num_reasons)
    found = Reasons(
        torch.full(shape, NO_ITEM, device=recommended.device),
        torch.zeros(shape, device=recommended.device),
    )
    lengths = even_lengths(histories.lengths[rows])
    for some, length in even_groups(lengths, cells_at_once=CELLS_AT_ONCE):
        at = torch.from_numpy(some).to(recommended.device)
        chosen = filled(some)
        wanted = recommended[torch.from_numpy(chosen).to(recommended.device)]
        parts = scorer.contributions(histories, rows[chosen], wanted)[: len(some)].float()
        parts = F.pad(parts, (0, length - parts.shape[2]))  # [<= B, K, L]
        items = history_batch(histories, rows[some], length).item_idx
        items = F.pad(items, (0, length - items.shape[1])).to(parts.device)  # [<= B, L]
        for target, part in zip(found, _strongest(items, parts, num_reasons), strict=True):
            target[at] = part.to(target.device)
    return found


def _strongest(item_idx: Tensor, carried: Tensor, num_reasons: int) -> Reasons:
    """Add up the contributions of each item, drop those that are negative, keep the largest.

    Args:
        item_idx: [B, L]
        carried: [B, K, L]
        num_reasons: R
    """
    first = first_of_item(item_idx)  # [B, L]
    by_item = torch.zeros_like(carried)  # [B, K, L]
    by_item.scatter_add_(2, first[:, None].expand_as(carried), carried)
    by_item.masked_fill_((item_idx < NUM_RESERVED)[:, None], 0).clamp_(min=0)
    total = by_item.sum(-1, keepdim=True)  # [B, K, 1]
    share = by_item / total.where(total > 0, 1)  # [B, K, L]
    weight, place = share.topk(min(num_reasons, share.shape[2]), dim=2)  # [B, K, <= R]
    named = item_idx[:, None].expand_as(carried).gather(2, place)
    named = named.where(weight > 0, NO_ITEM)
    missing = (0, num_reasons - weight.shape[2])
    return Reasons(F.pad(named, missing, value=NO_ITEM), F.pad(weight, missing))
