"""Rows of lists as numbers, and what is counted in them whatever they hold.

Legend of shapes: N users of a part, M rows of a part, V catalogue.
"""

from collections import Counter
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from conf.contract import (
    CHANNELS,
    ITEM_ID,
    NUM_RESERVED,
    POSITION,
    RULES,
    SCORE,
    SOURCE,
    SOURCE_FALLBACK,
    USER_ID,
    WHY_FALLBACK,
)
from serving.publishing.parts import EXPLORED, PIN, REFILL
from serving.rules.possible import UNEXPLAINED


class Rows(NamedTuple):
    """The rows of a part's lists with ids that the dataset knows, in their order."""

    user: np.ndarray
    """[M] int64, place of the user in the part."""
    item: np.ndarray
    """[M] int64"""
    position: np.ndarray
    """[M] int32"""
    score: np.ndarray
    """[M] float32"""
    said: pa.Array
    """[M] lists of texts: the column of rules."""

    def marks(self, text: str, *, is_prefix: bool = False) -> np.ndarray:
        """Return which rows the column of rules says something of: [M] bool."""
        parents = pc.list_parent_indices(self.said).to_numpy()
        texts = self.said.flatten()
        is_it = pc.starts_with(texts, text) if is_prefix else pc.equal(texts, text)
        found = np.zeros(len(self.user), dtype=bool)
        found[parents[is_it.to_numpy(zero_copy_only=False)]] = True
        return found

    def chosen(self, rows: np.ndarray) -> "Rows":
        """Return some of the rows: [M] bool."""
        user, item, position, score, said = self
        return Rows(
            user[rows], item[rows], position[rows], score[rows], said.filter(pa.array(rows))
        )

    @property
    def plain(self) -> np.ndarray:
        """Return which rows are where their score puts them: [M] bool."""
        moved = self.marks(PIN, is_prefix=True) | self.marks(REFILL) | self.marks(EXPLORED)
        found: np.ndarray = ~moved
        return found


class NumberedRows(NamedTuple):
    """The rows of a part as numbers."""

    user: np.ndarray
    """[M] int64, place of the user in the part; -1 for an unknown id."""
    item: np.ndarray
    """[M] int64, number of the item; -1 for an unknown id."""
    is_known: np.ndarray
    """[M] bool, whether both ids are known."""
    is_fallback: np.ndarray
    """[M] bool"""
    starts: np.ndarray
    """Rows where a list begins."""

    @property
    def of_model(self) -> np.ndarray:
        """Return which rows are the model's: [M] bool."""
        found: np.ndarray = self.is_known & ~self.is_fallback
        return found


def numbered(lists: pa.Table, user_ids: pa.Array, item_ids: pa.Array) -> NumberedRows:
    """Return rows of lists as numbers: users by [N] ids, items by [V] ids."""
    user = places_in(lists[USER_ID], user_ids)
    item = places_in(lists[ITEM_ID], item_ids)
    return NumberedRows(
        user,
        item,
        (user >= 0) & (item >= NUM_RESERVED),
        pc.equal(lists[SOURCE], SOURCE_FALLBACK).to_numpy() & not_refilled(lists),
        np.flatnonzero(np.diff(user, prepend=-2)),
    )


def not_refilled(lists: pa.Table) -> np.ndarray:
    """Return which rows of lists fill no place that an item of the model left: [M] bool."""
    found: np.ndarray = ~marked_rows(lists, REFILL)
    return found


def marked_rows(lists: pa.Table, text: str) -> np.ndarray:
    """Return which rows the column of rules says this of: [M] bool."""
    found = np.zeros(lists.num_rows, dtype=bool)
    if RULES in lists.column_names:
        names = lists[RULES].combine_chunks()
        said = pc.list_parent_indices(names).filter(pc.equal(names.flatten(), text))
        found[said.to_numpy()] = True
    return found


