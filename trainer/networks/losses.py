"""Losses over the catalogue. Each returns a sum; the caller divides by the sum of the weights.

Legend of shapes: N positions, D width, V catalogue (padding 0 and unknown 1 included), K negatives,
R positions and C items of a block.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from conf.contract import NUM_RESERVED

BLOCK_ELEMENTS = 1 << 22
"""Largest number of logits held at once: memory does not grow with positions times catalogue."""
_FEWEST_POSITIONS = 64
_MOST_POSITIONS = 1024


def cross_entropy(
    hidden: Tensor,
    items: Tensor,
    targets: Tensor,
    weights: Tensor,
    left_out: Tensor | None = None,
) -> Tensor:
    """Return the weighted sum of full cross-entropies over all items that can be recommended.

    The logits are computed block by block and never held as a whole. The gradients are those of the
    plain form; they are computed in the forward pass, while a block is in memory. A large catalogue
    is cut into blocks too, and its logits are computed twice, for their sum and for the gradients.
    Otherwise a block would have few positions, and each block would read and write all item
    vectors.

    Args:
        hidden: [N, D] encoding of each position.
        items: [V, D] item vectors.
        targets: [N] int64, at least `NUM_RESERVED`.
        weights: [N] float32, weight of each position.
        left_out: [V] bool, items excluded from the loss; None: all are included.

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
        wide = torch.promote_types(hidden.dtype, torch.float32)
        grad_hidden = torch.zeros_like(hidden, dtype=wide) if with_grad else None
        grad_items = torch.zeros_like(items, dtype=torch.float32) if with_grad else None
        loss = hidden.new_zeros((), dtype=torch.float32)
        catalogue = items.to(hidden.dtype)  # [V, D]
        num_rows, num_items = _block_shape(len(items))
        for rows in _slices(len(hidden), num_rows):
            some, target, weight = hidden[rows], targets[rows, None], weights[rows, None]
            weighted = (some * weight).to(hidden.dtype)  # [R, D]
            log_sum = None
            if num_items < len(items):
                log_sum = _log_sum(some, catalogue, num_items, left_out)
            for part in _slices(len(items), num_items):
                log_p = _log_probabilities(
                    _logits(some, catalogue, part, left_out), log_sum
                )  # [R, C]
                loss -= (_of_targets(log_p, target - part.start) * weight).sum()
                if grad_hidden is None or grad_items is None:
                    continue
                p = log_p.exp_().to(hidden.dtype)  # [R, C]
                grad_hidden[rows] += (p @ catalogue[part]) * weight
                grad_items[part] += p.T @ weighted
        if grad_hidden is not None and grad_items is not None:
            weight = weights[:, None]  # [N, 1]
            grad_hidden -= catalogue[targets] * weight
            grad_items.index_add_(0, targets, (hidden * weight).float(), alpha=-1)
        ctx.save_for_backward(*([grad_hidden, grad_items] if with_grad else []))
        ctx.dtypes = hidden.dtype, items.dtype
        return loss

    @staticmethod
    def backward(
        ctx: Any, grad_loss: Tensor
    ) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        grad_hidden, grad_items = ctx.saved_tensors
        grads = (grad_hidden * grad_loss, grad_items * grad_loss)
        of_vectors = (grad.to(kind) for grad, kind in zip(grads, ctx.dtypes, strict=True))
        return *of_vectors, None, None, None


def _block_shape(catalogue: int) -> tuple[int, int]:
    """Return the number of positions and items of a block: all items, unless they are too many."""
    num_rows = BLOCK_ELEMENTS // catalogue
    if num_rows >= _FEWEST_POSITIONS:
        return num_rows, catalogue
    return _MOST_POSITIONS, max(1, BLOCK_ELEMENTS // _MOST_POSITIONS)


def _slices(length: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, length)) for start in range(0, length, size)]


def _logits(hidden: Tensor, catalogue: Tensor, part: slice, left_out: Tensor | None) -> Tensor:
    """Return the scores of some items: [R, D], [V, D] -> [R, C] float32, -inf if left out."""
    logits = (hidden @ catalogue[part].T).float()
    logits[:, : max(0, NUM_RESERVED - part.start)] = -torch.inf
    return logits if left_out is None else logits.masked_fill_(left_out[part], -torch.inf)


def _log_sum(hidden: Tensor, catalogue: Tensor, num_items: int, left_out: Tensor | None) -> Tensor:
    """Return each position's log-sum-exp over all items: [R, D], [V, D] -> [R, 1]."""
    total = hidden.new_full((len(hidden), 1), -torch.inf, dtype=torch.float32)
    for part in _slices(len(catalogue), num_items):
        own = _logits(hidden, catalogue, part, left_out).logsumexp(1, keepdim=True)
        total = torch.logaddexp(total, own)
    return total


def _log_probabilities(logits: Tensor, log_sum: Tensor | None) -> Tensor:
    """Return log-probabilities of items: [R, C]; without `log_sum`, these are all items."""
    return logits.log_softmax(1) if log_sum is None else logits.sub_(log_sum)


def _of_targets(log_p: Tensor, place: Tensor) -> Tensor:
    """Return log-probabilities of targets, 0 if in other parts: [R, C], [R, 1] -> [R, 1]."""
    is_here = (place >= 0) & (place < log_p.shape[1])
    found = log_p.gather(1, place.clamp(0, log_p.shape[1] - 1))
    return torch.where(is_here, found, 0.0)


def sampled_softmax(positive: Tensor, negative: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted sum of cross-entropies over each target and its drawn negatives.

    If negatives are not drawn uniformly, the caller must first subtract from each score the
    logarithm of the item's probability of being drawn, so that the expectation is the full softmax.
    Source: Jean et al. 2015, eq. 8. A negative of -inf is ignored.

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
    """Return the weighted sum of BCE over the targets, with the mean over their negatives.

    Args:
        positive: [N] scores of the targets.
        negative: [N, K] scores of their negatives; -inf is ignored.
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
        drawn_share: Number of negatives of a target, divided by the number of items to draw from.
            Above 1, where items are drawn more than once, it counts as 1.
        calibration: t from 0 (plain BCE) to 1 (fully calibrated probabilities).
    """
    return 1 - calibration * (1 - min(drawn_share, 1.0))


def bayesian_ranking(positive: Tensor, negative: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted sum of -ln sigmoid(positive - negative), averaged over the negatives.

    Source: Rendle et al. 2009 (BPR), section 4.1.

    Args:
        positive: [N] scores of the targets.
        negative: [N, K] scores of their negatives; -inf is ignored.
        weights: [N] float32
    """
    present = negative > -torch.inf  # [N, K]
    distance = positive[:, None] - negative.masked_fill(~present, 0.0)  # [N, K]
    each = F.softplus(-distance) * present
    return (each.sum(1) / present.sum(1).clamp(min=1) * weights).sum()


def products(hidden: Tensor, vectors: Tensor) -> Tensor:
    """Return the dot products with the negatives: [N, D], [K, D] or [N, K, D] -> [N, K]."""
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
        shape: Shape of the result.
        catalogue: V
        probability: [V] float, zero at the reserved numbers; None: uniform.
        device: Device of the result.
        candidates: [C] items to draw from if the draw is uniform; None: the whole catalogue.

    Returns:
        int64 of `shape`.
    """
    if probability is None and candidates is not None:
        return candidates[torch.randint(len(candidates), shape, device=device)]
    if probability is None:
        return torch.randint(NUM_RESERVED, catalogue, shape, device=device)
    count = int(torch.tensor(shape).prod())
    return torch.multinomial(probability, count, replacement=True).view(shape)
