"""Ranking figures from counts of ranks.

All figures are computed from integers (the number of targets at each rank), so several workers
get exactly the same figures as one.

Legend of shapes: B rows, V catalogue, R largest rank counted.
"""

import re
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from conf.contract import NUM_RESERVED, UNKNOWN_IDX
from conf.errors import DivergedError

METRICS: dict[str, Callable[[int], float]] = {
    "hr": lambda rank: 1.0,
    "ndcg": lambda rank: 1.0 / float(np.log2(rank + 1)),
    "mrr": lambda rank: 1.0 / rank,
}
"""Gain of one target at a rank of at most k, the rank counted from 1.

With one target per user, recall@k is HR@k, MAP@k is MRR@k and precision@k is HR@k / k.
"""
_COMPARED_ELEMENTS = 1 << 24
"""Most scores compared at once: the sum needs eight bytes for each comparison."""
NEVER = 1 << 62
"""Rank of a target that no list can contain, however long it is."""
_ALIASES = {"recall": "hr", "map": "mrr", "precision": "hr"}


def target_ranks(scores: Tensor, targets: Tensor, seen_rows: Tensor, seen_items: Tensor) -> Tensor:
    """Return the rank of each row's target among all items, from 1.

    Items that the user has seen are left out. Ties are broken against the target: an item with
    the same score counts as ranked above it. A target that is unknown, or that the user has seen,
    cannot be recommended: its rank is `NEVER`, so it is a miss also in a list that is longer than
    the catalogue.

    Args:
        scores: [B, V]; changed in place.
        targets: [B] int64
        seen_rows: [S] int64, row of each seen item.
        seen_items: [S] int64

    Returns:
        [B] int64, 1 to V, or `NEVER`.

    Raises:
        DivergedError: When a score is not a number.
    """
    if bool(torch.isnan(scores).any()):
        raise DivergedError(
            "a score is not a number: the model has diverged; lower train.optimizer.learning_rate "
            "of a network, or correct the numbers in train.counting of another model"
        )
    target_scores = scores.gather(1, targets[:, None])  # [B, 1]
    scores[:, :NUM_RESERVED] = -torch.inf
    scores[seen_rows, seen_items] = -torch.inf
    possible = scores.gather(1, targets[:, None]) > -torch.inf  # [B, 1]
    rows = max(1, _COMPARED_ELEMENTS // scores.shape[1])
    parts = zip(torch.split(scores, rows), torch.split(target_scores, rows), strict=True)
    ranks = torch.cat([(part >= own).sum(1) for part, own in parts])  # [B], the target included
    possible = possible[:, 0] & (targets != UNKNOWN_IDX)  # [B]
    return torch.where(possible, ranks, NEVER)


def rank_counts(ranks: Tensor, largest: int) -> np.ndarray:
    """Count ranks: [B] -> [R + 1] int64; entry 0 counts all ranks above `largest`."""
    clipped = torch.where(ranks <= largest, ranks, 0)
    return torch.bincount(clipped.cpu(), minlength=largest + 1).numpy()


def figures(counts: np.ndarray, at: Sequence[int]) -> dict[str, float | None]:
    """Return the figures at each k: [R + 1] counts -> {"hr@10": ...}; None without targets."""
    return {f"{name}@{k}": figure(counts, f"{name}@{k}") for k in at for name in METRICS}


def figure(counts: np.ndarray, name: str) -> float | None:
    """Return one figure such as `ndcg@10`, the mean over all targets; None without targets.

    Raises:
        ValueError: When the name is not that of a figure, or its k was not counted.
    """
    gain, k, divisor = _gain(name)
    if k >= len(counts):
        raise ValueError(f"{name}: ranks were counted up to {len(counts) - 1} only")
    targets = int(counts.sum())
    if not targets:
        return None
    total = sum(int(counts[rank]) * gain(rank) for rank in range(1, k + 1))
    return total / targets / divisor


def gains(ranks: np.ndarray, name: str) -> np.ndarray:
    """Return the gain of each target; the figure is their mean: [N] ranks -> [N] float64.

    Raises:
        ValueError: When the name is not that of a figure.
    """
    gain, k, divisor = _gain(name)
    by_rank = np.array([0.0, *(gain(rank) / divisor for rank in range(1, k + 1))])  # [k + 1]
    found: np.ndarray = by_rank[np.where(ranks <= k, ranks, 0)]
    return found


def _gain(name: str) -> tuple[Callable[[int], float], int, int]:
    """Return the gain by rank, k, and the divisor of the sum."""
    match = re.fullmatch(r"([a-z]+)@(\d+)", name)
    kind = match.group(1) if match else ""
    gain = METRICS.get(_ALIASES.get(kind, kind))
    if match is None or gain is None:
        raise ValueError(
            f"{name!r} is not a figure; use one of {', '.join([*METRICS, *_ALIASES])}, with @k"
        )
    k = int(match.group(2))
    return gain, k, k if kind == "precision" else 1
