"""What lists would have got that were not shown, from lists with known probabilities.

Each place of a list is a case of its own: what happens there depends on the user, the place and
the item, not on the items beside it (the item-position model). The policy has one item for each
place. Where it is the item that was shown, the outcome counts with the weight 1 / propensity.

Source: Horvitz & Thompson 1952 (IPS); Hesterberg 1995 and Swaminathan & Joachims 2015 (SNIPS);
Dudik, Langford & Li 2011 (DR); Li et al. 2018 (item-position model).

Legend of shapes: M logged places, U users, G groups of places, V items, F folds.
"""

from typing import NamedTuple

import numpy as np

from serving.outcome.rates import bounds_of_share, joined, ratios

IPS, SNIPS, DR = "ips", "snips", "dr"
ESTIMATORS = (IPS, SNIPS, DR)
FOLDS = 5
PRIOR = 5.0
"""Expected successes that count as much for an item as its own."""


class Logged(NamedTuple):
    """Places of lists that were shown, with the item that another policy has there."""

    user: np.ndarray
    """[M] int64"""
    position: np.ndarray
    """[M] int64, from 1"""
    item: np.ndarray
    """[M] int64, that was shown."""
    wanted: np.ndarray
    """[M] int64, that the policy has there."""
    propensity: np.ndarray
    """[M] float64, probability of the item that was shown."""
    reward: np.ndarray
    """[M] float64"""
    support: np.ndarray
    """[M] float64, 1 where the policy's item could have been; see `serving.outcome.support`."""

    @property
    def weights(self) -> np.ndarray:
        """1 / propensity where the policy has the item that was shown, else 0: [M] float64."""
        return np.where(self.item == self.wanted, 1 / self.propensity, 0.0)


class Estimate(NamedTuple):
    """The value of a policy in each group: the mean reward of a place with support."""

    value: np.ndarray
    """[G] float64"""
    low: np.ndarray
    """[G] float64"""
    high: np.ndarray
    """[G] float64"""


def estimates(
    logged: Logged, groups: np.ndarray, num_groups: int, most: float
) -> dict[str, Estimate]:
    """Return the estimates of each kind, with 95% intervals by users.

    Args:
        logged: [M]
        groups: [M] group of each place.
        num_groups: G
        most: Largest possible reward; bounds are cut at 0 and there.
    """
    weights, by = logged.weights, (groups, num_groups, logged.user)
    support = logged.support
    effective = effective_users(logged, groups, num_groups)
    found = {
        IPS: ratios(*by, weights * logged.reward, support),
        SNIPS: ratios(*by, weights * logged.reward, weights),
        DR: ratios(*by, doubly_robust(logged), support),
    }
    return {
        name: Estimate(one.value, *bounds_of_share(one, most, effective))
        for name, one in found.items()
    }


def doubly_robust(logged: Logged) -> np.ndarray:
    """Return what each place adds to the doubly robust estimate: [M] float64.

    It is the reward that a model expects of the policy's item, as often as the place counts, and
    the weighted error of the model where the policy's item was shown. The model of a user is fitted
    on other users.
    """
    shown, wanted = expected_rewards(logged)
    found: np.ndarray = logged.support * wanted + logged.weights * (logged.reward - shown)
    return found


def expected_rewards(logged: Logged) -> tuple[np.ndarray, np.ndarray]:
    """Return what a simple model expects of the shown item and of the policy's: [M] each.

    It is the mean reward of the place, times how much better the item is than its places: its
    rewards over those that its places expect, both with `PRIOR` added. Users are in `FOLDS`
    parts, and each part has a model of the others.
    """
    most = float(logged.reward.max(initial=0.0))
    fold = _folds(logged.user)
    places = int(logged.position.max(initial=0)) + 1
    items = int(max(logged.item.max(initial=0), logged.wanted.max(initial=0))) + 1
    shown, wanted = np.zeros(len(fold)), np.zeros(len(fold))
    for number in range(FOLDS):
        here, others = fold == number, fold != number
        position, reward = logged.position[others], logged.reward[others]
        count = np.bincount(position, minlength=places)
        mean = float(reward.mean()) if len(reward) else 0.0
        # One row of the mean keeps the rate of a place that is rare.
        of_place = (np.bincount(position, reward, minlength=places) + mean) / (count + 1)
        gained = np.bincount(logged.item[others], reward, minlength=items)
        usual = np.bincount(logged.item[others], of_place[position], minlength=items)
        lift = (gained + PRIOR) / (usual + PRIOR)
        base = of_place[logged.position[here]]
        shown[here] = (base * lift[logged.item[here]]).clip(max=most)
        wanted[here] = (base * lift[logged.wanted[here]]).clip(max=most)
    return shown, wanted


def _folds(users: np.ndarray) -> np.ndarray:
    """Return the fold of each user's places, the same in any order of rows: [M] int64."""
    mixed = users.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    found: np.ndarray = (mixed >> np.uint64(33)).astype(np.int64) % FOLDS
    return found


def effective_users(logged: Logged, groups: np.ndarray, num_groups: int) -> np.ndarray:
    """Return how many users of equal weight are worth as much as those of each group: [G] float64.

    Source: Kish 1965, by the sums of the users' weights.
    """
    group, owner = joined(groups, logged.user)
    sums = np.bincount(owner, logged.weights, minlength=len(group))
    return _kish(group, num_groups, sums)


def effective_successes(logged: Logged, groups: np.ndarray, num_groups: int) -> np.ndarray:
    """Return how many successes the places of equal weight would have: [G] float64.

    It is the effective number of places times their weighted rate. If it is small, the few places
    that count most may well be without a success, and then their spread is not seen.
    """
    places = _kish(groups, num_groups, logged.weights)
    has_success = (logged.reward > 0) * logged.weights
    total = np.bincount(groups, logged.weights, minlength=num_groups)
    gained = np.bincount(groups, has_success, minlength=num_groups)
    found: np.ndarray = places * gained / np.where(total > 0, total, 1)
    return found


def _kish(groups: np.ndarray, num_groups: int, weights: np.ndarray) -> np.ndarray:
    total = np.bincount(groups, weights, minlength=num_groups)
    squares = np.bincount(groups, weights**2, minlength=num_groups)
    found: np.ndarray = np.where(squares > 0, total**2 / np.where(squares > 0, squares, 1), 0.0)
    return found
