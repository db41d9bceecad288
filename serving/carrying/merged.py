"""Put lists that are kept and lists that were made into one part, as if all had been made.

A sample of the users who keep their lists is scored all the same. If one of these lists differs,
the basis lacks something that lists depend on, or this machine adds up in another order in other
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
"""Of the users who keep their lists, one in so many is scored, and at least one of a part: less
than 2% of the work. Each version has its own sample, so that in time every user is compared."""
_RULE = "score.rules.boosts."


class NotKeptError(VersionError):
    """Lists of the earlier version cannot be kept: they are damaged, or one of them differs."""


def rows_to_score(kept: Kept, user_idx: np.ndarray, request: str) -> np.ndarray:
    """Return the users who are scored: [M] rows of the part, ascending.

    Args:
        kept: The lists that are kept.
        user_idx: [N] numbers of the users.
        request: Request of the version, in hexadecimal digits; it chooses the sample.
    """
    turn = int(request[:8], 16)
    (rows,) = np.nonzero(kept.is_kept)
    sample = rows[user_idx[rows] % _ONE_IN == turn % _ONE_IN]
    if not len(sample):
        sample = rows[[turn % len(rows)]]
    return np.union1d(np.flatnonzero(~kept.is_kept), sample)


def merged(kept: Kept, made: pa.Table, user_ids: pa.Array, scored: np.ndarray) -> pa.Table:
    """Return the lists of all users of a part, in the order of the users.

    Args:
        kept: The lists that are kept.
        made: Lists of the users who were scored.
        user_ids: [N]
        scored: [M] of `rows_to_score`.

    Raises:
        NotKeptError: When the two have other columns, or a list of the sample differs from that
            which is kept.
    """
    if not kept.rows.schema.equals(made.schema):
        raise NotKeptError(
            f"their columns are {_columns(kept.rows)}, and those of new lists {_columns(made)}"
        )
    rows = kept.rows.cast(made.schema)  # without the metadata of files
    ids = user_ids.take(pa.array(scored))
    owner = scored[pc.index_in(made[USER_ID], value_set=ids).to_numpy().astype(np.int64)]
    is_sampled = kept.is_kept[owner]
    is_compared = np.isin(kept.owner, owner[is_sampled])
    order = np.argsort(kept.owner[is_compared], kind="stable")
    earlier = rows.filter(pa.array(is_compared)).take(pa.array(order))
    again = made.filter(pa.array(is_sampled))
    if not earlier.equals(again):
        raise NotKeptError(_first_difference(earlier, again))
    both = pa.concat_tables([made.filter(pa.array(~is_sampled)), rows])
    order = np.argsort(np.concatenate([owner[~is_sampled], kept.owner]), kind="stable")
    return both.take(pa.array(order)).combine_chunks()


def _columns(table: pa.Table) -> str:
    return ", ".join(f"{column.name} ({column.type})" for column in table.schema)


def _first_difference(earlier: pa.Table, made: pa.Table) -> str:
    """Return which user's list differs."""
    for user in pc.unique(made[USER_ID]).to_pylist():
        one, other = (table.filter(pc.equal(table[USER_ID], user)) for table in (earlier, made))
        if not one.equals(other):
            return f"the list of user {user!r} differs"
    return "lists are missing"


def with_boosts(counts: Mapping[str, Counter[str]], table: pa.Table) -> dict[str, Counter[str]]:
    """Return what was counted of the rules, with the boosts counted in all rows of a part.

    Only boosts can touch a list that is kept: it is whole, without refilled places, and with rules
    that pin, cap or share places no list is kept. So all other counts are those of the made lists.
    A new count of rules that such lists can have must be corrected here too.

    Args:
        counts: What was counted when a part of the lists was made, by the rule's name.
        table: The lists of all users of the part.
    """
    found = {name: Counter(of_rule) for name, of_rule in counts.items()}
    rules = table[RULES].combine_chunks()
    marks, places = rules.flatten(), pc.list_parent_indices(rules)
    for name in found:
        if name.startswith(_RULE):
            is_boost = pc.equal(marks, BOOST + name.removeprefix(_RULE))
            users = table[USER_ID].take(places.filter(is_boost))
            found[name]["boosted_places"] = len(users)
            found[name]["lists_touched"] = len(pc.unique(users))
    return found
