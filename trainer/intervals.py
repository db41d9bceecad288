"""How sure a figure is: intervals by drawing users anew, and whether two models differ.

Users are drawn, not targets: the targets of one user are no independent measurements.

Legend of shapes: N targets, U users, S draws.
"""

from typing import NamedTuple

import numpy as np

DRAWS = 1000
LEVEL = 0.95


class Interval(NamedTuple):
    """A figure with the bounds between which it lies in `LEVEL` of the draws."""

    value: float
    low: float
    high: float


class Difference(NamedTuple):
    """By how much one model is better than another on the same targets."""

    value: float
    low: float
    high: float
    p: float
    """Two-sided: how often a difference as large comes about where there is none."""


def interval(
    gains: np.ndarray, users: np.ndarray, *, draws: int = DRAWS, seed: int = 1
) -> Interval:
    """Return the mean gain over all targets with its interval.

    Source: Efron 1979, the percentile interval; users are weighted by Poisson(1), which for many
    users is drawing them with replacement.

    Args:
        gains: [N] gain of each target.
        users: [N] whose target it is.
        draws: S
        seed: Of the draws.
    """
    sums, counts = _by_user(gains, users)
    means = _drawn_means(sums, counts, draws, seed)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(sums.sum() / max(counts.sum(), 1)), float(low), float(high))


def difference(
    first: np.ndarray, second: np.ndarray, users: np.ndarray, *, draws: int = DRAWS, seed: int = 1
) -> Difference:
    """Return the first model's mean gain less the second's, with interval and significance.

    The significance is that of a randomisation test: each user's two outcomes are swapped or not,
    by a coin. Source: Fisher 1935; Smucker et al. 2007 for rankings.

    Args:
        first: [N] gains of one model.
        second: [N] of the other, on the same targets.
        users: [N] whose target it is.
        draws: S
        seed: Of the draws.
    """
    sums, counts = _by_user(first - second, users)
    means = _drawn_means(sums, counts, draws, seed)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    seen, rng = abs(sums.sum()), np.random.default_rng([seed, 1])
    moved = sums[sums != 0]  # users without a difference have no part in it
    as_large = sum(
        abs(float(moved @ (2 * rng.integers(0, 2, len(moved)) - 1))) >= seen - 1e-12
        for _ in range(draws)
    )
    value = float(sums.sum() / max(counts.sum(), 1))
    return Difference(value, float(low), float(high), (as_large + 1) / (draws + 1))


def _by_user(gains: np.ndarray, users: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each user's sum of gains and number of targets: [N], [N] -> [U], [U]."""
    _, places = np.unique(users, return_inverse=True)
    return np.bincount(places, weights=gains), np.bincount(places)


def _drawn_means(sums: np.ndarray, counts: np.ndarray, draws: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    means = np.zeros(draws)
    for draw in range(draws):
        weights = rng.poisson(1.0, len(sums))
        means[draw] = (weights @ sums) / max(float(weights @ counts), 1.0)
    return means
