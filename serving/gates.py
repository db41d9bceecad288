"""Gates: what lists must be before they may replace the published ones.

All figures come from the written parts read back, beside the dataset's own users and histories,
never from what the scorer believes it wrote.

Legend of shapes: N users of a part, M rows of a part, V catalogue, S seen (user, item) pairs.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

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
from conf.errors import GateError
from conf.settings.config import Score
from serving.publish import LISTS_SCHEMA, part_name, read_item_ids, read_row_group

CATALOGUE_EXHAUSTED = "catalogue_exhausted"
"""The user has seen all other items."""
UNEXPLAINED = "unexplained"
"""There were more items to recommend."""


class Checked(NamedTuple):
    """What was found in all parts."""

    counts: dict[str, int]
    short_lists: dict[str, int]
    """Lists shorter than asked for, those without an item included, by reason."""


class _Gate(NamedTuple):
    figure: str
    """The count that has to be 0."""
    text: str
    remedy: str


_AGAIN = "that is a fault of the scorer: remove the version's folder and score again"
_GATES = {
    "users_covered": _Gate(UNEXPLAINED, "users whose list lacks items without a reason", _AGAIN),
    "ids_known": _Gate("unknown_ids", "rows name a user or item that the dataset lacks", _AGAIN),
    "no_duplicates": _Gate("duplicate_items", "rows repeat an item of their list", _AGAIN),
    "no_seen_items": _Gate("seen_items", "rows hold an item that their user has seen", _AGAIN),
    "positions_complete": _Gate("misplaced_rows", "rows break the positions 1, 2, 3, ...", _AGAIN),
    "scores_ordered": _Gate(
        "bad_scores",
        "scores are not finite or above the one before",
        "the model may have diverged: look at its metrics.json, train again",
    ),
}
FULL_LISTS = "full_lists"


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
    counts = {name: totals[name] for name in _COUNTS}
    short = {name: totals[name] for name in (CATALOGUE_EXHAUSTED, UNEXPLAINED) if totals[name]}
    return Checked(counts, short)


_COUNTS = (
    "users",
    "lists",
    "rows",
    "model_lists",
    "fallback_lists",
    FULL_LISTS,
    *(gate.figure for gate in _GATES.values()),
)


def check_lists(
    lists: pa.Table,
    user_ids: pa.Array,
    histories: pa.ListArray,
    item_ids: pa.Array,
    *,
    list_length: int,
    drop_seen: bool,
) -> dict[str, int]:
    """Count what one part holds and what is wrong in it.

    Args:
        lists: M rows of `LISTS_SCHEMA`.
        user_ids: [N], the users that the part is for.
        histories: [N] lists of item numbers.
        item_ids: [V], null at the reserved numbers.
        list_length: Items asked for.
        drop_seen: Whether seen items are left out.
    """
    catalogue = len(item_ids)
    user = _places(lists[USER_ID], user_ids)  # [M], -1 for a strange id
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


def passed_gates(counts: Mapping[str, int], score: Score) -> dict[str, bool]:
    """Return for each gate whether it lets the lists through.

    `full_lists` counts every short list, those of users who have seen nearly all included: a
    catalogue too small for the length asked for is what it is there to show.
    """
    passed = {name: counts[gate.figure] == 0 for name, gate in _GATES.items()}
    share = counts[FULL_LISTS] / counts["users"]
    return {**passed, FULL_LISTS: share >= score.min_full_share}


def require_passed(manifest: Mapping[str, Any]) -> None:
    """Refuse lists that a gate has not passed.

    Args:
        manifest: Contents of `lists.json`.

    Raises:
        GateError: Naming each gate that failed, its figure, its limit and what to do.
    """
    failed = [name for name, passed in manifest["gates"].items() if not passed]
    if failed:
        lines = "\n".join(f"  {_complaint(name, manifest)}" for name in failed)
        raise GateError(
            f"lists {manifest['id']} are not published, the ones before them stay: "
            f"{len(failed)} gate(s) refused\n{lines}"
        )


def _complaint(name: str, manifest: Mapping[str, Any]) -> str:
    counts, score = manifest["counts"], manifest["config"]["score"]
    if name != FULL_LISTS:
        gate = _GATES[name]
        return f"{name}: {counts[gate.figure]:,} {gate.text}, 0 are allowed; {gate.remedy}"
    full, users = counts[FULL_LISTS], counts["users"]
    return (
        f"{name}: {full:,} of {users:,} users ({full / users:.4f}) have a list of "
        f"score.list_length={score['list_length']}, score.min_full_share="
        f"{score['min_full_share']} is asked for (short ones by reason: {manifest['short_lists']});"
        " lower either, or set score.drop_seen=false"
    )


def _places(values: pa.ChunkedArray, of: pa.Array) -> np.ndarray:
    """Return where each value stands in `of`, -1 where it does not: int64."""
    places: np.ndarray = pc.index_in(values, value_set=of).fill_null(-1).to_numpy()
    return places.astype(np.int64)


def _seen_pairs(histories: pa.ListArray, catalogue: int) -> np.ndarray:
    """Return each user's seen items once, as row * catalogue + item: [S] int64."""
    rows = pc.list_parent_indices(histories).to_numpy().astype(np.int64)
    items = histories.flatten().to_numpy().astype(np.int64)
    known = items >= NUM_RESERVED
    return np.unique(rows[known] * catalogue + items[known])


def _misplaced(positions: np.ndarray, user: np.ndarray, starts: np.ndarray) -> int:
    """Count rows out of place; a user whose rows are not together counts once more."""
    lengths = np.diff(np.append(starts, len(user)))
    expected = np.arange(len(user)) - np.repeat(starts, lengths) + 1
    torn = len(starts) - len(np.unique(user[starts]))
    return int((positions != expected).sum()) + torn


def _bad_scores(scores: np.ndarray, starts: np.ndarray) -> int:
    rises = np.append(False, scores[1:] > scores[:-1])[: len(scores)]
    rises[starts] = False
    return int((rises | ~np.isfinite(scores)).sum())
