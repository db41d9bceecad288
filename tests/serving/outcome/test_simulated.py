"""The rates and comparisons of the whole command on a shop whose true rates are known."""

from pathlib import Path
from typing import Any

import numpy as np

from serving.outcome.rates import bounds_of_share, ratios
from tests.serving.outcome.explored_shop import ITEMS, PLACES, USERS, Shop, rates_of
from tests.serving.outcome.published_shop import (
    START,
    Lists,
    members_of,
    outcome_of,
    publish_history,
    write_lists,
)

CANARY = 0.3


def test_rates_by_place_cover_the_truth(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    write_lists(tmp_path, "first", Lists(shop.base))
    publish_history(tmp_path, ("first", START, 1))

    result = outcome_of(shop.config(), shop.events_of(shop.base, START + 100))

    [row] = result["versions"]
    truth = rates_of(shop.base).mean(0)
    assert row["shown"] == USERS * PLACES and row["users"] == USERS
    assert row["low"] < truth.mean() < row["high"] < row["low"] + 0.03
    held = [
        one["low"] < truth[place - 1] < one["high"] < one["low"] + 0.05
        for place, one in row["by_position"].items()
    ]
    assert len(held) == PLACES and sum(held) >= PLACES - 1  # see the next test for many draws
    assert row["by_position"][1]["rate"] > row["by_position"][5]["rate"]


def test_intervals_of_places_hold_the_truth_in_95_of_100_draws() -> None:
    rng, draws, held = np.random.default_rng(4), 100, 0
    lists = np.argsort(rng.random((400, ITEMS)), axis=1)[:, :PLACES]
    truth, user = rates_of(lists), np.repeat(np.arange(400), PLACES)
    place = np.tile(np.arange(PLACES), 400)
    for _ in range(draws):
        reward = (rng.random(truth.shape) < truth).astype(float).ravel()
        low, high = bounds_of_share(ratios(place, PLACES, user, reward), 1.0)
        held += int(((low < truth.mean(0)) & (truth.mean(0) < high)).sum())

    assert 0.93 <= held / (draws * PLACES) <= 0.98


def canary(tmp_path: Path, lists: np.ndarray, shop: Shop) -> dict[str, Any]:
    """Return the comparison of a canary with these lists."""
    write_lists(tmp_path, "old", Lists(shop.base))
    write_lists(tmp_path, "new", Lists(lists))
    publish_history(tmp_path, ("old", START, 1), ("new", START + 50, CANARY))
    is_in = members_of(USERS, CANARY)
    shown = np.where(is_in[:, None], lists, shop.base)

    result = outcome_of(shop.config(), shop.events_of(shown, START + 100))

    assert not any("its share is" in note for note in result["notes"])
    [row] = result["comparisons"]
    assert row["of_canary"]["users"] == is_in.sum()
    assert row["of_base"]["users"] == USERS - is_in.sum()
    return dict(row["difference"])


def test_a_worse_canary_is_found_out(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    worse = np.sort(shop.base, axis=1)  # the best items at the places that nobody looks at
    truth = float((rates_of(worse) - rates_of(shop.base)).mean())

    found = canary(tmp_path, worse, shop)

    assert found["value"] < 0 and found["p"] < 0.01
    assert found["low"] < truth < found["high"] < 0


def test_an_equal_canary_is_not(tmp_path: Path) -> None:
    shop = Shop(tmp_path)

    found = canary(tmp_path, shop.base.copy(), shop)

    assert found["low"] < 0 < found["high"] and found["p"] > 0.05
