"""Leave out what single users must not get, after ranking: cheaper than to mask all scores.

A few more items than needed are ranked, and those that the user must not get are taken out. Users
who come out short are ranked again with all their scores masked, so the result is exact.

Legend of shapes: U users, V items, C items ranked at first, K items found.
"""

from functools import partial
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from conf.contract import NO_ITEM, NUM_RESERVED
from serving.ranking.topk import Adjust, TopK
from serving.rules.allowed import Adjusting, UserMasks
from serving.rules.history import Seen

_TIMES, _MORE, _GROWTH = 2, 4, 8
"""Ranked at first are `_TIMES` times K items and `_MORE`, then `_GROWTH` times as many."""


class Find(Protocol):
    """Finds the best items of some users."""

    def __call__(
        self,
        users: Tensor,
        /,
        *,
        k: int,
        seen: Seen,
        adjust: Adjust | None = None,
        adjusting: Adjusting | None = None,
    ) -> TopK:
        """Return the best items, see `serving.ranking.topk`.

        Args:
            users: Rows of the users.
            k: Items for each user.
            seen: Pairs that are left out.
            adjust: Changes the scores of a block.
            adjusting: Changes scores after that.
        """


def best_unbarred(
    find: Find,
    users: Tensor,
    seen: Seen,
    masks: UserMasks | None,
    *,
    k: int,
    adjusting: Adjusting | None = None,
) -> TopK:
    """Return the best items that each user may get: [U, K].

    Args:
        find: Finds the best items by place.
        users: Rows of U users.
        seen: Pairs that are left out, by place.
        masks: What differs between the users in other ways; None: nothing.
        k: K
        adjusting: Changes the scores; None: nothing does.
    """
    if masks is None or not len(users):
        return find(users, k=k, seen=seen, adjusting=adjusting)
    wide = _TIMES * k + _MORE
    best, is_short = _unbarred(find(users, k=wide, seen=seen, adjusting=adjusting), masks, k)
    for growth in (_GROWTH, None):
        rows = np.flatnonzero(is_short)
        if not len(rows):
            break
        chosen, of_rows = torch.from_numpy(rows).to(users.device), masks.of(rows)
        own = seen_of_rows(seen, chosen, len(users))
        again_adjusting = None if adjusting is None else adjusting.of(chosen)
        find_again = partial(find, users[chosen], seen=own, adjusting=again_adjusting)
        if growth is None:
            again = find_again(k=k, adjust=of_rows.all().bar)
        else:
            many = find_again(k=growth * wide)
            again, is_short[rows] = _unbarred(many, of_rows, k)
        best.scores[chosen], best.item_idx[chosen] = again
    return best


def _unbarred(found: TopK, masks: UserMasks, k: int) -> tuple[TopK, np.ndarray]:
    """Return the best K of the ranked items, and which users may have more below the last one.

    Args:
        found: [U, C]
        masks: What users may get.
        k: K
    """
    items = found.item_idx.cpu().numpy()  # [U, C]
    user, column = np.nonzero(items >= 0)
    barred = items < 0
    barred[user, column] = masks.barred_pairs(user, items[user, column] - NUM_RESERVED)
    is_short = ((~barred).sum(1) < k) & (items[:, -1] >= 0)
    order = torch.from_numpy(np.argsort(barred, axis=1, kind="stable")[:, :k]).to(
        found.scores.device
    )
    gone = torch.from_numpy(barred).to(order.device).gather(1, order)
    scores = found.scores.gather(1, order).masked_fill(gone, -torch.inf)
    return TopK(scores, found.item_idx.gather(1, order).masked_fill(gone, NO_ITEM)), is_short


def seen_of_rows(seen: Seen, chosen: Tensor, users: int) -> Seen:
    """Return the pairs of the chosen users, numbered in their order."""
    place = torch.full((users,), -1, device=chosen.device)
    place[chosen] = torch.arange(len(chosen), device=chosen.device)
    of_chosen = place[seen.rows] >= 0
    return Seen(place[seen.rows][of_chosen], seen.item_idx[of_chosen])
