"""A shop whose lists have one drawn place each, and whose true rates are known by construction."""

from pathlib import Path
from typing import Any

import numpy as np

from conf.settings.config import Config
from serving.arranging.exploring import drawn_columns
from tests.serving.outcome.published_shop import (
    START,
    Lists,
    config_of,
    publish_history,
    shown_and_bought,
    write_events,
    write_lists,
    write_shop,
)

USERS, PLACES, ITEMS, SHARE = 3000, 5, 20, 0.2
APPEAL = np.linspace(0.05, 0.8, ITEMS)
PLACE = np.array([0.9, 0.7, 0.6, 0.5, 0.4])


class Shop:
    """Lists of popular items in any order, and lists of other items."""

    def __init__(self, workspace: Path, seed: int = 1) -> None:
        self.rng = np.random.default_rng(seed)
        order = np.argsort(self.rng.random((USERS, ITEMS)), axis=1)
        self.base, self.outside = order[:, :PLACES], order[:, PLACES:]
        self.shown = self.base
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


def with_exploration(tmp_path: Path, policy: np.ndarray, shop: Shop, **more: Any) -> Path:
    """Publish lists with exploration, write those of a policy; return events of the former.

    Their items, with those that were drawn, are kept as `shop.shown`.
    """
    logged = shop.explored()
    write_lists(tmp_path, "logged", logged)
    write_lists(tmp_path, "other", Lists(policy), **more)
    publish_history(tmp_path, ("logged", START, 1))
    shop.shown = logged.item
    return shop.events_of(logged.item, START + 100)
