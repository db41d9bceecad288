"""Uncertainty of figures: bootstrap intervals, and whether two models differ.

Users are drawn, not targets, because the targets of one user are not independent.

Legend of shapes: N targets, U users or groups of them, S draws, G segments, F figures.
"""

from typing import NamedTuple

import numpy as np

DRAWS = 1000
LEVEL = 0.95
MOST_UNITS = 4096
FEWEST_USERS = 2
"""Fewest users for bounds: draws of a single user are all the same."""
_DRAWS_AT_ONCE = 1000


class Interval(NamedTuple):
    """A figure with its bootstrap interval, which holds the share `LEVEL` of the draws."""

    value: float | None
    """None without targets."""
    low: float | None
    """None with fewer than `FEWEST_USERS`."""
    high: float | None


class Difference(NamedTuple):
    """By how much one model is better than another on the same targets."""

    value: float | None
    low: float | None
    high: float | None
    p: float | None
    """Two-sided p-value: how often chance alone gives a difference this large; None without
    targets."""


def interval(
    gains: np.ndarray, users: np.ndarray, *, draws: int = DRAWS, seed: int = 1
) -> Interval:
    """Return the mean gain over all targets with its interval, see `intervals`.

    Args:
        gains: [N] gain of each target.
        users: [N] user of each target.
        draws: S
        seed: Seed of the draws.
    """
    one, each = np.zeros(len(users), dtype=np.int64), np.ones(len(users))
    bounds = intervals(gains[:, None], users, one, 1, weights=each, draws=draws, seed=seed)
    low, high = (as_bound(bound) for bound in bounds[:, 0, 0])
    return Interval(float(gains.mean()) if len(gains) else None, low, high)


def as_bound(bound: float) -> float | None:
    """Return an entry of `intervals`; None for a segment without bounds."""
    return None if np.isnan(bound) else float(bound)


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
    """Return the bounds of several figures in each of several segments, from the same draws.

    Source: Efron 1979, the percentile interval. Users get Poisson(1) weights, which for many users
    equals drawing with replacement. If there are more than `MOST_UNITS` users, they are assigned
    at random to that many groups, and groups are drawn: the spread of the means is the same, and
    the time does not grow with the users. Source: Wolter 2007, chapter 2, random groups.

    Args:
        gains: [N, F] gain of each target in each figure.
        users: [N] user of each target.
        segments: [N] segment of each target.
        num_segments: G
        weights: [N] weight of each target.
        draws: S; a segment ignores the draws without any of its targets.
        seed: Seed of the draws.

    Returns:
        [2, G, F] low and high bounds; NaN for a segment with fewer than `FEWEST_USERS`.
    """
    rng = np.random.default_rng(seed)
    units = _units(users, rng)  # [N]
    num_units = int(units.max(initial=-1)) + 1
    cells, size = units * num_segments + segments, num_units * num_segments
    columns = [weights, *(weights * one for one in gains.T)]
    sums = np.stack([np.bincount(cells, column, minlength=size) for column in columns])
    by_unit = sums.reshape(len(columns), num_units, num_segments).swapaxes(0, 1)  # [U, 1 + F, G]
    drawn = _drawn(by_unit.reshape(num_units, len(columns) * num_segments), draws, rng)
    counts, *totals = drawn.reshape(draws, len(columns), num_segments).swapaxes(0, 1)  # [S, G]
    bounds = np.full((2, num_segments, gains.shape[1]), np.nan)
    users_of = (by_unit[:, 0] > 0).sum(0)  # [G]
    for place, total in enumerate(totals):
        for segment in range(num_segments):
            has = counts[:, segment] > 0
            if has.any() and users_of[segment] >= FEWEST_USERS:
                means = total[has, segment] / counts[has, segment]
                bounds[:, segment, place] = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return bounds


def _drawn(by_unit: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Return the sums over the units of each draw: [U, any] -> [S, any]."""
    found = np.zeros((draws, by_unit.shape[1]))
    for start in range(0, draws, _DRAWS_AT_ONCE):
        part = found[start : start + _DRAWS_AT_ONCE]
        times = rng.poisson(1.0, (len(part), len(by_unit))).astype(np.float64)  # [<= S, U]
        part[:] = times @ by_unit
    return found


def _units(users: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the unit of each target that is drawn as one, a user or a group: [N] int64."""
    found, owners = np.unique(users, return_inverse=True)
    if len(found) <= MOST_UNITS:
        return owners
    groups: np.ndarray = (rng.permutation(len(found)) % MOST_UNITS)[owners]
    return groups


def difference(
    first: np.ndarray, second: np.ndarray, users: np.ndarray, *, draws: int = DRAWS, seed: int = 1
) -> Difference:
    """Return the first model's mean gain minus the second's, with interval and p-value.

    The p-value is that of a randomisation test, which swaps each user's two outcomes with
    probability 1/2. Source: Fisher 1935; Smucker et al. 2007 for rankings.

    Args:
        first: [N] gains of one model.
        second: [N] gains of the other model, on the same targets.
        users: [N] user of each target.
        draws: S
        seed: Seed of the draws.
    """
    gained = first - second
    _, owners = np.unique(users, return_inverse=True)
    sums = np.bincount(owners, weights=gained)
    seen, rng = abs(sums.sum()), np.random.default_rng([seed, 1])
    moved = sums[sums != 0]  # users without a difference change nothing
    as_large = sum(
        abs(float(moved @ (2 * rng.integers(0, 2, len(moved)) - 1))) >= seen - 1e-12
        for _ in range(draws)
    )
    bounded = interval(gained, users, draws=draws, seed=seed)
    return Difference(*bounded, p=(as_large + 1) / (draws + 1) if len(users) else None)
