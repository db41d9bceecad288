"""Draw items at random for some places of finished lists, with known probabilities.

A list is made first without chance. Then some of its places are drawn, and at each of them, from
the first on, an item: from those that the user may get and that are not in the list, in proportion
to their weights. So the probability of each item at its place is known:

- at a place that was drawn: the share of places times the item's weight over the weights of all
  that could be there. With one such place in a list that is the probability itself. With several,
  the item's factor is conditional on the items drawn before;
- at a place that could have been drawn, but was not: 1 minus the share of places;
- at a place where no item can be drawn: 1.

All chance follows from a key and the user's number, so any parts and workers draw the same.

Legend of shapes: B users of a batch, U users drawn for together, K places, V catalogue, M items
that some user may get, C kinds of items that caps and shares tell apart.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from conf.contract import NO_ITEM, NUM_RESERVED
from serving.arranging.greedy import breaks
from serving.rules.book import RuleBook
from serving.rules.part import PartRules
from trainer.data.columns import Ragged

_WEIGHTS_AT_ONCE = 1 << 22
"""Pairs of user and item whose weights are in memory together."""
_FINEST_SHARE = 1_000_000
_BLOCK = 256
"""Items whose weights are summed together before one of them is drawn."""
ScoresOf = Callable[[Ragged, np.ndarray, np.ndarray], np.ndarray]
"""Takes histories, [B] rows and [B, K] items, -1 for none; returns the model's scores: [B, K]."""


class Drawn(NamedTuple):
    """Lists of a batch with what was drawn."""

    item_idx: np.ndarray
    """[B, K] int64"""
    is_explored: np.ndarray
    """[B, K] bool"""
    propensity: np.ndarray
    """[B, K] float32"""


class Chance:
    """Numbers that follow from a key: the same for the same numbers asked for, in any order."""

    def __init__(self, *key: object) -> None:
        digest = hashlib.sha256("\0".join(map(str, key)).encode()).digest()
        self.key = int.from_bytes(digest[:8], "big")
        self.number = int.from_bytes(digest[8:], "big")
        """A random number that all users share."""

    def uniform(self, users: np.ndarray, use: int) -> np.ndarray:
        """Return a number of each user, uniform from 0 to below 1: [B] float64.

        Source: Steele, Lea & Flood 2014, splitmix64; here the state is a hash of key, user and use.

        Args:
            users: [B] numbers of the users.
            use: What the number is for; other uses have other numbers.
        """
        mixed = _mixed(users.astype(np.uint64) + np.uint64(self.key))
        bits = _mixed(mixed + np.uint64(use * 0x9E3779B97F4A7C15 % 2**64))
        found: np.ndarray = (bits >> np.uint64(11)).astype(np.float64) / 2.0**53
        return found


def _mixed(state: np.ndarray) -> np.ndarray:
    """Return the next output of splitmix64 for each state: uint64."""
    state = state + np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    found: np.ndarray = state ^ (state >> np.uint64(31))
    return found


class ItemClasses:
    """What caps and shares tell items apart by."""

    def __init__(self, book: RuleBook) -> None:
        """Number the kinds of the items that some user may get."""
        self.caps, self.shares = book.caps, book.shares
        columns = [cap.codes[book.kept] for cap in self.caps]
        columns += [share.is_in[book.kept].astype(np.int64) for share in self.shares]
        table = np.stack([np.zeros(len(book.kept), dtype=np.int64), *columns], axis=1)
        kinds, self.of_items = np.unique(table, axis=0, return_inverse=True)  # [C, .], [M]
        self.codes = [kinds[:, 1 + number] for number in range(len(self.caps))]
        self.is_in = [kinds[:, 1 + len(self.caps) + n] > 0 for n in range(len(self.shares))]
        self.order = np.argsort(self.of_items, kind="stable")
        self.starts = np.searchsorted(self.of_items[self.order], np.arange(len(kinds)))

    def sums(self, weights: np.ndarray) -> np.ndarray:
        """Return the sum of each user's weights by kind: [U, M] -> [U, C]."""
        if len(self.starts) == 1:
            total: np.ndarray = weights.sum(1, keepdims=True)
            return total
        found: np.ndarray = np.add.reduceat(weights[:, self.order], self.starts, axis=1)
        return found

    def fit(self, items: np.ndarray, quotas: Sequence[np.ndarray], place: int) -> np.ndarray:
        """Return which kinds may take a place of the lists: [U, C] bool.

        Args:
            items: [U, K] lists, negative for empty places.
            quotas: Of each share, the places of each list that it should have: [U].
            place: The place, from 0.
        """
        users = len(items)
        fits = np.ones((users, len(self.starts)), dtype=bool)
        for cap, codes in zip(self.caps, self.codes, strict=True):
            of_kinds = np.broadcast_to(codes, fits.shape)
            fits &= ~breaks(cap, items, of_kinds, place, looks_ahead=True)
        for share, is_in, quota in zip(self.shares, self.is_in, quotas, strict=True):
            has = (items >= 0) & share.is_in[items]  # [U, K]
            is_needed = has[:, place] & (has.sum(1) <= quota)
            fits &= is_in | ~is_needed[:, None]
        return fits


