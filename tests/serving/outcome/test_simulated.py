"""The whole command on a shop whose true rates are known by construction."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conf.errors import ConfigError, InputError
from conf.settings.config import Config
from serving.arranging.exploring import drawn_columns
from serving.outcome.rates import bounds_of_share, ratios
from tests.serving.outcome.published_shop import (
    DAYS,
    START,
    Lists,
    config_of,
    members_of,
    outcome_of,
    publish_history,
    shown_and_bought,
    write_events,
    write_lists,
    write_shop,
)

USERS, PLACES, ITEMS, SHARE = 3000, 5, 20, 0.2
APPEAL = np.linspace(0.05, 0.8, ITEMS)
PLACE = np.array([0.9, 0.7, 0.6, 0.5, 0.4])
CANARY = 0.3


class Shop:
    """Lists of popular items in any order, and lists of other items."""

    def __init__(self, workspace: Path, seed: int = 1) -> None:
        self.rng = np.random.default_rng(seed)
        order = np.argsort(self.rng.random((USERS, ITEMS)), axis=1)
        self.base, self.outside = order[:, :PLACES], order[:, PLACES:]
        self.workspace = workspace
        write_shop(workspace, USERS, ITEMS)

    def explored(self) -> Lists:
        """Return the lists with one drawn place each."""
        users = np.arange(USERS)
        weights = np.ones((USERS, ITEMS - PLACES))
        column, probability = drawn_columns(weights, self.rng.random(USERS))
        place = self.rng.integers(0, PLACES, USERS)
        items, is_drawn = self.base.copy(), np.zeros(self.base.shape, dtype=bool)
        propensity = np.full(self.base.shape, 1 - SHARE)
        items[users, place], is_drawn[users, place] = self.outside[users, column], True
        propensity[users, place] = SHARE * probability
        return Lists(items, propensity, is_drawn)

    def policy(self, changed: float = 0.5) -> np.ndarray:
        """Return lists with other items at a share of the places."""
        is_other = self.rng.random(self.base.shape) < changed
        return np.where(is_other, self.outside[:, :PLACES], self.base)

    def events_of(self, shown: np.ndarray, second: int) -> Path:
        events, _ = shown_and_bought(shown, second, APPEAL, PLACE, self.rng)
        return write_events(self.workspace / "events.parquet", events)

    def config(self, *overrides: str) -> Config:
        return config_of(self.workspace, *overrides)


def rates_of(lists: np.ndarray) -> np.ndarray:
    """Return the true rate of each place of lists: [U, K]."""
    found: np.ndarray = APPEAL[lists] * PLACE
    return found


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


def with_exploration(tmp_path: Path, policy: np.ndarray, shop: Shop, **more: Any) -> Path:
    """Publish lists with exploration, write those of a policy; return events of the former."""
    logged = shop.explored()
    write_lists(tmp_path, "logged", logged)
    write_lists(tmp_path, "other", Lists(policy), **more)
    publish_history(tmp_path, ("logged", START, 1))
    return shop.events_of(logged.item, START + 100)


def test_a_policy_that_was_never_shown_is_estimated(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    policy = shop.policy()
    events = with_exploration(tmp_path, policy, shop)

    result = outcome_of(shop.config(), events, policy="other")

    [found] = result["policies"]
    truth = rates_of(policy).mean()
    for name in ("ips", "snips", "dr"):
        one = found[name]
        assert one["low"] < truth < one["high"] < one["low"] + 0.15
    assert found["support"] == 1.0 and found["mean_weight"] == pytest.approx(1, abs=0.1)
    assert found["logged"]["low"] < rates_of(shop.base).mean() * 0.9 + 0.05
    assert set(found["by_position"]) == {1, 2, 3, 4, 5}
    assert "What other lists would have got" in Path(result["page"]).read_text()


def test_the_policy_that_was_shown_has_the_rate_that_it_had(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    events = with_exploration(tmp_path, shop.base, shop)

    [found] = outcome_of(shop.config(), events, policy="other")["policies"]

    truth = rates_of(shop.base).mean()
    assert found["dr"]["low"] < truth < found["dr"]["high"] < found["dr"]["low"] + 0.03
    assert found["by_position"][1]["snips"]["value"] > found["by_position"][5]["snips"]["value"]


def refusal(tmp_path: Path, policy: np.ndarray, *overrides: str, shop: Shop) -> InputError:
    events = with_exploration(tmp_path, policy, shop)
    with pytest.raises(InputError) as caught:
        outcome_of(shop.config(*overrides), events, policy="other")
    assert caught.value.made is not None and caught.value.made["versions"]  # the rates are told
    assert caught.value.exit_code == 3
    return caught.value


def test_lists_in_another_order_have_no_support(tmp_path: Path) -> None:
    """Exploration draws items that are not in the list, so no item changes its place."""
    shop = Shop(tmp_path)

    error = refusal(tmp_path, shop.base[:, ::-1], shop=shop)

    assert "outcome.min_support is 80%" in str(error)


def test_items_that_rules_kept_from_users_have_no_support(tmp_path: Path) -> None:
    """The places were open, but the weights say that the items were never drawn there."""
    shop = Shop(tmp_path)
    shop.outside = np.where(shop.outside == ITEMS - 1, shop.outside[:, :1], shop.outside)
    policy = np.full_like(shop.base, ITEMS - 1)
    policy[:, 1:] = shop.base[:, 1:]

    found = refusal(tmp_path, policy, "outcome.min_support=0.95", shop=shop)

    assert "the mean weight of the places is" in str(found)


def test_too_few_users_are_refused(tmp_path: Path) -> None:
    shop = Shop(tmp_path)

    error = refusal(tmp_path, shop.policy(), "outcome.min_effective=100000", shop=shop)

    assert "the effective number of users is" in str(error)
    assert "outcome.min_effective is 100,000" in str(error)


def test_too_few_successes_are_refused(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    events = with_exploration(tmp_path, shop.policy(), shop)
    table = pq.read_table(events)
    bought = np.flatnonzero(np.array(table["type"].to_pylist()) == "buy")
    write_events(events, table.take(pa.array([*range(USERS * PLACES), *bought[:3]])))

    with pytest.raises(InputError, match=r"are worth 0.* successes, and an interval needs 10"):
        outcome_of(shop.config(), events, policy="other")


def test_a_policy_that_knows_the_outcome_is_not_estimated_from_it(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    events = with_exploration(tmp_path, shop.policy(), shop, day="2026-02-10", dataset="gone")

    with pytest.raises(InputError, match=r"left .before_the_policys_data_ended 15,000"):
        outcome_of(shop.config(), events, policy="other")

    publish_history(tmp_path, ("logged", START, 1))
    later = pq.read_table(events)
    moved = later.set_column(
        2, "time", pa.array(later["time"].to_numpy() + DAYS)
    )  # the day after the policy's data ended
    write_events(events, moved)
    [found] = outcome_of(shop.config(), events, policy="other")["policies"]
    assert found["support"] == 1.0


def test_lists_without_propensities_are_refused(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    write_lists(tmp_path, "plain", Lists(shop.base))
    publish_history(tmp_path, ("plain", START, 1))

    with pytest.raises(ConfigError, match=r"have none; set score\.exploration") as caught:
        outcome_of(shop.config(), shop.events_of(shop.base, START + 9), policy="plain")

    assert caught.value.made is not None and caught.value.made["versions"]
