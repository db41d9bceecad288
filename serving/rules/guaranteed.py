"""What channels of candidates name for sure, counted without the code that names.

Legend of shapes: N users of a part, V catalogue, S seen (user, item) pairs, E events of a part.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from serving.rules.possible import Possible


class Guaranteed(NamedTuple):
    """A channel that names as many allowed items of its pool as it can."""

    pool: np.ndarray
    """[V] bool"""
    most: int
    """Most items that it names."""
    is_personal: bool
    """Whether it names nothing for users without an event of its pool."""


class Sure(NamedTuple):
    """Items of which lists have so many for sure, if the rules and other items let them."""

    pool: np.ndarray
    """[V] bool"""
    most: int
    """So many of the pool's items that the user may get, or all of them, are candidates."""
    asked: np.ndarray
    """[N] bool, the users whom that counts for."""

    def left(self, user: int, may: np.ndarray, listed: np.ndarray) -> tuple[np.ndarray, int]:
        """Return the items that are not listed yet, and how many of them are candidates at least.

        Args:
            user: Row of the user.
            may: [V] bool, items that the user may get.
            listed: Items of the user's list.
        """
        allowed = np.flatnonzero(self.pool & may)
        rest = np.setdiff1d(allowed, listed)
        count = min(len(allowed), self.most) - (len(allowed) - len(rest))
        return rest, count if self.asked[user] else 0


def sure_candidates(
    channels: Sequence[Guaranteed], rows: np.ndarray, items: np.ndarray, users: int
) -> list[Sure]:
    """Return the channels as they are for the users of a part.

    Args:
        channels: The channels.
        rows: [E] row of the user of each event.
        items: [E]
        users: N
    """
    return [
        Sure(
            pool,
            most,
            (np.bincount(rows[pool[items]], minlength=users) > 0) | (not is_personal),
        )
        for pool, most, is_personal in channels
    ]


def with_candidates(
    possible: Possible,
    channels: Sequence[Guaranteed],
    seen: np.ndarray,
    rows: np.ndarray,
    items: np.ndarray,
) -> Possible:
    """Return how many items each user's list has for sure, in place of those that a model knows.

    The union of the channels has at least the items of the one that names most.

    Args:
        possible: Of the same users, see `serving.rules.possible.count_possible`.
        channels: The channels.
        seen: [S] pairs of `seen_pairs` that lists must not contain.
        rows: [E] row of the user of each event.
        items: [E]
    """
    users = len(possible.model)
    least = np.zeros(users, dtype=np.int64)
    for pool, most, is_personal in channels:
        user, item = np.divmod(seen, len(pool))
        left = int(pool.sum()) - np.bincount(user[pool[item]], minlength=users)
        if is_personal:
            left[np.bincount(rows[pool[items]], minlength=users) == 0] = 0
        least = np.maximum(least, np.minimum(left, most))
    return possible._replace(model=least)
