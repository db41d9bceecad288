"""Places whose item the list had elsewhere: over all draws they count nothing, so all is right."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest

from serving.arranging.exploring import drawn_columns
from serving.outcome.estimators import ESTIMATORS
from serving.outcome.impressions import Impressions
from serving.outcome.listed import Listed
from serving.outcome.policy import Cases, Limits, cases_of, judged_policy
from serving.outcome.support import support_of
from tests.serving.outcome.explored_shop import ITEMS, PLACES, SHARE, rates_of

USERS, DRAWS = 1500, 100


def shown_of(items: np.ndarray, propensity: np.ndarray, is_drawn: np.ndarray) -> Impressions:
    """Return whole lists as they were shown; reward is 0: [U, K] each."""
    users, length = items.shape
    size, none = users * length, np.zeros(users * length, dtype=np.int64)
    user = np.repeat(np.arange(users), length)
    listed = Listed(
        user, items.ravel(), np.tile(np.arange(1, length + 1), users), none, none,
        propensity.ravel(), is_drawn.ravel(), none,
    )  # fmt: skip
    return Impressions(user, none + 1, none, none, none > 0, np.zeros(size), listed)


@pytest.mark.parametrize(
    ("num_open", "share"), [(4, 0.2), (4, 0.25), (4, 0.4), (5, 0.5), (2, 0.5), (3, 0.9)]
)
def test_over_all_draws_a_place_counts_if_the_item_could_be_there(
    num_open: int, share: float
) -> None:
    """All sets of places that can be drawn, with their probabilities; the last place is pinned."""
    least = int(num_open * share + 1e-9)
    rest = max(num_open * share - least, 0.0)
    sets, chance = list[tuple[int, ...]](), list[float]()
    for size, likely in ((least, 1 - rest), (least + 1, rest)):
        found = list(combinations(range(num_open), size))
        sets += found
        chance += [likely / len(found)] * len(found)
    can_both_stay = num_open - least >= 2
    is_drawn = np.array([[place in one for place in range(num_open + 1)] for one in sets])
    before = np.arange(num_open + 1)
    items = np.where(is_drawn, 100 + before, before)
    propensity = np.where(is_drawn, share / 7, 1 - share)
    propensity[:, -1] = 1
    shown = shown_of(items, propensity, is_drawn)
    first = shown.taken(np.flatnonzero(shown.listed.position == 1))
    version = np.zeros(len(shown.user), dtype=np.int64)

    for wanted, truth in ((0, 1), (1, 0), (num_open, 0), (50, 1), (100, 1)):
        found = support_of(first, np.full(len(sets), wanted), shown.listed, version)
        first_place = (is_drawn[:, 0], ~is_drawn[:, 0])
        for of_place in first_place if can_both_stay else (np.full(len(sets), True),):
            weights = np.array(chance) * of_place
            assert (found * weights).sum() / weights.sum() == pytest.approx(truth, abs=1e-6)


class _Shop:
    """Users half of whose lists are partly in another order in the policy."""

    def __init__(self) -> None:
        self.rng = rng = np.random.default_rng(3)
        order = np.argsort(rng.random((USERS, ITEMS)), axis=1)
        self.base, self.outside = order[:, :PLACES], order[:, PLACES:]
        is_other = rng.random(self.base.shape) < 0.3
        self.policy = np.where(is_other, self.outside[:, :PLACES], self.base)
        self.policy[::2, 0] = self.base[::2, 1]  # a fixed item, which sells better at place 1
        self.could = np.ones(self.base.shape, dtype=bool)
        self.could[::2, 0] = False

    def draw(self) -> Cases:
        """Return what was shown, with one drawn place in each list."""
        rng, users, share = self.rng, np.arange(USERS), SHARE
        column, probability = drawn_columns(np.ones(self.outside.shape), rng.random(USERS))
        place = rng.integers(0, PLACES, USERS)
        items, is_drawn = self.base.copy(), np.zeros(self.base.shape, dtype=bool)
        propensity = np.full(self.base.shape, 1 - share)
        items[users, place], is_drawn[users, place] = self.outside[users, column], True
        propensity[users, place] = share * probability
        shown = shown_of(items, propensity, is_drawn)
        bought = rng.random(items.shape) < rates_of(items)
        shown = shown._replace(reward=bought.ravel().astype(float))
        wanted = shown_of(self.policy, propensity, is_drawn).listed
        version = np.zeros(items.size, dtype=np.int64)
        return cases_of(shown, wanted, shown.listed, version, 0)

    def truths(self) -> dict[str, float]:
        """Return the true rates at the places that could have the policy's item."""
        drawn = np.stack([rates_of(np.roll(self.outside, n, 1)[:, :PLACES])
                          for n in range(ITEMS - PLACES)]).mean(0)  # fmt: skip
        shown = (1 - SHARE) * rates_of(self.base) + SHARE * drawn
        value, logged = (float(one[self.could].mean()) for one in (rates_of(self.policy), shown))
        return {**dict.fromkeys(ESTIMATORS, value), "logged": logged, "lead": value - logged}


@pytest.fixture(scope="module")
def many() -> dict[str, Any]:
    shop = _Shop()
    truths, supports, weights = shop.truths(), [], []
    held, errors = dict.fromkeys(truths, 0), {name: [] for name in truths}
    for _ in range(DRAWS):
        found = judged_policy("p", shop.draw(), Limits(0.8, 10), 1.0)
        for name, truth in truths.items():
            one = found[name]
            held[name] += one["low"] <= truth <= one["high"]
            errors[name].append(one["value"] - truth)
        supports.append(found["support"])
        weights.append(found["mean_weight"])
    return {
        "truths": truths, "held": held, "errors": errors, "supports": np.array(supports),
        "weights": np.array(weights), "share": shop.could.mean(),
    }  # fmt: skip


@pytest.mark.parametrize("name", [*ESTIMATORS, "logged", "lead"])
def test_places_that_can_never_be_matched_make_no_estimate_wrong(
    many: dict[str, Any], name: str
) -> None:
    errors = np.array(many["errors"][name])

    assert abs(errors.mean()) < 4 * errors.std() / np.sqrt(DRAWS)
    assert 0.90 * DRAWS <= many["held"][name] <= 0.99 * DRAWS


def test_support_and_mean_weight_are_right(many: dict[str, Any]) -> None:
    for found, truth in ((many["supports"], many["share"]), (many["weights"], 1)):
        assert abs(found.mean() - truth) < 4 * found.std() / np.sqrt(DRAWS)
        assert found.std() < 0.1
