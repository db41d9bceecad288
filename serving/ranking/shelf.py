"""The items of a model that rules leave, side by side: what nobody may get is never scored.

Legend of shapes: V catalogue of the model, M items that are left, U users, K list length.
"""

import numpy as np
import torch
from torch import Tensor

from conf.contract import NUM_RESERVED
from serving.ranking.topk import TopK
from serving.rules.history import Seen


class Shelf:
    """Items by their places: the reserved numbers, then those that are left, ascending."""

    def __init__(self, kept: np.ndarray | None, num_items: int, device: torch.device) -> None:
        """Number the places.

        Args:
            kept: [>= M] numbers of the items, ascending; None: all.
            num_items: V
            device: Where the scores are.
        """
        self.kept, self.num_items = kept, num_items
        self.numbers: Tensor | None = None
        """[2 + M] int64; None: the places are the numbers, since all items are left."""
        if kept is None or np.searchsorted(kept, num_items) == num_items - NUM_RESERVED:
            return
        of_model = kept[: np.searchsorted(kept, num_items)]
        numbers = np.concatenate([np.arange(NUM_RESERVED), of_model])
        self.numbers = torch.from_numpy(numbers).to(device)
        self.places = torch.full((num_items,), -1, device=device)  # [V]
        self.places[self.numbers] = torch.arange(len(numbers), device=device)

    def of_items(self, rows: Tensor) -> Tensor:
        """Return rows of a table of all items in the order of places: [V, ...] -> [2 + M, ...]."""
        return rows if self.numbers is None else rows[self.numbers]

    def placed(self, seen: Seen) -> Seen:
        """Return the pairs whose items are left, by place; items newer than the model are not."""
        known = seen.item_idx < self.num_items
        rows, place = seen.rows[known], seen.item_idx[known]
        if self.numbers is None:
            return Seen(rows, place)
        place = self.places[place]
        return Seen(rows[place >= 0], place[place >= 0])

    def numbered(self, best: TopK) -> TopK:
        """Return the best places as numbers of items: [U, K]."""
        if self.numbers is None:
            return best
        number = self.numbers[best.item_idx.clamp(min=0)]
        return best._replace(item_idx=torch.where(best.item_idx >= 0, number, best.item_idx))
