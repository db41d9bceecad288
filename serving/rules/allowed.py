"""What each user may get, asked for by whatever ranks: rules act before the best items are cut.

Legend of shapes: U users asked for, V catalogue, S pairs of user and item.
"""

from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from serving.rules.history import Seen, nothing_seen, seen_items
from trainer.data.columns import Ragged


class Allowed(NamedTuple):
    """What some users must not get; everything else they may."""

    seen: Seen
    """Pairs that are left out."""
    left_out: Tensor | None
    """[V] bool, items that none of them may get; None: no such items."""

    def to(self, device: torch.device) -> "Allowed":
        """Return the same on a device."""
        left_out = None if self.left_out is None else self.left_out.to(device)
        return Allowed(Seen(*(tensor.to(device) for tensor in self.seen)), left_out)

    def left_out_with(self, more: Tensor | None) -> Tensor | None:
        """Return the items that none may get, with others: [V] bool; None: no such items."""
        if more is None or self.left_out is None:
            return more if self.left_out is None else self.left_out
        return self.left_out | more


class Rules(Protocol):
    """The rules for the users of one part."""

    def allowed(self, rows: np.ndarray) -> Allowed:
        """Return what the users of these rows may get; users are numbered in the order of `rows`.

        Args:
            rows: [U] rows of the part.
        """


class HistoryRules:
    """Leaves out the items of each user's history, or nothing."""

    def __init__(self, histories: Ragged, *, drop_seen: bool) -> None:
        self.histories, self.drop_seen = histories, drop_seen

    def allowed(self, rows: np.ndarray) -> Allowed:
        """See `Rules`."""
        return Allowed(seen_items(self.histories, rows) if self.drop_seen else nothing_seen(), None)
