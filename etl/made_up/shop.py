"""A made-up shop: its items, its users, and how they behave from day to day.

A model can learn this: a user has a few interests and continues, in each, from the item last seen
*in it*; a session jumps between the interests. So the last item alone predicts little, the history
much. Interests drift, categories have seasons, popularity within a category follows Zipf's law,
and new items are released.

Each random generator is seeded by (seed, purpose, day), so no draw depends on the draws of another
day. Arrays: U users, I items, C categories, S interests of a user.
"""

import math
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

import numpy as np

from conf.errors import ConfigError

EVENT_TYPES = ("view", "cart", "purchase")
NUM_INTERESTS = 4
ITEMS_PER_CATEGORY = 50
FOLLOW_SHARE = 0.7
"""Share of views that move to the next item of the interest; the rest jump in the category."""
DRIFT_PER_DAY = 0.01
"""Probability that one of a user's interests changes to another category overnight."""
MEAN_STEPS = 5.0
MAX_STEPS = 20
CART_SHARE = 0.15
PURCHASE_SHARE = 0.4
"""Share of carts that end in a purchase."""
NEW_ITEM_SHARE = 0.15
IDLE_USER_SHARE = 0.01
DAY_SECONDS = 86_400
_LAST_START = 20 * 3600
_EVENTS_PER_SESSION = MEAN_STEPS * (1 + CART_SHARE * (1 + PURCHASE_SHARE))


@dataclass(frozen=True, kw_only=True)
class ShopSpec:
    """Size, period and bad rows of a made-up log."""

    num_users: int
    num_items: int
    num_events: int
    """Expected number of clean events."""
    num_days: int
    first_day: date
    seed: int
    duplicate_share: float = 0.01
    """Share of the clean events, like the other shares."""
    missing_user_share: float = 0.002
    missing_item_share: float = 0.001
    bad_time_share: float = 0.001
    future_time_share: float = 0.001
    negative_price_share: float = 0.001
    num_redelivered_files: int = 2
    num_bots: int = 1
    bot_events: int = 2000
    """Events of each bot, all on one day."""


class DayEvents(NamedTuple):
    """The clean events of one day, ordered by time; arrays of one length."""

    user: np.ndarray
    item: np.ndarray
    event_type: np.ndarray
    """Index into `EVENT_TYPES`."""
    second: np.ndarray
    """Second of the day."""
    session: np.ndarray
    """Number of the session within the day."""


