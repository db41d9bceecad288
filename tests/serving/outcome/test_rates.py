"""Rates and their intervals: worked out by hand, and against rates that are known."""

import numpy as np
import pytest
from scipy import stats

from serving.outcome.rates import bounds_of_share, difference, ratios

ONE = np.zeros(100, dtype=np.int64)


def test_rates_and_variances_are_those_worked_out_by_hand() -> None:
    # Group 0: user 0 has 1 of 2, user 1 has 0 of 1. Group 1: user 0 has 1 of 1.
    found = ratios(
        np.array([0, 0, 0, 1]), 3, np.array([0, 0, 1, 0]), np.array([1.0, 0.0, 0.0, 1.0])
    )

    assert found.value.tolist()[:2] == [1 / 3, 1.0] and np.isnan(found.value[2])
    assert found.rows.tolist() == [3, 1, 0] and found.users.tolist() == [2, 1, 0]
    # Residuals 1 - 2/3 and 0 - 1/3; 2 / (2 - 1) times their squares, over 3 squared.
    assert found.variance[0] == pytest.approx(2 * (2 / 9) / 9)
    assert np.isnan(found.variance[1]) and np.isnan(found.variance[2])


def test_bounds_of_single_rows_are_wilsons() -> None:
    reward = np.array([1.0] * 7 + [0.0] * 93)
    found = ratios(ONE, 1, np.arange(100), reward)
    # With the variance of a sample, 100 rows are worth 99.
    critical, share, rows = stats.t.ppf(0.975, 99), 0.07, 99
    middle = (share + critical**2 / (2 * rows)) / (1 + critical**2 / rows)
    half = (
        critical
        / (1 + critical**2 / rows)
        * np.sqrt(share * 0.93 / rows + critical**2 / (4 * rows**2))
    )

    low, high = bounds_of_share(found, 1.0)

    assert low[0] == pytest.approx(middle - half) and high[0] == pytest.approx(middle + half)
    scaled = ratios(ONE, 1, np.arange(100), 3 * reward)
    assert bounds_of_share(scaled, 3.0)[0][0] == pytest.approx(3 * low[0])


def test_without_a_success_the_upper_bound_is_above_zero() -> None:
    low, high = bounds_of_share(ratios(ONE, 1, np.arange(100), np.zeros(100)), 1.0)

    assert low[0] == pytest.approx(0, abs=1e-12) and 0.03 < high[0] < 0.05


def test_a_single_user_has_no_bounds() -> None:
    low, _ = bounds_of_share(ratios(ONE, 1, ONE, np.ones(100)), 1.0)

    assert np.isnan(low[0])


def test_intervals_hold_the_true_rate_though_rows_of_a_user_are_alike() -> None:
    rng, users, each, draws = np.random.default_rng(1), 150, 10, 400
    owner, zeros = np.repeat(np.arange(users), each), np.zeros(users * each, dtype=np.int64)
    held = naive = 0
    for _ in range(draws):
        own = rng.beta(0.5, 4.5, users)  # 0.1 in the mean, and very different users
        reward = (rng.random(users * each) < own[owner]).astype(float)
        low, high = bounds_of_share(ratios(zeros, 1, owner, reward), 1.0)
        held += bool(low[0] <= 0.1 <= high[0])
        low, high = bounds_of_share(ratios(zeros, 1, np.arange(len(owner)), reward), 1.0)
        naive += bool(low[0] <= 0.1 <= high[0])

    assert 0.92 * draws <= held <= 0.98 * draws
    assert naive < 0.85 * draws  # intervals that take rows as independent are too narrow


def compared(rng: np.random.Generator, first: float, second: float) -> float:
    """Return the p-value of two groups of users with these mean rates."""
    sides = []
    for users, mean in ((120, first), (480, second)):
        own = rng.beta(20 * mean, 20 * (1 - mean), users)
        owner = np.repeat(np.arange(users), rng.integers(1, 8, users))
        reward = (rng.random(len(owner)) < own[owner]).astype(float)
        sides.append(ratios(np.zeros(len(owner), dtype=np.int64), 1, owner, reward))
    found = difference(*sides)
    assert found is not None and found.low <= found.value <= found.high
    return found.p


def test_equal_versions_differ_in_one_of_twenty_comparisons() -> None:
    rng = np.random.default_rng(2)
    found = [compared(rng, 0.2, 0.2) for _ in range(600)]

    assert 0.03 <= np.mean(np.array(found) < 0.05) <= 0.075
    assert 0.4 < np.mean(found) < 0.6


def test_a_worse_version_is_found_out() -> None:
    rng = np.random.default_rng(3)

    assert np.mean([compared(rng, 0.1, 0.2) < 0.05 for _ in range(100)]) > 0.95


def test_groups_without_spread_or_without_users_have_no_p() -> None:
    none = ratios(ONE, 1, np.arange(100), np.zeros(100))
    single = ratios(ONE, 1, ONE, np.ones(100))
    empty = ratios(ONE[:0], 1, ONE[:0], np.zeros(0))

    assert difference(none, none) == (0.0, None, None, None)
    assert difference(single, none) == (1.0, None, None, None)
    assert difference(empty, none) == (None, None, None, None)
