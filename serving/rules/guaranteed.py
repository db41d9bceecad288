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
