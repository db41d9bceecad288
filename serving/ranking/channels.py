"""Channels: each names the best of its items that the rules allow.

Legend of shapes: N users of a part, U users of the dataset, B users asked for, C candidates of a
channel, V catalogue of the dataset.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from conf.contract import NO_ITEM
from serving.ranking.rankers import Ranker
from serving.rules.allowed import Allowed, Rules, places_in
from serving.rules.history import known_to_model
from trainer.data.columns import Ragged

_MORE = 16
"""An order is read in steps of twice the items that are named, and so many more."""


class Named(NamedTuple):
    """What a channel names for some users."""

    item_idx: np.ndarray
    """[B, C] int64, best first, `NO_ITEM` after the last one."""
    is_finite: np.ndarray
    """[B] bool, False if the model's scores for the user are not finite."""


class PartChannel(Protocol):
    """A channel that knows the users of a part."""

    def names(self, rows: np.ndarray, rules: Rules) -> Named:
        """Return candidates for rows of the part: [B]."""


class Channel(Protocol):
    """Names candidates."""

    @property
    def name(self) -> str:
        """Return its name in `score.candidates`."""

    @property
    def count(self) -> int:
        """Return the most items that it names for one user: C."""

    @property
    def pool(self) -> np.ndarray:
        """Return which items it can name: [V] bool."""

    @property
    def is_personal(self) -> bool:
        """Return whether it names nothing for users without an event of its pool."""

    @property
    def names_all(self) -> bool:
        """Return whether it names as many allowed items as it can, for each user it knows."""

    def for_part(self, histories: Ragged, users: np.ndarray) -> PartChannel:
        """Return the channel for the users of a part: [N] histories, and their numbers."""


def knows(histories: Ragged, pool: np.ndarray) -> np.ndarray:
    """Return which users have an event with an item of the pool: [N] bool."""
    owner = np.repeat(np.arange(len(histories.lengths)), histories.lengths)
    return np.bincount(owner[pool[histories.values]], minlength=len(histories.lengths)) > 0


@dataclass(frozen=True)
class ModelChannel:
    """Names the items of highest score of a model; nothing for users that it does not know."""

    name: str
    count: int
    pool: np.ndarray
    is_personal: bool
    ranker: Ranker
    num_items: int
    """Size of the model's catalogue."""
    unknown: np.ndarray | None
    """See `trainer.models.scorer.Scorer`."""
    names_all: bool = True

    def for_part(self, histories: Ragged, users: np.ndarray) -> "_ModelPart":
        """See `Channel`."""
        known = known_to_model(histories, self.num_items, self.unknown)
        asks = np.ones(len(users), dtype=bool)
        if self.is_personal:
            asks = knows(histories, self.pool)
        return _ModelPart(self, known, asks)


class _ModelPart(NamedTuple):
    channel: ModelChannel
    histories: Ragged
    asks: np.ndarray
    """[N] bool"""

    def names(self, rows: np.ndarray, rules: Rules) -> Named:
        """See `PartChannel`."""
        count = self.channel.count
        items = np.full((len(rows), count), NO_ITEM, dtype=np.int64)
        asked = rows[self.asks[rows]]
        if not len(asked):
            return Named(items, np.ones(len(rows), dtype=bool))
        found = self.channel.ranker.rank(self.histories, asked, k=count, rules=rules)
        is_there = np.isin(rows, found.rows)
        items[is_there] = found.best.item_idx.cpu().numpy()
        return Named(items, is_there | ~self.asks[rows])


@dataclass(frozen=True)
class OrderedChannel:
    """Names the first items of an order, which may depend on the group of the user."""

    name: str
    count: int
    pool: np.ndarray
    orders: Sequence[np.ndarray]
    """For each group its items, best first."""
    groups: np.ndarray
    """[U] int64, group of each user."""
    is_personal: bool = False

    @property
    def names_all(self) -> bool:
        """See `Channel`: an order of a group may lack items of the pool."""
        return len(self.orders) == 1

    def for_part(self, histories: Ragged, users: np.ndarray) -> "_OrderedPart":
        """See `Channel`."""
        return _OrderedPart(self, self.groups[users])


