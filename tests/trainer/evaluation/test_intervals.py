import numpy as np
import pytest

from trainer.evaluation.intervals import difference, interval


def test_the_interval_of_a_share_is_that_of_its_binomial() -> None:
    gains = (np.arange(2000) < 500).astype(float)

    found = interval(gains, np.arange(2000))

    spread = 1.96 * (0.25 * 0.75 / 2000) ** 0.5
    assert found.value == 0.25
    assert found.low == pytest.approx(0.25 - spread, abs=0.003)
    assert found.high == pytest.approx(0.25 + spread, abs=0.003)


def test_targets_of_one_user_are_not_taken_for_independent_ones() -> None:
    users = np.repeat(np.arange(100), 20)
    gains = (users % 4 == 0).astype(float)  # a user's targets all fare alike

    found = interval(gains, users)

    spread = 1.96 * (0.25 * 0.75 / 100) ** 0.5
    assert found.high - found.low == pytest.approx(2 * spread, rel=0.15)


def test_the_share_of_right_intervals_is_the_level() -> None:
    rng = np.random.default_rng(3)
    hits = 0
    for seed in range(200):
        gains = (rng.random(300) < 0.3).astype(float)
        found = interval(gains, np.arange(300), draws=200, seed=seed)
        hits += found.low <= 0.3 <= found.high
    assert 0.88 <= hits / 200 <= 0.99


def test_a_model_that_is_better_for_nearly_all_is_significantly_better() -> None:
    rng = np.random.default_rng(4)
    second = rng.random(500) * 0.5
    found = difference(second + 0.02 + 0.01 * rng.standard_normal(500), second, np.arange(500))

    assert found.value == pytest.approx(0.02, abs=0.002)
    assert 0 < found.low < found.value < found.high and found.p < 0.01


def test_models_that_differ_by_chance_are_rarely_called_different() -> None:
    rng = np.random.default_rng(5)
    called = 0
    for seed in range(100):
        first, second = rng.random(80), rng.random(80)
        called += difference(first, second, np.arange(80), draws=200, seed=seed).p < 0.05
    assert called <= 12


def test_equal_models_do_not_differ() -> None:
    gains = np.random.default_rng(6).random(50)

    assert difference(gains, gains, np.arange(50)) == (0.0, 0.0, 0.0, 1.0)


def test_one_user_has_a_figure_without_bounds_and_nobody_has_none() -> None:
    """Each draw of a single user is the same: its interval would have no width."""
    gains = np.array([0.0, 1.0, 1.0, 1.0])

    assert interval(gains, np.zeros(4, dtype=np.int64)) == (0.75, None, None)
    assert interval(gains[:0], np.zeros(0, dtype=np.int64)) == (None, None, None)
    nobody = difference(gains[:0], gains[:0], np.zeros(0, dtype=np.int64))
    assert nobody == (None, None, None, None)
    assert difference(gains, gains, np.zeros(4, dtype=np.int64)) == (0.0, None, None, 1.0)
