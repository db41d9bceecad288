"""What each user may get, asked for by whatever ranks: rules act before the best items are cut.

Legend of shapes: U users asked for, S pairs of user and item, M items that some user may get,
G groups of users, N items of a block, C chunks of it, P chunks of single users.
"""

from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from conf.contract import NUM_RESERVED
from serving.rules.history import Seen, nothing_seen, seen_items
from trainer.data.columns import Ragged


class UserMasks(Protocol):
    """Which items users may get, where that differs between them."""

    def barred_pairs(self, user: np.ndarray, place: np.ndarray) -> np.ndarray:
        """Return which pairs are barred: [S] bool.

        Args:
            user: [S] number of the user.
            place: [S] place of the item in `Rules.kept`.
        """

    def of(self, users: np.ndarray) -> "UserMasks":
        """Return the masks of some users, numbered in their order: [U]."""

    def all(self) -> "GroupMasks":
        """Return all that the users may get."""


class GroupMasks(NamedTuple):
    """Items that groups of users may get."""

    packed: np.ndarray
    """[G, ceil(M / 8)] uint8, a bit for each of `Rules.kept`."""
    group: np.ndarray
    """[U] int64, group of each user."""

    def barred_pairs(self, user: np.ndarray, place: np.ndarray) -> np.ndarray:
        """See `UserMasks`."""
        byte = self.packed[self.group[user], place // 8]
        barred: np.ndarray = (byte >> (7 - place % 8).astype(np.uint8)) & 1 == 0
        return barred

    def of(self, users: np.ndarray) -> "GroupMasks":
        """See `UserMasks`."""
        groups, group = np.unique(self.group[users], return_inverse=True)
        return GroupMasks(self.packed[groups], group)

    def all(self) -> "GroupMasks":
        """See `UserMasks`."""
        return self

    def barred(self, start: int, stop: int) -> Tensor:
        """Return which of the items at these places each user must not get: [N, U] bool."""
        first = start // 8
        bits = np.unpackbits(self.packed[:, first : -(-stop // 8)], axis=1)
        barred = torch.from_numpy(bits[:, start - 8 * first : stop - 8 * first].T == 0)  # [N, G]
        return barred[:, torch.from_numpy(self.group)]

    def bar(self, start: int, scores: Tensor) -> None:
        """Set scores to -inf where the user must not get the item.

        Args:
            start: Place of the first item in `Rules.kept`.
            scores: [N, U], changed in place.
        """
        barred = self.barred(start, start + len(scores))
        scores.masked_fill_(barred.to(scores.device), -torch.inf)


class Adjusting(Protocol):
    """Changes scores of a model before the best items are cut.

    Of two scores of one item, the higher one is not lower afterwards. -inf stays.
    """

    @property
    def only_cuts(self) -> bool:
        """Whether it sets low scores to -inf and leaves all others as they are."""

    def apply(self, start: int, scores: Tensor) -> None:
        """Change the scores of a block of items.

        Args:
            start: Place of the first item in `Rules.kept`.
            scores: [N, U], changed in place.
        """

    def bounds(self, start: int, size: int, peaks: Tensor) -> tuple[Tensor, Tensor]:
        """Return bounds of the best changed score of each chunk of items: [U, C], [U, C].

        Args:
            start: Place of the first chunk's first item in `Rules.kept`.
            size: Items of each chunk.
            peaks: [U, C] best scores before the change.
        """

    def at(self, places: Tensor, users: Tensor, scores: Tensor) -> Tensor:
        """Return the changed scores of neighbouring items: [P, N].

        Args:
            places: [P] place of each first item in `Rules.kept`.
            users: [P]
            scores: [P, N], -inf for places after the last.
        """

    def of(self, users: Tensor) -> "Adjusting":
        """Return the same for some of the users, numbered in their order."""

    def of_pairs(self, user: np.ndarray, place: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """Return the changed scores of pairs: [S] float64, -inf for those that are left out.

        Args:
            user: [S] number of the user.
            place: [S] place of the item in `Rules.kept`.
            scores: [S] float64
        """


class Allowed(NamedTuple):
    """What some users must not get; everything else they may."""

    seen: Seen
    """Pairs that are left out."""
    masks: UserMasks | None = None
    """What differs between users in other ways; None: nothing."""
    adjusting: Adjusting | None = None
    """Changes of the model's scores; None: none."""

    def to(self, device: torch.device) -> "Allowed":
        """Return the same on a device."""
        return self._replace(seen=Seen(*(tensor.to(device) for tensor in self.seen)))


class Rules(Protocol):
    """The rules for the users of one part."""

    @property
    def kept(self) -> np.ndarray | None:
        """Return the items that some user may get: [M] int64, ascending; None: all."""

    def allowed(self, rows: np.ndarray) -> Allowed:
        """Return what the users of these rows may get; users are numbered in the order of `rows`.

        Args:
            rows: [U] rows of the part.
        """


class Unadjusted:
    """The rules without changes of scores, for users whose `Allowed` is known already."""

    def __init__(self, rules: Rules, rows: np.ndarray, allowed: Allowed) -> None:
        self.rules, self.rows = rules, rows
        self.found = allowed._replace(adjusting=None)

    @property
    def kept(self) -> np.ndarray | None:
        """See `Rules`."""
        return self.rules.kept

    def allowed(self, rows: np.ndarray) -> Allowed:
        """See `Rules`."""
        if np.array_equal(rows, self.rows):
            return self.found
        return self.rules.allowed(rows)._replace(adjusting=None)


def places_in(kept: np.ndarray | None, item_idx: np.ndarray) -> np.ndarray:
    """Return the places of items in `Rules.kept`, which has them: [S] -> [S] int64."""
    return item_idx - NUM_RESERVED if kept is None else np.searchsorted(kept, item_idx)


class HistoryRules:
    """Leaves out the items of each user's history, or nothing."""

    kept: np.ndarray | None = None

    def __init__(self, histories: Ragged, *, drop_seen: bool) -> None:
        self.histories, self.drop_seen = histories, drop_seen

    def allowed(self, rows: np.ndarray) -> Allowed:
        """See `Rules`."""
        return Allowed(seen_items(self.histories, rows) if self.drop_seen else nothing_seen())