class _OrderedPart(NamedTuple):
    channel: OrderedChannel
    groups: np.ndarray
    """[N]"""

    def names(self, rows: np.ndarray, rules: Rules) -> Named:
        """See `PartChannel`."""
        allowed = rules.allowed(rows)
        is_kept = _kept(rules, len(self.channel.pool))
        items = np.full((len(rows), self.channel.count), NO_ITEM, dtype=np.int64)
        barred = _Barred(rules, allowed, len(self.channel.pool))
        groups = self.groups[rows]
        for group in np.unique(groups):
            order = self.channel.orders[group]
            _name_first(items, np.flatnonzero(groups == group), order[is_kept[order]], barred)
        return Named(items, np.ones(len(rows), dtype=bool))


class _Barred:
    """Which of the items that some user may get a user must not get."""

    def __init__(self, rules: Rules, allowed: Allowed, size: int) -> None:
        self.kept, self.masks, self.size = rules.kept, allowed.masks, size
        row, item = (tensor.numpy() for tensor in allowed.seen)
        self.seen = np.unique(row * size + item)

    def pairs(self, user: np.ndarray, item: np.ndarray) -> np.ndarray:
        """Return which pairs are barred: [S], [S] -> [S] bool."""
        barred = np.isin(user * self.size + item, self.seen)
        if self.masks is not None:
            barred |= self.masks.barred_pairs(user, places_in(self.kept, item))
        return barred


def _kept(rules: Rules, size: int) -> np.ndarray:
    """Return which items some user may get: [V] bool."""
    found = np.full(size, rules.kept is None)
    if rules.kept is not None:
        found[rules.kept] = True
    return found


def _name_first(items: np.ndarray, users: np.ndarray, order: np.ndarray, barred: _Barred) -> None:
    """Fill in the first items of an order that users may get.

    Args:
        items: [B, C] of all users, changed in place.
        users: Places of the users whose order it is.
        order: Items, best first.
        barred: What users must not get.
    """
    count = items.shape[1]
    filled, width = np.zeros(len(items), dtype=np.int64), 2 * count + _MORE
    for start in range(0, len(order), width):
        users = users[filled[users] < count]
        if not len(users):
            return
        some = order[start : start + width]
        pairs = np.repeat(users, len(some)), np.tile(some, len(users))
        may = ~barred.pairs(*pairs).reshape(len(users), len(some))
        place = filled[users, None] + may.cumsum(1) - 1
        user, column = np.nonzero(may & (place < count))
        items[users[user], place[user, column]] = some[column]
        filled[users] += may.sum(1)


@dataclass(frozen=True)
class WholeCatalogue:
    """Names every item of its pool, for a ranker that can afford it."""

    name: str
    pool: np.ndarray
    is_personal: bool = False
    names_all: bool = True

    @property
    def count(self) -> int:
        """See `Channel`."""
        return int(self.pool.sum())

    def for_part(self, histories: Ragged, users: np.ndarray) -> "WholeCatalogue":
        """See `Channel`: it is the same for all parts."""
        return self

    def names(self, rows: np.ndarray, rules: Rules) -> Named:
        """See `PartChannel`."""
        allowed = rules.allowed(rows)
        items = np.flatnonzero(self.pool & _kept(rules, len(self.pool)))
        named = np.tile(items, (len(rows), 1))
        places = np.full(len(self.pool), -1)
        places[items] = np.arange(len(items))
        row, place = allowed.seen.rows.numpy(), places[allowed.seen.item_idx.numpy()]
        named[row[place >= 0], place[place >= 0]] = NO_ITEM
        if allowed.masks is not None and rules.kept is not None:
            of_all = allowed.masks.all().barred(0, len(rules.kept)).numpy()  # [M, B]
            named[of_all[np.searchsorted(rules.kept, items)].T] = NO_ITEM
        return Named(named, np.ones(len(rows), dtype=bool))
