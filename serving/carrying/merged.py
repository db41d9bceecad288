"""Put lists that are kept and lists that were made into one part, as if all had been made.

A sample of the users who keep their lists is scored all the same. If one of these lists differs,
something that lists follow from was overlooked, or this machine adds up in another order in other
batches: then no list is kept.

Legend of shapes: N users of a part, M users who are scored, R rows of lists.
"""

from collections import Counter
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from conf.contract import RULES, USER_ID
from conf.errors import VersionError
from serving.carrying.earlier import Kept
from serving.publishing.parts import BOOST

_ONE_IN = 64
"""Of the users who keep their lists, one in so many is scored, and at least one of a part."""
_RULE = "score.rules.boosts."


class DifferentListsError(VersionError):
    """A list that should be the same is another one."""


def rows_to_score(kept: Kept, user_idx: np.ndarray) -> np.ndarray:
    """Return the users who are scored: [M] rows of the part, ascending.

    Args:
        kept: The lists that are kept.
        user_idx: [N] numbers of the users.
    """
    (rows,) = np.nonzero(kept.is_kept)
    sample = rows[user_idx[rows] % _ONE_IN == 0]
    return np.union1d(np.flatnonzero(~kept.is_kept), sample if len(sample) else rows[:1])


def merged(kept: Kept, made: pa.Table, user_ids: pa.Array, scored: np.ndarray) -> pa.Table:
    """Return the lists of all users of a part, in the order of the users.

    Args:
        kept: The lists that are kept.
        made: Lists of the users who were scored.
        user_ids: [N]
        scored: [M] of `rows_to_score`.

    Raises:
        DifferentListsError: When a list of the sample differs from that which is kept.
    """
    ids = user_ids.take(pa.array(scored))
    owner = scored[pc.index_in(made[USER_ID], value_set=ids).to_numpy().astype(np.int64)]
    if kept.rows.schema.names != made.schema.names:
        old, now = (", ".join(one.schema.names) for one in (kept.rows, made))
        raise DifferentListsError(f"their columns ({old}) are not those of new lists ({now})")
    rows = kept.rows.cast(made.schema)
    in_sample = kept.is_kept[owner]
    sample = owner[in_sample]
    again = rows.filter(pa.array(np.isin(kept.owner, sample)))
    order = np.argsort(kept.owner[np.isin(kept.owner, sample)], kind="stable")
    if not again.take(pa.array(order)).equals(made.filter(pa.array(in_sample))):
        raise DifferentListsError(_told(again, made.filter(pa.array(in_sample))))
    new = ~in_sample
    both = pa.concat_tables([made.filter(pa.array(new)), rows])
    order = np.argsort(np.concatenate([owner[new], kept.owner]), kind="stable")
    return both.take(pa.array(order)).combine_chunks()


def _told(earlier: pa.Table, made: pa.Table) -> str:
    """Return which user's list differs."""
    for user in pc.unique(made[USER_ID]).to_pylist():
        is_it = pc.equal(made[USER_ID], user)
        if not made.filter(is_it).equals(earlier.filter(pc.equal(earlier[USER_ID], user))):
            return f"the new list of user {user!r} differs"
    return "lists are missing"


def with_boosts(counts: Mapping[str, Counter[str]], table: pa.Table) -> dict[str, Counter[str]]:
    """Return what was counted of the rules, with the boosts counted in all rows of a part.

    Args:
        counts: What was counted when a part of the lists was made, by the rule's name.
        table: The lists of all users of the part.
    """
    found = {name: Counter(some) for name, some in counts.items()}
    rules = table[RULES].combine_chunks()
    marks, places = rules.flatten(), pc.list_parent_indices(rules)
    for name in found:
        if name.startswith(_RULE):
            is_it = pc.equal(marks, BOOST + name.removeprefix(_RULE))
            users = table[USER_ID].take(places.filter(is_it))
            found[name]["boosted_places"] = len(users)
            found[name]["lists_touched"] = len(pc.unique(users))
    return found