@dataclass(frozen=True)
class Exploring:
    """How places and items are drawn."""

    share: Fraction
    chance: Chance
    weights: np.ndarray
    """[V] float64, how likely each item is in relation to others."""
    kinds: ItemClasses
    scores_of: ScoresOf

    def scores(
        self, histories: Ragged, rows: np.ndarray, items: np.ndarray, is_explored: np.ndarray
    ) -> np.ndarray:
        """Return the model's scores of the items that were drawn: [B, K] float32, others 0."""
        found = np.zeros(items.shape, dtype=np.float32)
        users = np.flatnonzero(is_explored.any(1))
        if len(users):
            chosen = np.where(is_explored[users], items[users], NO_ITEM)
            found[users] = self.scores_of(histories, rows[users], chosen)
        return found

    def draw(
        self, rules: PartRules, rows: np.ndarray, items: np.ndarray, may_change: np.ndarray
    ) -> Drawn:
        """Return the lists with items drawn for some places.

        Args:
            rules: The rules of the part.
            rows: [B] rows of the part.
            items: [B, K] the lists, negative for empty places.
            may_change: [B, K] bool, places that may be drawn.
        """
        found = Drawn(
            items.copy(), np.zeros(items.shape, dtype=bool), np.ones(items.shape, dtype=np.float32)
        )
        step = max(_WEIGHTS_AT_ONCE // max(len(rules.kept), 1), 1)
        for start in range(0, len(rows) if len(rules.kept) else 0, step):
            some = slice(start, start + step)
            part = self._draw_some(rules, rows[some], items[some], may_change[some])
            for target, source in zip(found, part, strict=True):
                target[some] = source
        counts = rules.counts["score.exploration"]
        counts["explored_places"] += int(found.is_explored.sum())
        counts["places"] += int((items >= 0).sum())
        counts["lists_touched"] += int(found.is_explored.any(1).sum())
        return found

    def _draw_some(
        self, rules: PartRules, rows: np.ndarray, items: np.ndarray, may_change: np.ndarray
    ) -> Drawn:
        """Return the same for users whose weights are in memory together: [U], [U, K]."""
        users, length = rules.user_idx[rows], items.shape[1]
        weights = np.where(may_get(rules, rows), self.weights[rules.kept], 0.0)  # [U, M]
        user, place = np.nonzero(items >= 0)
        _remove(weights, rules.kept, user, items[user, place])
        quotas = [share.quota(users, length) for share in self.kinds.shares]
        sums = self.kinds.sums(weights)  # [U, C]
        can_draw = np.zeros(items.shape, dtype=bool)
        for number in range(length):
            fits = self.kinds.fit(items, quotas, number)
            can_draw[:, number] = may_change[:, number] & ((sums > 0) & fits).any(1)
        share = float(self.share)
        # A user whose items could run out draws nothing, so every drawn place finds an item.
        enough = (weights > 0).sum(1) >= np.ceil(share * can_draw.sum(1))
        can_draw &= enough[:, None]
        chosen = self._chosen(users, can_draw)
        propensity = np.where(can_draw, 1 - share, 1.0)
        found, is_explored = items.copy(), np.zeros(items.shape, dtype=bool)
        for number in range(length):
            who = np.flatnonzero(chosen[:, number])
            if not len(who):
                continue
            fits = self.kinds.fit(found[who], [quota[who] for quota in quotas], number)
            own = weights[who]
            if not fits.all():
                own = np.where(fits[:, self.kinds.of_items], own, 0.0)
            numbers = self.chance.uniform(users[who], length + number)
            column, probability = drawn_columns(own, numbers)
            has = column >= 0
            item = rules.kept[column[has]]
            found[who[has], number], is_explored[who[has], number] = item, True
            propensity[who, number] = np.where(has, share * probability, 1.0)
            _remove(weights, rules.kept, who[has], item)
        return Drawn(found, is_explored, propensity.astype(np.float32))

    def _chosen(self, users: np.ndarray, can_draw: np.ndarray) -> np.ndarray:
        """Return the places that are drawn, each with the same probability: [U, K] bool.

        A list of n places has n times the share of them, rounded up or down in turn by the user's
        number; where the turn begins is random.

        Args:
            users: [U] numbers of the users.
            can_draw: [U, K] bool
        """
        over, under = self.share.numerator, self.share.denominator
        turn = (users.astype(np.int64) - NUM_RESERVED) % under
        each, begin = can_draw.sum(1) * over, self.chance.number % under
        most = ((turn + 1) * each + begin) // under - (turn * each + begin) // under  # [U]
        keys = np.stack(
            [self.chance.uniform(users, place) for place in range(can_draw.shape[1])], axis=1
        )
        order = np.argsort(np.where(can_draw, keys, 2.0), axis=1, kind="stable")
        rank = np.argsort(order, axis=1, kind="stable")
        chosen: np.ndarray = can_draw & (rank < most[:, None])
        return chosen


def exact_share(share: float) -> Fraction:
    """Return a share as a fraction, to six digits."""
    return Fraction(str(share)).limit_denominator(_FINEST_SHARE)


def may_get(rules: PartRules, rows: np.ndarray) -> np.ndarray:
    """Return which items of `rules.kept` the users of these rows may get: [U, M] bool."""
    found = np.ones((len(rows), len(rules.kept)), dtype=bool)
    if rules.book.by_group:
        packed, group = rules.groups_of(rows)
        found = np.unpackbits(packed, axis=1, count=len(rules.kept)).astype(bool)[group]
    left_out = rules.pairs(rows)
    _remove(found, rules.kept, left_out.rows.numpy(), left_out.item_idx.numpy())
    return found


def drawn_columns(weights: np.ndarray, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Draw a column of each row in proportion to the weights.

    Args:
        weights: [U, M] float64, not negative.
        numbers: [U] uniform random numbers from 0 to below 1.

    Returns:
        [U] int64, the column, -1 where all weights are 0, and [U] float64, its probability.
    """
    rows, starts = np.arange(len(weights)), np.arange(0, weights.shape[1], _BLOCK)
    ends = np.add.reduceat(weights, starts, axis=1).cumsum(1)  # [U, blocks]
    total = ends[:, -1]
    target = np.minimum(numbers * total, np.nextafter(total, 0))
    block = (ends > target[:, None]).argmax(1)
    places = starts[block][:, None] + np.arange(_BLOCK)  # [U, items of a block]
    inside = weights[rows[:, None], places.clip(max=weights.shape[1] - 1)]
    inside[places >= weights.shape[1]] = 0.0
    sums = inside.cumsum(1)
    before = np.where(block > 0, ends[rows, block - 1], 0.0)
    rest = np.minimum(target - before, np.nextafter(sums[:, -1], 0))
    column = starts[block] + (sums > rest[:, None]).argmax(1)
    has = total > 0
    probability = np.where(has, weights[rows, column] / np.where(has, total, 1.0), 0.0)
    return np.where(has, column, -1), probability


def _remove(weights: np.ndarray, kept: np.ndarray, user: np.ndarray, item: np.ndarray) -> None:
    """Set the weights of some pairs to 0, or to false: [S] users, [S] items."""
    place = np.searchsorted(kept, item).clip(0, len(kept) - 1)
    is_there = kept[place] == item
    weights[user[is_there], place[is_there]] = 0
