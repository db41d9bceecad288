"""Choose the weights of a blend with which a figure is highest.

Legend of shapes: M members, G blends tried together, B rows, V catalogue, R largest rank counted.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch

from trainer.data.columns import Columns
from trainer.evaluation.held_out import held_out_batches
from trainer.evaluation.metrics import rank_counts
from trainer.models.hybrid import standard, weighted_sum
from trainer.models.scorer import Scorer

Blend = tuple[float, ...]
"""M weights that add up to 1."""


def choose_blend(
    measure: Callable[[Sequence[Blend]], Sequence[float]],
    num_members: int,
    *,
    grid_parts: int,
    halvings: int,
) -> tuple[Blend, float]:
    """Search for the blend with the highest figure; return it with its figure.

    A grid is tried first. Then, from the best blend so far, one step of weight is moved between
    each pair of members; the step is halved every time.

    Args:
        measure: Returns the figure of each blend.
        num_members: M
        grid_parts: The weights of the grid are multiples of 1 / `grid_parts`.
        halvings: How often the step is halved.
    """
    parts = grid_parts
    tried = list(_compositions(parts, num_members))
    found = measure([_blend(shares, parts) for shares in tried])
    place = int(np.argmax(found))  # the first of equal ones
    best, figure = tried[place], found[place]
    for _ in range(halvings):
        parts *= 2
        best = tuple(2 * share for share in best)
        tried = list(_steps(best))
        found = measure([_blend(shares, parts) for shares in tried])
        place = int(np.argmax(found))
        if found[place] > figure:
            best, figure = tried[place], found[place]
    return _blend(best, parts), figure


def count_blends(
    members: Mapping[str, Scorer],
    columns: Columns,
    *,
    blends: Sequence[Blend],
    batch_rows: int,
    largest: int,
    drop_seen: bool,
) -> np.ndarray:
    """Count the ranks of one row group's targets for each blend: [G, R + 1].

    Each member scores a batch only once, for all blends.
    """
    counts = np.zeros((len(blends), largest + 1), dtype=np.int64)
    for batch in held_out_batches(columns, batch_rows, drop_seen=drop_seen):
        with torch.no_grad():
            scores = [
                standard(member.scores(batch.histories, batch.rows))[0]
                for member in members.values()
            ]
            device = next((s.device for s in scores if s.is_cuda), scores[0].device)
            scores = [s.to(device) for s in scores]  # M times [B, V]
            for number, blend in enumerate(blends):
                asked = [(s, weight) for s, weight in zip(scores, blend, strict=True) if weight]
                total = weighted_sum(*zip(*asked, strict=True))  # [B, V]
                counts[number] += rank_counts(batch.ranks(total), largest)
    return counts


def _blend(shares: Sequence[int], parts: int) -> Blend:
    return tuple(share / parts for share in shares)


def _compositions(total: int, num_members: int) -> Iterator[tuple[int, ...]]:
    """Yield all ways to split `total` among the members, the first member's largest share first."""
    if num_members == 1:
        yield (total,)
        return
    for first in range(total, -1, -1):
        for others in _compositions(total - first, num_members - 1):
            yield (first, *others)


def _steps(shares: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Yield the shares after moving one part from one member to another, for each such pair."""
    for giver in range(len(shares)):
        for taker in range(len(shares)):
            if shares[giver] and giver != taker:
                moved = list(shares)
                moved[giver] -= 1
                moved[taker] += 1
                yield tuple(moved)
