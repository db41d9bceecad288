"""Signs that a log is sorted by item: by the id, or by something that the log does not tell.

Models of sequences learn such an order and find it again in the test part.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from conf.contract import ITEM_ID, ITEM_IDX, NUM_RESERVED

Pairs = tuple[np.ndarray, np.ndarray]
"""[P] int32 each: the items of neighbouring events, those before and those after."""

_FEW_USERS = 10
_LEAST_SORTED, _FEW_PAIRS = 0.9, 50  # in a random order, so many have a probability below 1e-7
_MOST_PAIRS = 500_000
_DRAWS, _LEAST_IN_CIRCLES = 3, 0.5
_LEAST_NEIGHBOURS = 2  # distinct pairs for each item


def item_order_warnings(pairs: Sequence[Pairs], folder: Path, *, is_dated: bool) -> tuple[str, ...]:
    """Return at most one warning about events that are in the order of their items.

    Args:
        pairs: Neighbouring events of each user of a sample, as `neighbours` returns them.
        folder: Folder with the ids of the items.
        is_dated: Whether the log has times.
    """
    used = [pair for pair in pairs if len(pair[0])]
    if len(used) < _FEW_USERS or sum(len(first) for first, _ in used) < _FEW_PAIRS:
        return ()
    found = _sorted_by_id(used, folder) or _sorted_by_another_key(used)
    if found is None:
        return ()
    signs, is_right = found
    doubt, fix = ("the order of the lines is not the order of time", "give a time (columns.time)")
    if is_dated:
        doubt, fix = ("the times are those of an import", "give the times of the events")
    return (
        f"the log looks sorted by item: {signs}. If {doubt}, models of sequences learn the "
        f"sorting, and their figures are far too high: {fix}, or set etl.split.kind=random and a "
        f"train.algorithm that ignores the order (item_knn, ease, als). {is_right}",
    )


def neighbours(items: np.ndarray, types: np.ndarray) -> Pairs:
    """Return the items of a user's neighbouring events of one type that differ in item.

    Args:
        items: [N] numbers of the items, in the order of the events.
        types: [N] numbers of the types.
    """
    first, second = items[:-1], items[1:]
    is_pair = (types[:-1] == types[1:]) & (first != second)
    is_pair &= (first >= NUM_RESERVED) & (second >= NUM_RESERVED)
    return first[is_pair], second[is_pair]


def _sorted_by_id(pairs: Sequence[Pairs], folder: Path) -> tuple[str, str] | None:
    """Return that nearly all neighbours ascend, or descend, by id, and when that is right."""
    first, second = (np.concatenate(side) for side in zip(*pairs, strict=True))
    shares = [float(np.mean(ranks[first] < ranks[second])) for ranks in _ranks(folder)]
    up, down = max(shares), 1 - min(shares)
    if max(up, down) < _LEAST_SORTED:
        return None
    verb = "ascend" if up >= down else "descend"
    return (
        f"{max(up, down):.0%} of a user's neighbouring events {verb} by item_id",
        "If newer items have larger ids, as news have, all is well",
    )


def _sorted_by_another_key(pairs: Sequence[Pairs]) -> tuple[str, str] | None:
    """Return that all users have the items in one order, and when that is right.

    The pairs say which item comes before which. If they never contradict each other, and would if
    each user's events were reversed by the toss of a coin, there is one order behind them. Items
    that have one successor each, as the parts of a course, are no sorting.
    """
    kept = np.cumsum([len(first) for first, _ in pairs]) <= _MOST_PAIRS
    pairs = [pair for pair, is_kept in zip(pairs, kept, strict=True) if is_kept]
    if not pairs:
        return None
    distinct = _distinct(pairs)
    is_dense = distinct.shape[1] >= _LEAST_NEIGHBOURS * len(np.unique(distinct))
    if not is_dense or _share_in_circles(distinct) > 0:
        return None
    draw = np.random.default_rng(0)
    for _ in range(_DRAWS):
        tossed = [pair[::-1] if draw.random() < 0.5 else pair for pair in pairs]
        if _share_in_circles(_distinct(tossed)) < _LEAST_IN_CIRCLES:
            return None  # too few pairs to tell
    return (
        f"{len(pairs):,} users have the items in one order, without an exception",
        "If everybody takes the items in one order, as lessons or episodes, all is well",
    )


def _distinct(pairs: Sequence[Pairs]) -> np.ndarray:
    """Return the distinct pairs of all users: [2, P] int32, the first and the second item."""
    return np.unique(np.stack([np.concatenate(side) for side in zip(*pairs, strict=True)]), axis=1)


def _share_in_circles(pairs: np.ndarray) -> float:
    """Return the share of pairs that are part of a circle of pairs.

    Args:
        pairs: [2, P] distinct pairs of items.
    """
    size = int(pairs.max()) + 1
    graph = sparse.coo_matrix((np.ones(pairs.shape[1], bool), tuple(pairs)), (size, size))
    _, circle = connected_components(graph, directed=True, connection="strong")
    return float(np.mean(circle[pairs[0]] == circle[pairs[1]]))


def _ranks(folder: Path) -> Iterator[np.ndarray]:
    """Yield the place of each item by its number, in the orders that a log can be sorted in.

    These are the order of the ids as texts, and that of the numbers at their ends if these are all
    that they differ in.
    """
    table = pa.concat_tables(
        pq.read_table(path, columns=[ITEM_ID, ITEM_IDX])
        for path in sorted(folder.glob("*.parquet"))
    )
    ids, numbers = table[ITEM_ID].combine_chunks(), table[ITEM_IDX].to_numpy()
    parts = pc.extract_regex(ids, r"^(?P<name>[^0-9]*)(?P<number>[0-9]{1,18})$")
    keys = [ids]
    if parts.null_count == 0 and len(pc.unique(parts.field("name"))) == 1:
        keys.append(parts.field("number").cast(pa.int64()))
    for key in keys:
        ranks = np.empty(numbers.max(initial=0) + 1, np.int64)
        ranks[numbers[pc.sort_indices(key).to_numpy()]] = np.arange(len(numbers))
        yield ranks
