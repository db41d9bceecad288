"""Signs that the order of a log is not the order of what happened.

A sample of users is enough: they are in the order of a hash.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from conf.contract import HISTORY_ITEMS, HISTORY_TYPES
from etl.dataset.item_order import item_order_warnings, neighbours

_MOST_USERS, _FEW_USERS = 20_000, 10
_MOST_EVENTS, _BATCH_USERS = 2_000_000, 500
_LEAST_REPEATED = 0.5
_SHORT_TAIL, _TAIL_SHARE, _SHORTEST = 3, 0.25, 4


@dataclass(frozen=True)
class History:
    """Numbers of the items and types of a user's events, in the order of the rows."""

    items: np.ndarray
    types: np.ndarray


def line_order_warnings(folder: Path, *, is_dated: bool) -> tuple[str, ...]:
    """Return warnings about the order of events.

    Args:
        folder: Folder of the dataset, with `histories/` and `items/`.
        is_dated: Whether the log has times. If not, the order of its rows is all that is known of
            the time, and rows that were delivered twice cannot be told from events.
    """
    histories = list(_sample(folder / "histories"))
    pairs = [neighbours(history.items, history.types) for history in histories]
    repeated = () if is_dated else _repeated(histories)
    return (*repeated, *item_order_warnings(pairs, folder / "items", is_dated=is_dated))


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
