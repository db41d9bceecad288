"""Check caps, pins and the least score on written lists, list by list, from the values of fields.

Legend of shapes: M rows of a part, V catalogue.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice, pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from conf.contract import NUM_RESERVED
from conf.settings.lists.rules import Cap, ListRules


def lists_of(user: np.ndarray) -> Iterator[slice]:
    """Yield the rows of each list: [M] users, whose rows are adjacent."""
    starts = np.flatnonzero(np.diff(user, prepend=-2)).tolist()
    for first, stop in pairwise([*starts, len(user)]):
        yield slice(first, stop)


class Caps:
    """The caps with the values of their fields."""

    def __init__(self, rules: ListRules, items: pa.Table) -> None:
        self.caps: list[tuple[Cap, list[Any]]] = [
            (cap, [None] * NUM_RESERVED + items.column(name).to_pylist())
            for name, cap in rules.caps.items()
        ]

    def broken(self, items: Sequence[int]) -> set[int]:
        """Return the places of a list whose item is one too many."""
        found = set()
        for cap, values in self.caps:
            width = cap.within or len(items)
            for place in range(len(items)):
                value = values[items[place]]
                window = [values[item] for item in items[max(place - width + 1, 0) : place + 1]]
                if value is not None and window.count(value) > cap.most:
                    found.add(place)
        return found

    def can_follow(self, items: Sequence[int], candidates: np.ndarray, least: int = 1) -> bool:
        """Return whether so many of the candidates may be the next item of a list."""
        full = []
        for cap, values in self.caps:
            first = 0 if cap.within is None else max(len(items) - cap.within + 1, 0)
            last = items[first:]
            counts = Counter(values[item] for item in last)
            full.append({value for value, count in counts.items() if count >= cap.most} - {None})
        fitting = (
            item
            for item in candidates.tolist()
            if all(
                values[item] not in taken
                for (_, values), taken in zip(self.caps, full, strict=True)
            )
        )
        return len(list(islice(fitting, least))) == least

    def explain(self, items: Sequence[int], place: int, later: int) -> bool:
        """Return whether the item of a later place could not be at an earlier one."""
        for cap, values in self.caps:
            if cap.within is None:
                continue
            value = values[items[later]]
            for start in range(max(place - cap.within + 1, 0), place + 1):
                others = set(range(start, min(start + cap.within, len(items)))) - {place, later}
                same = sum(values[items[other]] == value for other in others)
                if value is not None and same >= cap.most:
                    return True
        return False


def unexplained_rises(
    user: np.ndarray,
    item: np.ndarray,
    scores: np.ndarray,
    plain: np.ndarray,
    caps: Caps,
    shares: Sequence[np.ndarray] = (),
) -> int:
    """Count the rows whose score is above the one before, though no cap or share made it so.

    Where a user has too few items of a share, others follow them, whatever their scores.

    Args:
        user: [M] int64
        item: [M] int64
        scores: [M]
        plain: [M] bool, rows that are where their score puts them: neither pinned nor refilled.
        caps: The caps.
        shares: [V] bool each, the items of a share.
    """
    found = 0
    for rows in lists_of(user):
        items, places = item[rows].tolist(), np.flatnonzero(plain[rows])
        own = scores[rows][places]
        for number in np.flatnonzero(own[1:] > own[:-1]):
            place, later = int(places[number]), int(places[number + 1])
            by_share = any(is_in[items[place]] and not is_in[items[later]] for is_in in shares)
            found += not (by_share or caps.explain(items, place, later))
    return found


def broken_places(user: np.ndarray, item: np.ndarray, caps: Caps) -> np.ndarray:
    """Return which rows break a cap: [M] bool."""
    broken = np.zeros(len(user), dtype=bool)
    if caps.caps:
        for rows in lists_of(user):
            for place in caps.broken(item[rows].tolist()):
                broken[rows.start + place] = True
    return broken


def broken_pins(
    position: np.ndarray,
    item: np.ndarray,
    marks: Callable[[str], np.ndarray],
    pins: Sequence[tuple[str, int, int]],
) -> np.ndarray:
    """Return which rows are said to be pinned, but hold another item: [M] bool.

    Args:
        position: [M]
        item: [M]
        marks: Takes what the column of rules may say and returns where it does: [M] bool.
        pins: Mark, item and position of each pin.
    """
    broken = np.zeros(len(item), dtype=bool)
    for mark, number, place in pins:
        said = marks(mark)
        broken |= said & ((item != number) | (position > place))
    return broken
