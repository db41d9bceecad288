"""How sure a figure is: intervals by drawing users anew, and whether two models differ.

Users are drawn, not targets: the targets of one user are no independent measurements.

Legend of shapes: N targets, U users, S draws; in `intervals` also G segments and F figures.
"""

from typing import NamedTuple

import numpy as np

DRAWS = 1000
LEVEL = 0.95
MOST_UNITS = 4096


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


def intervals(
    gains: np.ndarray,
    users: np.ndarray,
    segments: np.ndarray,
    num_segments: int,
    *,
    weights: np.ndarray,
    draws: int = DRAWS,
    seed: int = 1,
) -> np.ndarray:
    """Return the bounds of several figures in each of several segments, of the same draws.

    More than `MOST_UNITS` users are dealt out at random to so many groups, which are drawn as one:
    the spread of the means is the same, and the time does not grow with the users. Source:
    Wolter 2007, chapter 2, random groups.

    Args:
        gains: [N, F] gain of each target in each figure.
        users: [N] whose target it is.
        segments: [N] which segment it is in.
        num_segments: G
        weights: [N] how much each target counts.
        draws: S; those without a target of a segment are left out there.
        seed: Of the draws.

    Returns:
        [2, G, F] low and high bounds; 0 for a segment without targets.
    """
    rng = np.random.default_rng(seed)
    units = _units(users, rng)  # [N]
    num_units = int(units.max(initial=-1)) + 1
    cells, shape = units * num_segments + segments, (num_units, num_segments)
    size = num_units * num_segments
    counts = np.bincount(cells, weights, minlength=size).reshape(shape)  # [U, G]
    sums = [np.bincount(cells, weights * one, minlength=size).reshape(shape) for one in gains.T]
    times = rng.poisson(1.0, (draws, num_units)).astype(np.float64)  # [S, U]
    drawn = times @ counts  # [S, G]
    bounds = np.zeros((2, num_segments, gains.shape[1]))
    for place, one in enumerate(sums):
        means = times @ one  # [S, G]
        for segment in range(num_segments):
            has = drawn[:, segment] > 0
            if has.any():
                found = means[has, segment] / drawn[has, segment]
                bounds[:, segment, place] = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return bounds


def _units(users: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return what is drawn as one: users, or groups of them: [N] int64."""
    found, owners = np.unique(users, return_inverse=True)
    if len(found) <= MOST_UNITS:
        return owners
    groups: np.ndarray = (rng.permutation(len(found)) % MOST_UNITS)[owners]
    return groups


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
