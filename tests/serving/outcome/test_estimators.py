"""Estimates of what was not shown: by hand, against loops, and over many draws of a known shop."""

from typing import Any

import numpy as np
import pytest

from serving.outcome.estimators import (
    DR,
    ESTIMATORS,
    FOLDS,
    IPS,
    PRIOR,
    SNIPS,
    Logged,
    doubly_robust,
    effective_successes,
    effective_users,
    estimates,
    expected_rewards,
)

ONE_GROUP = np.zeros(4, dtype=np.int64)
FOUR = Logged(
    user=np.array([0, 0, 1, 2]),
    position=np.array([1, 2, 1, 1]),
    item=np.array([5, 6, 5, 7]),
    wanted=np.array([5, 7, 5, 5]),
    propensity=np.array([0.5, 0.9, 0.25, 0.1]),
    reward=np.array([1.0, 1.0, 0.0, 1.0]),
    support=np.ones(4),
)


def test_estimates_are_those_worked_out_by_hand() -> None:
    found = estimates(FOUR, ONE_GROUP, 1, 1.0)

    # Weights 2, 0, 4, 0; rewards 1, 1, 0, 1.
    assert found[IPS].value[0] == 2 / 4
    assert found[SNIPS].value[0] == 2 / 6
    shown, wanted = expected_rewards(FOUR)
    by_hand = wanted.copy()
    by_hand[0] += 2 * (1 - shown[0])
    by_hand[2] += 4 * (0 - shown[2])
    assert found[DR].value[0] == pytest.approx(by_hand.mean())
    assert effective_users(FOUR, ONE_GROUP, 1)[0] == (2 + 4) ** 2 / (2**2 + 4**2)
    assert effective_successes(FOUR, ONE_GROUP, 1)[0] == 36 / 20 * 2 / 6


def test_groups_are_estimated_apart() -> None:
    found = estimates(FOUR, np.array([0, 1, 0, 0]), 2, 1.0)

    assert found[IPS].value.tolist() == [2 / 3, 0.0]


def test_the_model_of_a_user_is_fitted_on_other_users_alone() -> None:
    rng = np.random.default_rng(1)
    log = random_log(rng, 60)
    fold = (log.user.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(33)) % FOLDS

    shown, wanted = expected_rewards(log)

    assert len({*fold}) == FOLDS
    for row in range(0, len(log.user), 7):
        others = fold != fold[row]
        mean = log.reward[others].mean()

        def of_place(place: int, others: np.ndarray = others, mean: float = mean) -> float:
            here = others & (log.position == place)
            return float((log.reward[here].sum() + mean) / (here.sum() + 1))

        for item, found in ((log.item[row], shown[row]), (log.wanted[row], wanted[row])):
            same = np.flatnonzero(others & (log.item == item))
            usual = sum(of_place(log.position[one]) for one in same)
            lift = (log.reward[same].sum() + PRIOR) / (usual + PRIOR)
            assert found == pytest.approx(min(of_place(log.position[row]) * lift, 1.0))


def test_a_policy_that_was_shown_has_the_value_of_what_was_shown() -> None:
    log = random_log(np.random.default_rng(2), 200)
    same = log._replace(wanted=log.item, propensity=np.ones(len(log.item)))

    found = estimates(same, np.zeros(len(log.item), dtype=np.int64), 1, 1.0)

    for name in ESTIMATORS:
        assert found[name].value[0] == pytest.approx(log.reward.mean())
    assert doubly_robust(same) == pytest.approx(log.reward)


def random_log(rng: np.random.Generator, users: int) -> Logged:
    size = users * 4
    return Logged(
        np.repeat(np.arange(users), 4),
        np.tile(np.arange(1, 5), users),
        rng.integers(0, 8, size),
        rng.integers(0, 8, size),
        rng.uniform(0.1, 1, size),
        (rng.random(size) < 0.4).astype(float),
        np.ones(size),
    )


USERS, PLACES, ITEMS, SHARE = 4000, 5, 20, 0.2


def known_shop() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return base lists, a policy's lists, and the probability of each outcome [U, K, V].

    The policy keeps half of the places; at the others it has an item that is not in the list.
    """
    rng = np.random.default_rng(7)
    order = np.argsort(rng.random((USERS, ITEMS)), axis=1)
    base, outside = order[:, :PLACES], order[:, PLACES:]
    policy = np.where(rng.random(base.shape) < 0.5, base, outside[:, :PLACES])
    place = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    taste = rng.beta(2, 6, (USERS, 1, 1)) * rng.beta(2, 2, (1, 1, ITEMS)) * 3
    return base, policy, (taste * place[:, None]).clip(0, 1)


def drawn(rng: np.random.Generator, base: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Draw one place of each list, as exploration does: items and propensities [U, K]."""
    users = np.arange(USERS)
    outside = np.argsort(rng.random((USERS, ITEMS)), axis=1)
    is_in = (outside[:, :, None] == base[:, None, :]).any(2)
    pick = outside[users, (~is_in).argmax(1)]
    place = rng.integers(0, PLACES, USERS)
    items, propensity = base.copy(), np.full(base.shape, 1 - SHARE)
    items[users, place] = pick
    propensity[users, place] = SHARE / (ITEMS - PLACES)
    return items, propensity


def over_draws(draws: int) -> dict[str, Any]:
    """Return by estimator how often the interval holds the truth, and the mean error."""
    rng, (base, policy, chance) = np.random.default_rng(8), known_shop()
    truth = np.take_along_axis(chance, policy[:, :, None], 2).mean()
    user, position = np.repeat(np.arange(USERS), PLACES), np.tile(np.arange(1, 6), USERS)
    group = np.zeros(USERS * PLACES, dtype=np.int64)
    held, errors = dict.fromkeys(ESTIMATORS, 0), {name: [] for name in ESTIMATORS}
    widths: dict[str, float] = dict.fromkeys(ESTIMATORS, 0.0)
    for _ in range(draws):
        items, propensity = drawn(rng, base)
        reward = rng.random(base.shape) < np.take_along_axis(chance, items[:, :, None], 2)[..., 0]
        log = Logged(
            user, position, items.ravel(), policy.ravel(), propensity.ravel(),
            reward.ravel().astype(float), np.ones(reward.size),
        )  # fmt: skip
        for name, found in estimates(log, group, 1, 1.0).items():
            held[name] += bool(found.low[0] <= truth <= found.high[0])
            errors[name].append(found.value[0] - truth)
            widths[name] += (found.high[0] - found.low[0]) / draws
    return {"truth": truth, "held": held, "errors": errors, "widths": widths}


@pytest.fixture(scope="module")
def many() -> dict[str, Any]:
    return over_draws(200)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_intervals_hold_the_true_value_in_95_of_100_draws(many: dict[str, Any], name: str) -> None:
    assert 0.90 * 200 <= many["held"][name] <= 0.99 * 200


@pytest.mark.parametrize("name", ESTIMATORS)
def test_estimates_are_right_in_the_mean(many: dict[str, Any], name: str) -> None:
    errors = np.array(many["errors"][name])

    assert abs(errors.mean()) < 4 * errors.std() / np.sqrt(len(errors))
    assert abs(errors.mean()) < 0.02 * many["truth"]


def test_the_model_makes_intervals_narrower(many: dict[str, Any]) -> None:
    assert many["widths"][DR] < many["widths"][IPS]
