"""Find every user's best items exactly, one block of the catalogue after another.

Only the scores of one block are in memory. Most blocks contain few items that beat a user's best
so far, so no block is sorted: one cheap pass takes the highest score of each chunk of `CHUNK`
items, and only promising chunks are searched. On the CPU, blocks after the first are small enough
to stay in the processor's cache until they are searched. What is found is collected, and merged
into the lists when there is enough of it. Ties go to the smaller number for any block size.

Legend of shapes: U users of a block, V catalogue, D width, N items of a block, C chunks of it,
S seen events, P chunks searched, F items found, K list length.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from conf.contract import NO_ITEM, NUM_RESERVED
from serving.rules.allowed import Adjusting
from serving.rules.history import Seen
from trainer.models.alike import filled_tensor

Adjust = Callable[[int, Tensor], None]
"""Takes the place of a block's first item after the reserved numbers, and its scores: [N, U]."""
CHUNK = 16
"""Items per chunk; a chunk is searched only if its highest score is high enough."""
FIRST_BLOCK, TILE = 8_192, 1_024
"""Most items of the first block and of the others on the CPU: the first one says which scores are
high, the others stay in the cache."""
SHORT_LISTS = 32
"""Up to this length of the lists, boosts change the scores of promising chunks only, not of all."""


class TopK(NamedTuple):
    """The best items of each user, best first."""

    scores: Tensor
    """[U, K], dtype of the input, -inf after the last item."""
    item_idx: Tensor
    """[U, K] int64, `NO_ITEM` after the last item."""


