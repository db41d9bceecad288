"""Find every user's best items exactly, one block of the catalogue after another.

Only the scores of one block are in memory. Most blocks contain few items that beat a user's best
so far, so no block is sorted: one cheap pass takes the highest score of each chunk of `CHUNK`
items, and only promising chunks are searched. Ties go to the smaller number for any block size.

Legend of shapes: U users of a block, V catalogue, D width, N items of a block, C chunks of it,
S seen events, P chunks searched, K list length.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from conf.contract import NO_ITEM, NUM_RESERVED
from serving.rules.allowed import Adjusting
from serving.rules.history import Seen

Adjust = Callable[[int, Tensor], None]
"""Takes the place of a block's first item after the reserved numbers, and its scores: [N, U]."""
CHUNK = 32
"""Items per chunk; a chunk is searched only if its highest score is high enough."""
SHORT_LISTS = 32
"""Up to this length of the lists, boosts change the scores of promising chunks only, not of all."""


class TopK(NamedTuple):
    """The best items of each user, best first."""

    scores: Tensor
    """[U, K], dtype of the input, -inf after the last item."""
    item_idx: Tensor
    """[U, K] int64, `NO_ITEM` after the last item."""


def top_k(
    user_vectors: Tensor,
    item_vectors: Tensor,
    *,
    k: int,
    seen: Seen,
    block_items: int,
    left_out: Tensor | None = None,
    adjust: Adjust | None = None,
    adjusting: Adjusting | None = None,
) -> TopK:
    """Return the `k` items with the highest dot product for each user, without reserved numbers.

    Args:
        user_vectors: [U, D] float32
        item_vectors: [V, D] float32
        k: K
        seen: Pairs that are left out.
        block_items: Items scored together; memory grows with U times this number.
        left_out: [V] bool, items that no list may contain; None: no such items.
        adjust: Changes the scores of a block; None: nothing does.
        adjusting: Changes scores after that; only those that may enter a list are computed.
    """
    by_user = user_vectors.T.contiguous()  # [D, U]

    def fill(start: int, scores: Tensor) -> None:
        torch.mm(item_vectors[start : start + len(scores)], by_user, out=scores)
        if left_out is not None:
            scores[left_out[start : start + len(scores)]] = -torch.inf
        if adjust is not None:
            adjust(start - NUM_RESERVED, scores)

    return _best_of_blocks(
        fill,
        user_vectors,
        num_items=len(item_vectors),
        k=k,
        seen=seen,
        block_items=block_items,
        adjusting=adjusting,
    )


def top_k_of_scores(
    scores: Tensor,
    *,
    k: int,
    seen: Seen,
    block_items: int,
    left_out: Tensor | None = None,
    adjust: Adjust | None = None,
    adjusting: Adjusting | None = None,
) -> TopK:
    """Return the `k` items with the highest score for each user, as `top_k` does.

    Args:
        scores: [U, V]
        k: K
        seen: Pairs that are left out.
        block_items: Items processed together.
        left_out: [V] bool, items that no list may contain; None: no such items.
        adjust: Changes the scores of a block; None: nothing does.
        adjusting: Changes scores after that; only those that may enter a list are computed.
    """

    def fill(start: int, block: Tensor) -> None:
        block.copy_(scores[:, start : start + len(block)].T)
        if left_out is not None:
            block[left_out[start : start + len(block)]] = -torch.inf
        if adjust is not None:
            adjust(start - NUM_RESERVED, block)

    return _best_of_blocks(
        fill,
        scores,
        num_items=scores.shape[1],
        k=k,
        seen=seen,
        block_items=block_items,
        adjusting=adjusting,
    )


