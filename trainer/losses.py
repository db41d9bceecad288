"""Losses over the catalogue. Each returns a sum; the caller divides by the sum of the weights.

Legend of shapes: N positions, D width, V catalogue (padding 0 and unknown 1 included), K negatives.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from conf.contract import NUM_RESERVED

BLOCK_ELEMENTS = 1 << 22
"""Most logits held at once: memory does not grow with positions times catalogue."""
_TINY = torch.finfo(torch.float32).tiny


def cross_entropy(
    hidden: Tensor,
    items: Tensor,
    targets: Tensor,
    weights: Tensor,
    left_out: Tensor | None = None,
) -> Tensor:
    """Return the weighted sum of full cross-entropies over all items that can be recommended.

    The logits are made block by block and never held whole; gradients are those of the plain
    form and are worked out in the forward pass, while a block is at hand.

    Args:
        hidden: [N, D] encoding of each position.
        items: [V, D] item vectors.
        targets: [N] int64, at least `NUM_RESERVED`.
        weights: [N] float32, weight of each position.
        left_out: [V] bool, items that count for nothing; None: all count.

    Returns:
        Scalar float32.
    """
    loss: Tensor = _BlockedCrossEntropy.apply(  # type: ignore[no-untyped-call]
        hidden, items, targets, weights, left_out
    )
    return loss


class _BlockedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        items: Tensor,
        targets: Tensor,
        weights: Tensor,
        left_out: Tensor | None,
    ) -> Tensor:
        with_grad = any(ctx.needs_input_grad[:2])
        grad_hidden = torch.zeros_like(hidden) if with_grad else None
        grad_items = torch.zeros_like(items, dtype=torch.float32) if with_grad else None
        loss = hidden.new_zeros((), dtype=torch.float32)
        catalogue = items.to(hidden.dtype)  # [V, D]
        block = max(1, BLOCK_ELEMENTS // len(items))
        for start in range(0, len(hidden), block):
            part = slice(start, start + block)
            logits = (hidden[part] @ catalogue.T).float()  # [block, V]
            logits[:, :NUM_RESERVED] = -torch.inf
            if left_out is not None:
                logits.masked_fill_(left_out, -torch.inf)
            p = torch.softmax(logits, dim=1)  # [block, V]
            target, weight = targets[part], weights[part, None]  # [block], [block, 1]
            p_target = p.gather(1, target[:, None]).clamp(min=_TINY)  # [block, 1]
            loss -= (p_target.log() * weight).sum()
            if grad_hidden is None or grad_items is None:
                continue
            p = p.to(hidden.dtype)
            grad_hidden[part] = (p @ catalogue - catalogue[target]) * weight
            weighted = (hidden[part] * weight).to(hidden.dtype)  # [block, D]
            grad_items += p.T @ weighted
            grad_items.index_add_(0, target, weighted.float(), alpha=-1)
        ctx.save_for_backward(*([grad_hidden, grad_items] if with_grad else []))
        ctx.item_dtype = items.dtype
        return loss

    @staticmethod
    def backward(
        ctx: Any, grad_loss: Tensor
    ) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        grad_hidden, grad_items = ctx.saved_tensors
        by_item = (grad_items * grad_loss).to(ctx.item_dtype)
        return grad_hidden * grad_loss, by_item, None, None, None


def sampled_softmax(positive: Tensor, negative: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted sum of cross-entropies over each target and its drawn negatives.

    Where negatives are not drawn uniformly, each score is to be lowered by the logarithm of the
    item's chance of being drawn, so that the expectation is the full softmax. Source: Jean et al.
    2015, eq. 8. A negative of -inf counts for nothing.

    Args:
        positive: [N] scores of the targets.
        negative: [N, K] scores of their negatives.
        weights: [N] float32

    Returns:
        Scalar float32.
    """
    logits = torch.cat([positive[:, None], negative], dim=1)  # [N, 1 + K]
    return ((torch.logsumexp(logits, dim=1) - positive) * weights).sum()


def binary_cross_entropy(
    positive: Tensor, negative: Tensor, weights: Tensor, *, beta: float = 1.0
) -> Tensor:
    """Return the weighted sum over the targets of BCE, the negatives' share in their mean.

    Args:
        positive: [N] scores of the targets.
        negative: [N, K] scores of their negatives; -inf counts for nothing.
        weights: [N] float32
        beta: Exponent of the positive's probability: 1 for plain BCE, else gBCE. Source: Petrov &
            Macdonald 2023, eq. 8, with the mean of the negatives instead of their sum.
    """
    present = negative > -torch.inf  # [N, K]
    each = F.softplus(negative.masked_fill(~present, 0.0)) * present  # [N, K]
    negatives = each.sum(1) / present.sum(1).clamp(min=1)  # [N]
    return ((beta * F.softplus(-positive) + negatives) * weights).sum()


def gbce_exponent(drawn_share: float, calibration: float) -> float:
    """Return beta of gBCE. Source: Petrov & Macdonald 2023, eq. 9.

    Args:
        drawn_share: Negatives over items of the catalogue.
        calibration: t from 0 (plain BCE) to 1 (fully calibrated probabilities).
    """
    return drawn_share * (calibration * (1 - 1 / drawn_share) + 1 / drawn_share)


def bayesian_ranking(positive: Tensor, negative: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted sum of -ln sigmoid(positive - negative), the mean over the negatives.

    Source: Rendle et al. 2009 (BPR), section 4.1.

    Args:
        positive: [N] scores of the targets.
        negative: [N, K] scores of their negatives; -inf counts for nothing.
        weights: [N] float32
    """
    present = negative > -torch.inf  # [N, K]
    distance = positive[:, None] - negative.masked_fill(~present, 0.0)  # [N, K]
    each = F.softplus(-distance) * present
    return (each.sum(1) / present.sum(1).clamp(min=1) * weights).sum()


def products(hidden: Tensor, vectors: Tensor) -> Tensor:
    """Return each position's products with its negatives: [N, D], [K, D] or [N, K, D] -> [N, K]."""
    if vectors.dim() == 2:
        return (hidden @ vectors.T).float()
    return torch.bmm(vectors, hidden.unsqueeze(2)).squeeze(2).float()


def draw_negatives(
    shape: tuple[int, ...],
    catalogue: int,
    probability: Tensor | None,
    device: torch.device,
    candidates: Tensor | None = None,
) -> Tensor:
    """Return item numbers drawn with replacement; the reserved ones are never drawn.

    Args:
        shape: Of the result.
        catalogue: V
        probability: [V] float, zero at the reserved numbers; None: uniform.
        device: Of the result.
        candidates: [C] items that are drawn uniformly from; None: the whole catalogue.

    Returns:
        int64 of `shape`.
    """
    if probability is None and candidates is not None:
        return candidates[torch.randint(len(candidates), shape, device=device)]
    if probability is None:
        return torch.randint(NUM_RESERVED, catalogue, shape, device=device)
    count = int(torch.tensor(shape).prod())
    return torch.multinomial(probability, count, replacement=True).view(shape)
