"""Logs without times: signs that the order of their rows is not the order of what happened.

The order of the rows is then all that is known of the time. A sample of users is enough: they are
in the order of a hash.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from conf.contract import HISTORY_ITEMS, HISTORY_TYPES, ITEM_ID, ITEM_IDX, NUM_RESERVED

_MOST_USERS, _FEW_USERS = 20_000, 10
_MOST_EVENTS, _BATCH_USERS = 2_000_000, 500
_LEAST_REPEATED = 0.5
_LEAST_SORTED, _FEW_PAIRS = 0.9, 50  # in a random order, so many have a probability below 1e-7
_SHORT_TAIL, _TAIL_SHARE, _SHORTEST = 3, 0.25, 4


@dataclass(frozen=True)
class History:
    """Numbers of the items and types of a user's events, in the order of the rows."""

    items: np.ndarray
    types: np.ndarray


def line_order_warnings(folder: Path) -> tuple[str, ...]:
    """Return warnings about the order of the rows of a log without times.

    Args:
        folder: Folder of the dataset, with `histories/` and `items/`.
    """
    histories = list(_sample(folder / "histories"))
    return (*_repeated(histories), *_sorted_by_item(histories, folder / "items"))


def _sample(folder: Path) -> Iterator[History]:
    users = events = 0
    columns = [HISTORY_ITEMS, HISTORY_TYPES]
    for path in sorted(folder.glob("*.parquet")):
        for batch in pq.ParquetFile(path).iter_batches(batch_size=_BATCH_USERS, columns=columns):
            if users >= _MOST_USERS or events >= _MOST_EVENTS:
                return
            items, types = (batch[name].flatten().to_numpy() for name in columns)
            offsets = batch[HISTORY_ITEMS].offsets.to_numpy()
            cuts = offsets[1:-1] - offsets[0]
            yield from map(History, np.split(items, cuts), np.split(types, cuts))
            users, events = users + batch.num_rows, events + len(items)


def _repeated(histories: Sequence[History]) -> Iterator[str]:
    """Yield a warning if the histories of most users end in a repetition of earlier events.

    Where people take turns between few items, the reverse of the last events is found as often, so
    that is no repetition.
    """
    tails = forwards = backwards = 0
    for history in histories:
        length = len(history.items)
        short = min(_SHORT_TAIL, length // 2)
        start = length - max(short, int(np.ceil(_TAIL_SHARE * length)))
        if length < _SHORTEST or len(np.unique(history.items[start:])) == 1:
            continue
        events = np.stack([history.items, history.types])
        before, tail = events[:, :start], events[:, start:]
        tails += 1
        forwards += _has(before, tail)
        backwards += _has(before, tail[:, ::-1])
    if tails >= _FEW_USERS and forwards > max(_LEAST_REPEATED * tails, 2 * backwards):
        yield (
            f"the last events of {forwards:,} of {tails:,} users with {_SHORTEST} events or more "
            "repeat earlier ones in the same order, as if rows were delivered twice: without times "
            "that cannot be told from events, and the test part repeats the training part; remove "
            "the second delivery, or give the events ids (columns.event_id)"
        )


def _has(events: np.ndarray, block: np.ndarray) -> bool:
    """Return whether a block of columns is among the events."""
    width = block.shape[1]
    starts = np.flatnonzero(events[0, : events.shape[1] - width + 1] == block[0, 0])
    return any(np.array_equal(events[:, start : start + width], block) for start in starts)


def _sorted_by_item(histories: Sequence[History], folder: Path) -> Iterator[str]:
    """Yield a warning if nearly all neighbours of one type ascend, or descend, by item."""
    pairs = [_neighbours(history) for history in histories]
    if sum(len(first) > 0 for first, _ in pairs) < _FEW_USERS:
        return
    first, second = (np.concatenate(side) for side in zip(*pairs, strict=True))
    if len(first) < _FEW_PAIRS:
        return
    shares = [float(np.mean(ranks[first] < ranks[second])) for ranks in _ranks(folder)]
    up, down = max(shares), 1 - min(shares)
    if max(up, down) >= _LEAST_SORTED:
        verb = "ascend" if up >= down else "descend"
        yield (
            f"the log looks sorted by item: {max(up, down):.0%} of a user's neighbouring events "
            f"{verb} by item_id; if the order of the lines is not the order of time, models of "
            "sequences learn the sorting and their figures are far too high: give a time "
            "(columns.time), or set etl.split.kind=random and a train.algorithm that ignores the "
            "order (item_knn, ease, als); if newer items have larger ids, as news have, this is "
            "right"
        )


def _neighbours(history: History) -> tuple[np.ndarray, np.ndarray]:
    """Return the items of neighbouring events of one type that differ in item."""
    first, second = history.items[:-1], history.items[1:]
    is_pair = (history.types[:-1] == history.types[1:]) & (first != second)
    is_pair &= (first >= NUM_RESERVED) & (second >= NUM_RESERVED)
    return first[is_pair], second[is_pair]


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
