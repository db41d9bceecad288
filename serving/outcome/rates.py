"""Rates with intervals that know that rows of one user are not independent.

A rate is a ratio of sums over users: what they gained over what they were shown. Its variance is
that of the linearised ratio, by users. Source: Cochran 1977, chapter 6; Taylor linearisation.

Legend of shapes: M rows, G groups of rows, P pairs of group and user that there are.
"""

from typing import NamedTuple

import numpy as np
from scipy import special

from trainer.evaluation.intervals import FEWEST_USERS, LEVEL, Difference

LEAST_P = 0.001
"""Below this probability, what is seen is no chance."""


class Ratios(NamedTuple):
    """The rate of each group, and how sure it is."""

    value: np.ndarray
    """[G] float64, NaN without rows."""
    variance: np.ndarray
    """[G] float64, NaN with fewer than `FEWEST_USERS`."""
    rows: np.ndarray
    """[G] int64"""
    users: np.ndarray
    """[G] int64"""


class Joined(NamedTuple):
    """The users of each group, numbered."""

    group: np.ndarray
    """[P] int64, group of each pair of group and user."""
    owner: np.ndarray
    """[M] int64, pair of each row."""


def joined(groups: np.ndarray, users: np.ndarray) -> Joined:
    """Return the pairs of group and user that rows are of.

    Args:
        groups: [M] group of each row.
        users: [M] user of each row.
    """
    base = int(users.max(initial=0)) + 1
    pairs, owner = np.unique(groups * base + users, return_inverse=True)
    return Joined(pairs // base, owner)


def ratios(
    groups: np.ndarray,
    num_groups: int,
    users: np.ndarray,
    above: np.ndarray,
    below: np.ndarray | None = None,
) -> Ratios:
    """Return the ratio of sums of each group.

    Args:
        groups: [M] group of each row.
        num_groups: G
        users: [M] user of each row.
        above: [M] what is summed above the line.
        below: [M] what is summed below it; None: 1 for each row.
    """
    below = np.ones(len(groups)) if below is None else below
    group, owner = joined(groups, users)  # [P], [M]
    num_users = np.bincount(group, minlength=num_groups)
    sums = [np.bincount(owner, one, minlength=len(group)) for one in (above, below)]
    over, under = (np.bincount(group, one, minlength=num_groups) for one in sums)  # [G]
    with np.errstate(divide="ignore", invalid="ignore"):
        value = over / under
        rest = sums[0] - value[group] * sums[1]
        spread = np.bincount(group, rest**2, minlength=num_groups)
        variance = spread * num_users / (num_users - 1) / under**2
    variance[num_users < FEWEST_USERS] = np.nan
    rows = np.bincount(groups, minlength=num_groups)
    return Ratios(value, variance, rows, num_users)


def bounds_of_share(
    found: Ratios, most: float, users: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the 95% bounds of shares, or of other ratios from 0 to `most`: [G] each.

    They are Wilson's, with the number of rows that would have the same variance if rows were
    independent; with a variance of 0 the number of users. Source: Wilson 1927; Korn & Graubard
    1998 for the effective number.

    Args:
        found: The ratios.
        most: Largest value that a row can have.
        users: [G] how many users of equal weight there are; None: `found.users`.
    """
    users = found.users if users is None else users
    share = found.value.clip(0, most) / most
    with np.errstate(divide="ignore", invalid="ignore"):
        effective = share * (1 - share) / (found.variance / most**2)
    effective = np.where(np.isfinite(effective) & (effective > 0), effective, users)
    errors = critical(users - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        square = errors**2 / effective
        middle = (share + square / 2) / (1 + square)
        half = np.sqrt(square * (share * (1 - share) + square / 4)) / (1 + square)
    few = users < FEWEST_USERS
    low, high = ((middle + sign * half).clip(0, 1) * most for sign in (-1, 1))
    return np.where(few, np.nan, low), np.where(few, np.nan, high)


def difference(first: Ratios, second: Ratios) -> Difference:
    """Return the first ratio minus the second, of different users, by Welch's test.

    Source: Welch 1947.

    Args:
        first: Of one group.
        second: Of one group.
    """
    parts = np.array([first.variance[0], second.variance[0]])
    total = float(parts.sum())
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = float((parts**2 / (np.array([first.users[0], second.users[0]]) - 1)).sum())
    freedom = total**2 / spread if spread > 0 else 0.0
    return tested(float(first.value[0] - second.value[0]), total, freedom)


def tested(value: float, variance: float, freedom: float, null: float = 0.0) -> Difference:
    """Return an estimate with its 95% bounds, and the p-value of what it is without an effect.

    Args:
        value: The estimate; NaN for none.
        variance: Its variance. NaN or 0: there is nothing to test, so bounds and p are None.
        freedom: Degrees of freedom of Student's t, at least 1 is taken.
        null: What the estimate would be without an effect.
    """
    if np.isnan(value):
        return Difference(None, None, None, None)
    if not np.isfinite(variance) or variance <= 0:
        return Difference(value, None, None, None)
    error = float(np.sqrt(variance))
    half = float(critical(np.array(freedom))) * error
    p = 2 * float(special.stdtr(max(freedom, 1), -abs(value - null) / error))
    return Difference(value, value - half, value + half, p)


def critical(freedom: np.ndarray) -> np.ndarray:
    """Return how many standard errors 95% bounds are away, by Student's t: [G] float64."""
    found: np.ndarray = special.stdtrit(np.maximum(freedom, 1), (1 + LEVEL) / 2)
    return found
