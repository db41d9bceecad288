"""Say which items of a history carried a recommended item's score.

Each event's part in a score is its input vector times the gradient of the score with respect to
it, summed over the width. Only events that raised the score are named.
Source: gradient times input, Shrikumar et al. 2016.

Legend of shapes: B users, L history length, D width, K list length, R reasons.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from conf.contract import NUM_RESERVED
from serving.topk import NO_ITEM
from trainer.inputs import HistoryBatch
from trainer.retrieval import RetrievalModel

CELLS_AT_ONCE = 16_384
"""Rows times length that are explained together: what a backward pass keeps grows with it."""


class Reasons(NamedTuple):
    """History items that carried the score of each recommended item, the strongest first."""

    item_idx: Tensor
    """[B, K, R] int64, `NO_ITEM` where there is no further reason."""
    weight: Tensor
    """[B, K, R] float32: share of all that raised the score."""


def explain(
    model: RetrievalModel, batch: HistoryBatch, recommended: Tensor, *, num_reasons: int
) -> Reasons:
    """Return the reasons for each recommended item.

    Args:
        model: In eval mode.
        batch: The users' histories.
        recommended: [B, K] int64, `NO_ITEM` where there is none.
        num_reasons: R
    """
    rows_at_once = max(CELLS_AT_ONCE // batch.item_idx.shape[1], 1)
    parts = []
    for start in range(0, len(recommended), rows_at_once):
        rows = slice(start, start + rows_at_once)
        some = batch.rows(rows)
        carried = contributions(model, some, recommended[rows])  # [<= B, K, L]
        parts.append(_strongest(some.item_idx, carried, num_reasons))
    return Reasons(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))


def contributions(model: RetrievalModel, batch: HistoryBatch, recommended: Tensor) -> Tensor:
    """Return each event's part in each recommended item's score: [B, K, L]."""
    embedded = model.embed(batch).detach().requires_grad_()  # [B, L, D]
    users = model.encode_embedded(embedded, batch.lengths)  # [B, D]
    items = model.item_vectors().detach()[recommended.clamp(min=0)]  # [B, K, D]
    carried = []
    for position in range(recommended.shape[1]):
        (gradient,) = torch.autograd.grad(
            users, embedded, grad_outputs=items[:, position], retain_graph=True
        )  # [B, L, D]
        carried.append((gradient * embedded.detach()).sum(-1))  # [B, L]
    return torch.stack(carried, dim=1)  # [B, K, L]


def _strongest(item_idx: Tensor, carried: Tensor, num_reasons: int) -> Reasons:
    """Add up the events of one item, drop what lowered the score, keep the largest.

    Args:
        item_idx: [B, L]
        carried: [B, K, L]
        num_reasons: R
    """
    same = item_idx[:, :, None] == item_idx[:, None, :]  # [B, L, L]
    first = same.byte().argmax(-1)  # [B, L], first event with the same item
    by_item = torch.zeros_like(carried)  # [B, K, L]
    by_item.scatter_add_(2, first[:, None].expand_as(carried), carried)
    by_item.masked_fill_((item_idx < NUM_RESERVED)[:, None], 0).clamp_(min=0)
    total = by_item.sum(-1, keepdim=True)  # [B, K, 1]
    share = by_item / total.where(total > 0, 1)  # [B, K, L]
    weight, place = share.topk(min(num_reasons, share.shape[2]), dim=2)  # [B, K, <= R]
    named = item_idx[:, None].expand_as(carried).gather(2, place)
    named = named.where(weight > 0, NO_ITEM)
    missing = (0, num_reasons - weight.shape[2])
    pad = torch.nn.functional.pad
    return Reasons(pad(named, missing, value=NO_ITEM), pad(weight, missing))