def hashes_of(user: np.ndarray, item: np.ndarray) -> np.ndarray:
    """Return a number for each list that is equal for equal lists: uint64.

    It is a sum of the items, each times a random number that depends on its position: two
    different lists have the same sum with a probability of about 2 ** -63.

    Args:
        user: [rows] int64; the rows of a user are adjacent.
        item: [rows] int64
    """
    if not len(user):
        return np.zeros(0, dtype=np.uint64)
    starts = np.flatnonzero(np.diff(user, prepend=-1))
    lengths = np.diff(np.append(starts, len(user)))
    place = np.arange(len(user)) - np.repeat(starts, lengths)
    factors = np.random.default_rng(1).integers(2**63, size=place.max() + 1, dtype=np.uint64)
    found: np.ndarray = np.add.reduceat(item.astype(np.uint64) * factors[place], starts)
    return found


def places_in(values: pa.ChunkedArray, of: pa.Array) -> np.ndarray:
    """Return the index of each value in `of`, -1 if `of` does not contain it: int64."""
    places: np.ndarray = pc.index_in(values, value_set=of).fill_null(-1).to_numpy()
    return places.astype(np.int64)


def count_misplaced(positions: np.ndarray, user: np.ndarray, starts: np.ndarray) -> int:
    """Count rows with a wrong position, plus one for each further block of the same user."""
    lengths = np.diff(np.append(starts, len(user)))
    expected = np.arange(len(user)) - np.repeat(starts, lengths) + 1
    torn = len(starts) - len(np.unique(user[starts]))
    return int((positions != expected).sum()) + torn


def count_bad_scores(scores: np.ndarray, starts: np.ndarray, num_rises: int | None = None) -> int:
    """Count rows whose score is not finite or above the one before.

    Args:
        scores: [rows]
        starts: Rows where a list begins.
        num_rises: Rows that break the order, where rules change it; None: there are no rules.
    """
    if num_rises is not None:  # counted under the rules
        return num_rises + int((~np.isfinite(scores)).sum())
    rises = np.append(False, scores[1:] > scores[:-1])[: len(scores)]
    rises[starts] = False
    return int((rises | ~np.isfinite(scores)).sum())


def count_channels(lists: pa.Table) -> Counter[str]:
    """Return the number of rows that each channel named."""
    if CHANNELS not in lists.schema.names:
        return Counter()
    return Counter(pc.list_flatten(lists[CHANNELS]).to_pylist())


def count_rows(
    lists: pa.Table, rows: NumberedRows, seen: np.ndarray, catalogue: int, num_rises: int | None
) -> dict[str, int]:
    """Return the counts of the rows of a part, and of the errors in them.

    Args:
        lists: M rows.
        rows: The same with numbers.
        seen: Pairs of `serving.rules.possible.seen_pairs` that lists must not contain.
        catalogue: V
        num_rises: Rows that break the order of scores for no good reason; None: there are no rules.
    """
    pairs = (rows.user * catalogue + rows.item)[rows.is_known]
    from_fallback = int(rows.is_fallback[rows.starts].sum())
    return {
        "rows": lists.num_rows,
        "model_lists": len(rows.starts) - from_fallback,
        "model_rows": int((~rows.is_fallback).sum()),
        "fallback_lists": from_fallback,
        "unknown_ids": int((~rows.is_known).sum()),
        "duplicate_items": len(pairs) - len(np.unique(pairs)),
        "seen_items": int(np.isin(pairs, seen).sum()),
        "misplaced_rows": count_misplaced(lists[POSITION].to_numpy(), rows.user, rows.starts),
        "bad_scores": count_bad_scores(lists[SCORE].to_numpy(), rows.starts, num_rises),
    }


def count_fallbacks(lists: pa.Table, rows: NumberedRows) -> Counter[str]:
    """Return the number of fallback lists by reason."""
    first = rows.starts[rows.is_fallback[rows.starts]]
    reasons: list[str] = (
        lists[WHY_FALLBACK].take(pa.array(first)).fill_null(UNEXPLAINED).to_pylist()
    )
    return Counter(reasons)