class Shop:
    """Items, users and the state that is carried from day to day."""

    def __init__(self, spec: ShopSpec) -> None:
        self.spec = spec
        rng = np.random.default_rng([spec.seed, 1])
        self.num_categories = max(NUM_INTERESTS + 1, math.ceil(spec.num_items / ITEMS_PER_CATEGORY))
        self.category = np.sort(np.arange(spec.num_items) % self.num_categories)  # [I]
        self.first = np.searchsorted(self.category, np.arange(self.num_categories))  # [C]
        self.size = np.bincount(self.category, minlength=self.num_categories)  # [C]
        self.price = np.round(np.exp(rng.normal(3, 0.8, spec.num_items)) + 0.5, 2)  # [I]
        is_new = rng.random(spec.num_items) < NEW_ITEM_SHARE
        released = rng.integers(1, max(spec.num_days, 2), spec.num_items)
        self.released = np.where(is_new, released, -rng.integers(1, 700, spec.num_items))  # [I]
        self.released[self.first] = -1  # every category has an item from the first day
        self.phase = rng.random(self.num_categories)  # [C]
        self._make_users(rng)

    def _make_users(self, rng: np.random.Generator) -> None:
        users = self.spec.num_users
        self.interests = _distinct(rng, users, self.num_categories)  # [U, S]
        self.last = self._jump(rng, self.interests, day=0)  # [U, S]
        self.taste = rng.dirichlet(np.full(NUM_INTERESTS, 8.0), users)  # [U, S]
        joined = rng.integers(-600, max(self.spec.num_days // 2, 1), users)
        self.joined = np.where(rng.random(users) < 0.8, np.minimum(joined, 0), joined)  # [U]
        activity = rng.lognormal(0, 0.7, users)
        activity[rng.random(users) < IDLE_USER_SHARE] = 0
        self.activity = self._scaled(activity)  # [U]

    def _scaled(self, activity: np.ndarray) -> np.ndarray:
        """Return the probabilities of a session per day that yield the requested number of events.

        Raises:
            ConfigError: When the users cannot make that many events in the given days.
        """
        days = self.spec.num_days - np.maximum(self.joined, 0)  # [U]
        sessions = self.spec.num_events / _EVENTS_PER_SESSION
        scale = sessions / max(float((activity * days).sum()), 1e-9)
        for _ in range(50):  # the cap limits the busiest users; the others make up for it
            expected = float((np.minimum(activity * scale, 0.95) * days).sum())
            scale *= sessions / max(expected, 1e-9)
        if expected < 0.98 * sessions:
            raise ConfigError(
                f"generate.num_events={self.spec.num_events} is too many: "
                f"{self.spec.num_users} users make at most about "
                f"{expected * _EVENTS_PER_SESSION:.0f} events in {self.spec.num_days} days; "
                "lower it, or raise generate.num_users or generate.num_days"
            )
        return np.minimum(activity * scale, 0.95)

    def day(self, day: int) -> DayEvents:
        """Simulate a day, counted from 0, and return its events. Days must be called in order."""
        rng = np.random.default_rng([self.spec.seed, 2, day])
        self._drift(rng, day)
        awake = (rng.random(self.spec.num_users) < self.activity) & (self.joined <= day)
        users = np.flatnonzero(awake)
        steps = np.minimum(rng.geometric(1 / MEAN_STEPS, len(users)), MAX_STEPS)
        second = (rng.beta(4, 2.5, len(users)) * _LAST_START).astype(np.int64)
        parts = []
        for step in range(int(steps.max(initial=0))):
            going = np.flatnonzero(steps > step)
            second[going] += rng.integers(20, 240, len(going))
            items = self._view(rng, users[going], day)
            parts.append(_funnel(rng, users[going], items, second[going], going))
        return _in_order(parts)

    def _drift(self, rng: np.random.Generator, day: int) -> None:
        users = np.flatnonzero(rng.random(self.spec.num_users) < DRIFT_PER_DAY)
        slots = rng.integers(0, NUM_INTERESTS, len(users))
        fresh = rng.integers(0, self.num_categories, len(users))
        known = (self.interests[users] == fresh[:, None]).any(1)
        users, slots, fresh = users[~known], slots[~known], fresh[~known]
        self.interests[users, slots] = fresh
        self.last[users, slots] = self._jump(rng, fresh, day)

    def _view(self, rng: np.random.Generator, users: np.ndarray, day: int) -> np.ndarray:
        """Return the item that each user sees next, and remember it."""
        season = 1 + 0.6 * np.sin(2 * np.pi * (day / 365 + self.phase))  # [C]
        weights = self.taste[users] * season[self.interests[users]]  # [users, S]
        bounds = np.cumsum(weights, axis=1)
        drawn = rng.random(len(users)) * bounds[:, -1]
        slots = (drawn[:, None] > bounds).sum(1).clip(max=NUM_INTERESTS - 1)
        category = self.interests[users, slots]
        place = self.last[users, slots] - self.first[category]
        following = self.first[category] + (place + 1) % self.size[category]
        follows = (rng.random(len(users)) < FOLLOW_SHARE) & (self.released[following] <= day)
        items = np.where(follows, following, self._jump(rng, category, day))
        self.last[users, slots] = items
        return items

    def _jump(self, rng: np.random.Generator, category: np.ndarray, day: int) -> np.ndarray:
        """Draw an item of each category, by Zipf's law over a fixed order of its items."""
        size = self.size[category]
        rank = np.floor(np.exp(rng.random(category.shape) * np.log(size + 1))).astype(np.int64) - 1
        items = self.first[category] + (np.minimum(rank, size - 1) * 7) % size
        known: np.ndarray = np.where(self.released[items] <= day, items, self.first[category])
        return known


def _distinct(rng: np.random.Generator, users: int, num_categories: int) -> np.ndarray:
    """Return different categories for each user: [U, S]."""
    chosen = rng.integers(0, num_categories - NUM_INTERESTS + 1, (users, NUM_INTERESTS))
    return np.sort(chosen, axis=1) + np.arange(NUM_INTERESTS)


def _funnel(
    rng: np.random.Generator,
    users: np.ndarray,
    items: np.ndarray,
    second: np.ndarray,
    session: np.ndarray,
) -> DayEvents:
    """Return the views and the acts that follow: a cart for some, a purchase for some carts."""
    carts = np.flatnonzero(rng.random(len(users)) < CART_SHARE)
    bought = carts[rng.random(len(carts)) < PURCHASE_SHARE]
    rows = np.concatenate([np.arange(len(users)), carts, bought])
    event_type = np.repeat([0, 1, 2], [len(users), len(carts), len(bought)])
    wait = np.array([0, 7, 13])[event_type]  # shorter than the time to the next view
    return DayEvents(users[rows], items[rows], event_type, second[rows] + wait, session[rows])


def _in_order(parts: list[DayEvents]) -> DayEvents:
    if not parts:
        return DayEvents(*(np.zeros(0, dtype=np.int64) for _ in DayEvents._fields))
    joined = [np.concatenate(column) for column in zip(*parts, strict=True)]
    order = np.lexsort((joined[2], joined[0], joined[3]))
    return DayEvents(*(column[order] for column in joined))
