"""Put the lists that rules arranged into the lists of a part, with the rules that touched a place.

Legend of shapes: N users of a part, B users of a batch, K list length.
"""

import numpy as np
import torch
from torch import Tensor

from conf.contract import NO_ITEM
from serving.arranging.arrange import Arranged
from serving.publishing.parts import BOOST, EXPLORED, PIN, REFILL, PartLists
from serving.rules.part import PartRules

_PINS, _BOOSTS = "score.rules.pins.", "score.rules.boosts."


def no_marks(
    rules: PartRules, users: int, k: int, *, explores: bool = False
) -> dict[str, np.ndarray]:
    """Return the marks of lists before there are any: [N, K] bool by text."""
    names = [REFILL, *(PIN + pin.name.removeprefix(_PINS) for pin in rules.book.pins)]
    names += [BOOST + one.name.removeprefix(_BOOSTS) for one in rules.book.boosts]
    if explores:
        names.append(EXPLORED)
    return {name: np.zeros((users, k), dtype=bool) for name in names}


def put_lists(lists: PartLists, made: Arranged, rules: PartRules, *, of_model: bool) -> None:
    """Fill in the lists of a batch and mark their places.

    Args:
        lists: Lists of the part, changed in place.
        made: Lists of the batch.
        rules: The rules of the part.
        of_model: Whether scores are the model's, so that boosts count.
    """
    lists.item_idx[made.rows], lists.scores[made.rows] = made.item_idx, made.scores
    marks = lists.rules
    assert marks is not None  # there are rules
    marks[REFILL][made.rows] = made.is_refill
    if lists.propensity is not None:
        marks[EXPLORED][made.rows] = made.is_explored
        lists.propensity[made.rows] = made.propensity
    for name, items in rules.pins_by_name(made.rows).items():
        is_it = made.is_pinned & (made.item_idx == items[:, None])
        marks[PIN + name.removeprefix(_PINS)][made.rows] = is_it
    if not of_model:
        return
    is_own = (made.item_idx >= 0) & ~made.is_refill & ~made.is_pinned & ~made.is_explored
    user, place = np.nonzero(is_own)
    row = made.rows[user]
    for name, is_boosted in rules.boosted(row, made.item_idx[user, place]).items():
        marks[BOOST + name.removeprefix(_BOOSTS)][row, place] = is_boosted
        rules.counts[name]["boosted_places"] += int(is_boosted.sum())
        rules.counts[name]["lists_touched"] += len(np.unique(row[is_boosted]))


def explained_items(made: Arranged, unknown: np.ndarray | None, num_items: int) -> Tensor:
    """Return the items that have reasons: those that the model scored: [B, K] int64.

    Args:
        made: Lists of the batch.
        unknown: [num_items] bool, items that the model does not know; None: no such items.
        num_items: Size of the model's catalogue.
    """
    is_known = (made.item_idx < num_items) & ~made.is_refill
    if unknown is not None:
        is_known &= ~unknown[made.item_idx.clip(0, num_items - 1)]
    return torch.from_numpy(np.where(is_known, made.item_idx, NO_ITEM))
