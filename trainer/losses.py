"""Losses over the catalogue. Each returns a sum; the caller divides by the sum of the weights.

Legend of shapes: N positions, D width, V catalogue (padding 0 and unknown 1 included), K negatives.
"""

from typing import Any

import torch
from torch import Tensor

from conf.contract import NUM_RESERVED

BLOCK_ELEMENTS = 1 << 22
"""Most logits held at once: memory does not grow with positions times catalogue."""
_TINY = torch.finfo(torch.float32).tiny


def cross_entropy(hidden: Tensor, items: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted sum of full cross-entropies over all items that can be recommended.

    The logits are made block by block and never held whole; gradients are those of the plain
    form and are worked out in the forward pass, while a block is at hand.

    Args:
        hidden: [N, D] encoding of each position.
        items: [V, D] item vectors.
        targets: [N] int64, at least `NUM_RESERVED`.
        weights: [N] float32, weight of each position.

    Returns:
        Scalar float32.
    """
    loss: Tensor = _BlockedCrossEntropy.apply(hidden, items, targets, weights)  # type: ignore[no-untyped-call]
    return loss


class _BlockedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, items: Tensor, targets: Tensor, weights: Tensor
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
    def backward(ctx: Any, grad_loss: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        grad_hidden, grad_items = ctx.saved_tensors
        return grad_hidden * grad_loss, (grad_items * grad_loss).to(ctx.item_dtype), None, None


def sampled_softmax(
    hidden: Tensor,
    items: Tensor,
    targets: Tensor,
    weights: Tensor,
    *,
    negatives: Tensor,
    log_probability: Tensor | None,
) -> Tensor:
    """Return the weighted sum of cross-entropies over each target and its drawn negatives.

    Every logit is lowered by the logarithm of the item's probability of being drawn, so that
    the expectation is the full softmax. Source: Jean et al. 2015, eq. 8. A negative that is
    the target itself counts for nothing.

    Args:
        hidden: [N, D]
        items: [V, D]
        targets: [N] int64
        weights: [N] float32
        negatives: [N, K] for each position, or [K] for the whole batch; int64.
        log_probability: [V] logarithm of the distribution they were drawn from; None: uniform,
            where the correction is the same for all and falls out.

    Returns:
        Scalar float32.
    """
    positive = (hidden * items[targets]).sum(1).float()  # [N]
    if negatives.dim() == 1:
        negative = (hidden @ items[negatives].T).float()  # [N, K]
        same = targets[:, None] == negatives  # [N, K]
    else:
        vectors = items[negatives]  # [N, K, D]
        negative = torch.bmm(vectors, hidden.unsqueeze(2)).squeeze(2).float()  # [N, K]
        same = targets[:, None] == negatives  # [N, K]
    if log_probability is not None:
        positive = positive - log_probability[targets]  # [N]
        negative = negative - log_probability[negatives]  # [N, K]
    negative = negative.masked_fill(same, -torch.inf)
    logits = torch.cat([positive[:, None], negative], dim=1)  # [N, 1 + K]
    losses = torch.logsumexp(logits, dim=1) - positive  # [N]
    return (losses * weights).sum()


def draw_negatives(
    shape: tuple[int, ...], catalogue: int, probability: Tensor | None, device: torch.device
) -> Tensor:
    """Return item numbers drawn with replacement; the reserved ones are never drawn.

    Args:
        shape: Of the result.
        catalogue: V
        probability: [V] float, zero at the reserved numbers; None: uniform.
        device: Of the result.

    Returns:
        int64 of `shape`.
    """
    if probability is None:
        return torch.randint(NUM_RESERVED, catalogue, shape, device=device)
    count = int(torch.tensor(shape).prod())
    return torch.multinomial(probability, count, replacement=True).view(shape)