def _best_of_blocks(
    fill: Callable[[int, Tensor], None],
    like: Tensor,
    *,
    num_items: int,
    k: int,
    seen: Seen,
    block_items: int,
    adjusting: Adjusting | None,
) -> TopK:
    """Return the best items of all blocks.

    Args:
        fill: Takes the number of a block's first item and writes the block's scores: [N, U].
        like: [U, any], with the dtype and device of the scores.
        num_items: V
        k: K
        seen: Pairs that are left out.
        block_items: Items per block.
        adjusting: See `top_k`.
    """
    users = len(like)
    best = TopK(
        like.new_full((users, k), -torch.inf),
        torch.full((users, k), NO_ITEM, device=like.device),
    )
    chunks = -(-min(block_items, num_items) // CHUNK)
    buffer = like.new_empty((chunks * CHUNK, users))
    # For long lists, bounds of changed scores rule out too few chunks.
    is_applied = adjusting is not None and k > SHORT_LISTS and not adjusting.only_cuts
    starts = range(NUM_RESERVED, num_items, block_items)
    for start, seen_here in zip(starts, _by_block(seen, starts), strict=True):
        found = min(block_items, num_items - start)  # N
        scores = buffer[: -(-found // CHUNK) * CHUNK]  # [C * CHUNK, U]
        fill(start, scores[:found])
        scores[found:] = -torch.inf
        scores[seen_here.item_idx - start, seen_here.rows] = -torch.inf
        if is_applied and adjusting is not None:
            adjusting.apply(start - NUM_RESERVED, scores[:found])
        best = _merge(best, scores, start, None if is_applied else adjusting)
    return best


def _by_block(seen: Seen, starts: range) -> Iterator[Seen]:
    """Yield the pairs of each block of items; pairs with reserved numbers are dropped."""
    item_idx, order = seen.item_idx.sort()
    rows = seen.rows[order]
    bounds = torch.tensor([*starts, starts.stop], device=item_idx.device)
    places = torch.searchsorted(item_idx, bounds).tolist()
    for first, last in pairwise(places):
        yield Seen(rows[first:last], item_idx[first:last])


def _merge(best: TopK, scores: Tensor, start: int, adjusting: Adjusting | None) -> TopK:
    """Merge the items of a block that beat the best so far into the lists.

    Args:
        best: Lists of the items before `start`.
        scores: [C * CHUNK, U] of the items from `start` on.
        start: Number of the block's first item.
        adjusting: See `top_k`.
    """
    place = start - NUM_RESERVED
    rows, item_idx, found = _candidates(scores, best.scores, place, adjusting)
    if not len(rows):
        return best
    users, k = best.scores.shape
    counts = torch.bincount(rows, minlength=users)  # [U]
    places = torch.arange(len(rows), device=rows.device) - (counts.cumsum(0) - counts)[rows]
    width = k + int(counts.max())
    merged_scores = best.scores.new_full((users, width), -torch.inf)
    merged_items = best.item_idx.new_full((users, width), NO_ITEM)
    merged_scores[:, :k], merged_items[:, :k] = best
    merged_scores[rows, k + places] = found
    merged_items[rows, k + places] = start + item_idx
    # Items with equal scores are already in ascending order; a stable sort keeps that order.
    ordered, order = merged_scores.sort(dim=1, descending=True, stable=True)
    return TopK(ordered[:, :k].contiguous(), merged_items.gather(1, order[:, :k]))


def _candidates(
    scores: Tensor, best_scores: Tensor, start: int, adjusting: Adjusting | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return row, place in the block and score of the items that may enter the lists.

    They are sorted by row and place. No item that belongs in a list is missing; a few others may
    be included.

    Args:
        scores: [C * CHUNK, U]
        best_scores: [U, K]
        start: Place of the first item after the reserved numbers.
        adjusting: See `top_k`.
    """
    users, k = best_scores.shape
    chunks = scores.view(len(scores) // CHUNK, CHUNK, users)  # [C, CHUNK, U]
    lowest = highest = chunks.amax(1).T.contiguous()  # [U, C], bounds of each chunk's best score
    if adjusting is not None:
        lowest, highest = adjusting.bounds(start, CHUNK, lowest)
    above = best_scores[:, -1:]  # [U, 1]
    promising = highest > above  # [U, C]
    least = torch.full_like(above, -torch.inf)  # [U, 1]
    if lowest.shape[1] >= k and int(promising.sum()) > 2 * users * k:
        # At least k items reach the k-th highest bound, so lower ones are not among the best k.
        least = lowest.topk(k, sorted=True).values[:, -1:]
        promising &= highest >= least
    row, chunk = promising.nonzero(as_tuple=True)  # [P], [P]
    inside = chunks[chunk, :, row]  # [P, CHUNK]
    if adjusting is not None:
        inside = adjusting.at(start + chunk * CHUNK, row, inside)
    fits = (inside >= least[row]) & (inside > above[row])  # [P, CHUNK]
    found, place = fits.nonzero(as_tuple=True)
    return row[found], chunk[found] * CHUNK + place, inside[found, place]
