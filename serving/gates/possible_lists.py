"""What the lists of a part could have without rules, from the histories and the pools of items.

Legend of shapes: N users of a part, V catalogue, S seen pairs.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from serving.rules.guaranteed import Guaranteed, Sure, sure_candidates, with_candidates
from serving.rules.possible import (
    Pools,
    Possible,
    count_possible,
    events_of,
    seen_pairs,
    why_unserved,
)


class Could(NamedTuple):
    """What the lists of a part could have."""

    falls_back: np.ndarray
    """[N] bool, users whom the model knows nothing of: their list is the fallback."""
    seen: np.ndarray
    """[S] int64, pairs of `seen_pairs` that lists must not contain."""
    possible: Possible
    sure: list[Sure] | None
    """What channels of candidates name for sure; None: there are no candidates."""


def could_have(
    histories: pa.ListArray,
    pools: Pools,
    *,
    drop_seen: bool,
    guaranteed: Sequence[Guaranteed] | None,
) -> Could:
    """Return what the lists of a part could have.

    Args:
        histories: [N] lists of item numbers.
        pools: Items that lists may contain.
        drop_seen: Whether lists must not contain seen items.
        guaranteed: What channels of candidates name for sure; None: there are no candidates.
    """
    users = len(histories)
    owner, events = events_of(histories)
    seen = np.zeros(0, dtype=np.int64)
    if drop_seen:
        seen = seen_pairs(owner, events, len(pools.model))
    possible, sure = count_possible(seen, users, pools), None
    if guaranteed is not None:
        possible = with_candidates(possible, guaranteed, seen, owner, events)
        sure = sure_candidates(guaranteed, owner, events, users)
    return Could(why_unserved(owner, events, users, pools) > 0, seen, possible, sure)
