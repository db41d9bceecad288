"""Count the rows and lists of a version, and the errors in them, for the gates.

All counts come from reading the written parts back and comparing them with the users and
histories of the dataset, never from the scorer's own counters.

Legend of shapes: N users of a part, M rows of a part, V catalogue, S seen (user, item) pairs.
"""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from conf.contract import (
    HISTORY_ITEMS,
    ITEM_ID,
    NUM_RESERVED,
    POSITION,
    SCORE,
    SOURCE,
    SOURCE_FALLBACK,
    USER_ID,
    Manifest,
)
from conf.settings.config import Score
from serving.gates import CATALOGUE_EXHAUSTED, COUNTS, FULL_LISTS, UNEXPLAINED
from serving.publish import LISTS_SCHEMA, part_name, read_item_ids, read_row_group


class Checked(NamedTuple):
    """Counts over all parts."""

    counts: dict[str, int]
    short_lists: dict[str, int]
    """Number of lists shorter than `score.list_length`, empty ones included, by reason."""


def check_parts(workspace: Path, manifest: Manifest, folder: Path, score: Score) -> Checked:
    """Read all parts of a version back and count what is in them."""
    dataset = workspace / "datasets" / manifest.id
    item_ids = read_item_ids(dataset, manifest)
    totals: Counter[str] = Counter()
    groups = zip(manifest.row_groups("users"), manifest.row_groups("histories"), strict=True)
    for part, (users, histories) in enumerate(groups):
        lists = pq.read_table(folder / part_name(part), schema=LISTS_SCHEMA)
        user_ids = read_row_group(dataset, users, [USER_ID])[USER_ID].cast(pa.string())
        items = read_row_group(dataset, histories, [HISTORY_ITEMS])[HISTORY_ITEMS]
        totals.update(
            check_lists(
                lists,
                user_ids.combine_chunks(),
                items.combine_chunks(),
                item_ids,
                list_length=score.list_length,
                drop_seen=score.drop_seen,
            )
        )
    counts = {name: totals[name] for name in COUNTS}
    short = {name: totals[name] for name in (CATALOGUE_EXHAUSTED, UNEXPLAINED) if totals[name]}
    return Checked(counts, short)


def check_lists(
    lists: pa.Table,
    user_ids: pa.Array,
    histories: pa.ListArray,
    item_ids: pa.Array,
    *,
    list_length: int,
    drop_seen: bool,
) -> dict[str, int]:
    """Count the rows and lists of one part, and the errors in them.

    Args:
        lists: M rows of `LISTS_SCHEMA`.
        user_ids: [N] users of the part.
        histories: [N] lists of item numbers.
        item_ids: [V], null at the reserved numbers.
        list_length: Items that each list should have.
        drop_seen: Whether lists must not contain seen items.
    """
    catalogue = len(item_ids)
    user = _places(lists[USER_ID], user_ids)  # [M], -1 for an unknown id
    item = _places(lists[ITEM_ID], item_ids)  # [M]
    known = (user >= 0) & (item >= NUM_RESERVED)
    pairs = (user * catalogue + item)[known]
    seen = _seen_pairs(histories, catalogue) if drop_seen else np.zeros(0, dtype=np.int64)
    lengths = np.bincount(user[known], minlength=len(user_ids))  # [N]
    seen_count = np.bincount(seen // catalogue, minlength=len(user_ids))  # [N]
    possible = np.minimum(catalogue - NUM_RESERVED - seen_count, list_length)  # [N]
    starts = np.flatnonzero(np.diff(user, prepend=-2))  # rows where a list begins
    fallback = pc.equal(lists[SOURCE], SOURCE_FALLBACK).to_numpy()[starts]
    return {
        "users": len(user_ids),
        "lists": int((lengths > 0).sum()),
        "rows": lists.num_rows,
        "model_lists": int((~fallback).sum()),
        "fallback_lists": int(fallback.sum()),
        FULL_LISTS: int((lengths == list_length).sum()),
        CATALOGUE_EXHAUSTED: int(((lengths < list_length) & (lengths >= possible)).sum()),
        UNEXPLAINED: int((lengths < possible).sum()),
        "unknown_ids": int((~known).sum()),
        "duplicate_items": len(pairs) - len(np.unique(pairs)),
        "seen_items": int(np.isin(pairs, seen).sum()),
        "misplaced_rows": _misplaced(lists[POSITION].to_numpy(), user, starts),
        "bad_scores": _bad_scores(lists[SCORE].to_numpy(), starts),
    }


def _places(values: pa.ChunkedArray, of: pa.Array) -> np.ndarray:
    """Return the index of each value in `of`, -1 if `of` does not contain it: int64."""
    places: np.ndarray = pc.index_in(values, value_set=of).fill_null(-1).to_numpy()
    return places.astype(np.int64)


def _seen_pairs(histories: pa.ListArray, catalogue: int) -> np.ndarray:
    """Return each user's seen items once, as row * catalogue + item: [S] int64."""
    rows = pc.list_parent_indices(histories).to_numpy().astype(np.int64)
    items = histories.flatten().to_numpy().astype(np.int64)
    known = items >= NUM_RESERVED
    return np.unique(rows[known] * catalogue + items[known])


def _misplaced(positions: np.ndarray, user: np.ndarray, starts: np.ndarray) -> int:
    """Count rows with a wrong position, plus one for each further block of the same user."""
    lengths = np.diff(np.append(starts, len(user)))
    expected = np.arange(len(user)) - np.repeat(starts, lengths) + 1
    torn = len(starts) - len(np.unique(user[starts]))
    return int((positions != expected).sum()) + torn


def _bad_scores(scores: np.ndarray, starts: np.ndarray) -> int:
    rises = np.append(False, scores[1:] > scores[:-1])[: len(scores)]
    rises[starts] = False
    return int((rises | ~np.isfinite(scores)).sum())