class _Found(NamedTuple):
    """Items that may enter the lists."""

    rows: Tensor
    """[F] int64, row of the user."""
    item_idx: Tensor
    """[F] int64"""
    scores: Tensor
    """[F]"""


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
        block_items: Most items scored together; memory grows with U times this number.
        left_out: [V] bool, items that no list may contain; None: no such items.
        adjust: Changes the scores of a block; None: nothing does.
        adjusting: Changes scores after that; only those that may enter a list are computed.
    """
    by_user = filled_tensor(user_vectors).T.contiguous()  # [D, U], with further users of zeros

    def fill(start: int, scores: Tensor) -> None:
        torch.mm(item_vectors[start : start + len(scores)], by_user, out=scores)
        if left_out is not None:
            scores[left_out[start : start + len(scores)]] = -torch.inf
        if adjust is not None:
            adjust(start - NUM_RESERVED, scores[:, : len(user_vectors)])

    return _best_of_blocks(
        fill,
        user_vectors,
        width=by_user.shape[1],
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
    adjust: Adjust | None = None,
    adjusting: Adjusting | None = None,
) -> TopK:
    """Return the `k` items with the highest score for each user, as `top_k` does.

    Args:
        scores: [U, V]
        k: K
        seen: Pairs that are left out.
        block_items: Items processed together.
        adjust: Changes the scores of a block; None: nothing does.
        adjusting: Changes scores after that; only those that may enter a list are computed.
    """

    def fill(start: int, block: Tensor) -> None:
        block.copy_(scores[:, start : start + len(block)].T)
        if adjust is not None:
            adjust(start - NUM_RESERVED, block)

    return _best_of_blocks(
        fill,
        scores,
        width=len(scores),
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
    width: int,
    num_items: int,
    k: int,
    seen: Seen,
    block_items: int,
    adjusting: Adjusting | None,
) -> TopK:
    """Return the best items of all blocks.

    Args:
        fill: Takes the number of a block's first item and writes the block's scores: [N, width].
        like: [U, any], with the dtype and device of the scores.
        width: U, or more with users of whom nothing is found.
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
    starts = _starts(num_items, block_items, on_cpu=like.device.type == "cpu")
    largest = max((stop - start for start, stop in pairwise(starts)), default=0)
    buffer = like.new_empty((-(-largest // CHUNK) * CHUNK, width))
    # For long lists, bounds of changed scores rule out too few chunks.
    is_applied = adjusting is not None and k > SHORT_LISTS and not adjusting.only_cuts
    found: list[_Found] = []
    for (start, stop), seen_here in zip(pairwise(starts), _by_block(seen, starts), strict=True):
        size = stop - start  # N
        fill(start, buffer[:size])
        scores = buffer[: -(-size // CHUNK) * CHUNK, :users]  # [C * CHUNK, U]
        scores[size:] = -torch.inf
        scores[seen_here.item_idx - start, seen_here.rows] = -torch.inf
        if is_applied and adjusting is not None:
            adjusting.apply(start - NUM_RESERVED, scores[:size])
        found.append(_candidates(scores, best.scores, start, None if is_applied else adjusting))
        is_first, is_last = start == NUM_RESERVED, stop == num_items
        if is_first or is_last or sum(len(one.rows) for one in found) > users * k:
            best = _merge(best, found)
            found = []
    return best


def _starts(num_items: int, block_items: int, *, on_cpu: bool) -> list[int]:
    """Return the first item of each block, and the end of the last one."""
    first, others = block_items, block_items
    if on_cpu:
        first, others = min(FIRST_BLOCK, block_items), min(TILE, block_items)
    after = min(NUM_RESERVED + first, num_items)
    starts = [NUM_RESERVED] if num_items > NUM_RESERVED else []
    return [*starts, *range(after, num_items, others), num_items]


def _by_block(seen: Seen, starts: Sequence[int]) -> Iterator[Seen]:
    """Yield the pairs of each block of items; pairs with reserved numbers are dropped.

    Args:
        seen: The pairs.
        starts: The first item of each block, and the end of the last one.
    """
    item_idx, order = seen.item_idx.sort()
    rows = seen.rows[order]
    bounds = torch.tensor(starts, device=item_idx.device, dtype=item_idx.dtype)
    places = torch.searchsorted(item_idx, bounds).tolist()
    for first, last in pairwise(places):
        yield Seen(rows[first:last], item_idx[first:last])


def _merge(best: TopK, found: Sequence[_Found]) -> TopK:
    """Merge what was found into the lists.

    Args:
        best: Lists of the items of earlier blocks.
        found: Of the blocks since, in their order.
    """
    rows, item_idx, scores = (torch.cat(parts) for parts in zip(*found, strict=True))
    if not len(rows):
        return best
    rows, order = rows.sort(stable=True)
    users, k = best.scores.shape
    counts = torch.bincount(rows, minlength=users)  # [U]
    places = torch.arange(len(rows), device=rows.device) - (counts.cumsum(0) - counts)[rows]
    width = k + int(counts.max())
    merged_scores = best.scores.new_full((users, width), -torch.inf)
    merged_items = best.item_idx.new_full((users, width), NO_ITEM)
    merged_scores[:, :k], merged_items[:, :k] = best
    merged_scores[rows, k + places] = scores[order]
    merged_items[rows, k + places] = item_idx[order]
    # Items with equal scores are already in ascending order; a stable sort keeps that order.
    ordered, order = merged_scores.sort(dim=1, descending=True, stable=True)
    return TopK(ordered[:, :k].contiguous(), merged_items.gather(1, order[:, :k]))


def _candidates(
    scores: Tensor, best_scores: Tensor, start: int, adjusting: Adjusting | None
) -> _Found:
    """Return the items of a block that may enter the lists, those of a row in ascending order.

    No item that belongs in a list is missing; a few others may be included.

    Args:
        scores: [C * CHUNK, U]
        best_scores: [U, K]
        start: Number of the block's first item.
        adjusting: See `top_k`.
    """
    users, k = best_scores.shape
    first = start - NUM_RESERVED
    chunks = scores.view(len(scores) // CHUNK, CHUNK, users)  # [C, CHUNK, U]
    lowest = highest = chunks.amax(1).T.contiguous()  # [U, C], bounds of each chunk's best score
    if adjusting is not None:
        lowest, highest = adjusting.bounds(first, CHUNK, lowest)
    above = best_scores[:, -1:]  # [U, 1]
    promising = highest > above  # [U, C]
    least = None
    if lowest.shape[1] >= k and int(promising.sum()) > 2 * users * k:
        # At least k items reach the k-th highest bound, so lower ones are not among the best k.
        least = lowest.topk(k, sorted=True).values[:, -1:]  # [U, 1]
        promising &= highest >= least
    row, chunk = promising.nonzero(as_tuple=True)  # [P], [P]
    inside = chunks[chunk, :, row]  # [P, CHUNK]
    if adjusting is not None:
        inside = adjusting.at(first + chunk * CHUNK, row, inside)
    fits = inside > above[row]  # [P, CHUNK]
    if least is not None:
        fits &= inside >= least[row]
    found, place = fits.nonzero(as_tuple=True)
    return _Found(row[found], start + chunk[found] * CHUNK + place, inside[found, place])
