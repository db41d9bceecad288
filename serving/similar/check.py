"""Read the lists of items back, and count what is in them and what is wrong."""

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa

from conf.contract import (
    ITEM_ID,
    NUM_RESERVED,
    POSITION,
    SCORE,
    SIMILAR_ID,
    SIMILAR_ITEMS,
    USER_ID,
    USER_IDX,
    DataFile,
)
from conf.errors import HeadraceError
from conf.settings.score import Score
from conf.workspace.parquet import describe_parquet, read_columns
from serving.gates.row_counts import Rows, count_bad_scores, count_misplaced, places_in
from serving.gates.rule_checks import RuleCheck
from serving.publishing.parts import BOOST, part_name
from serving.similar.worker import SIMILAR_SCHEMA, rows_of_parts

_FAULTS = (
    "unknown_ids",
    "own_item",
    "repeated_items",
    "misplaced_rows",
    "bad_scores",
    "rule_violations",
)


def check_similar(
    folder: Path, item_ids: pa.Array, score: Score, check: RuleCheck | None = None
) -> tuple[dict[str, int], dict[str, tuple[DataFile, ...]]]:
    """Return the counts of the lists of items, and the manifest's entries of their files.

    Args:
        folder: Folder of the version.
        item_ids: [V], null at the reserved numbers.
        score: How the lists were made.
        check: Evaluates the rules again that are only for these lists; None: there are none.

    Raises:
        HeadraceError: When a list is wrong, which is a fault of the scorer.
    """
    assert score.similar_items is not None
    count, total = score.similar_items.count, Counter[str]()
    parts = range(len(rows_of_parts(len(item_ids))))
    paths = [folder / SIMILAR_ITEMS / part_name(part) for part in parts]
    for path in paths:
        rows = read_columns(path, SIMILAR_SCHEMA.names)
        found = _counted(rows, item_ids, count)
        if check is not None:
            found |= _ruled(rows, item_ids, check)
        total.update(found)
    wrong = {name: total[name] for name in _FAULTS if total[name]}
    if wrong:
        told = ", ".join(f"{name} {number:,}" for name, number in wrong.items())
        raise HeadraceError(
            f"lists of similar items are wrong and are not published ({told}): this is a fault of "
            "the scorer; report it, and set score.similar_items to null until then"
        )
    items = len(item_ids) - NUM_RESERVED
    counts = {
        "items": items,
        "lists": total["lists"],
        "full_lists": total["full_lists"],
        "rows": total["rows"],
        "items_without_list": items - total["lists"],
    }
    return counts, {SIMILAR_ITEMS: tuple(describe_parquet(folder, path) for path in paths)}


def _ruled(rows: pa.Table, item_ids: pa.Array, check: RuleCheck) -> dict[str, int]:
    """Return the counts of rows of `SIMILAR_SCHEMA` that depend on rules; each item is a user."""
    item, other = (places_in(rows[name], item_ids) for name in (ITEM_ID, SIMILAR_ID))
    is_known = (item >= NUM_RESERVED) & (other >= NUM_RESERVED)
    rows, item, other = rows.filter(pa.array(is_known)), item[is_known], other[is_known]
    listed, user = np.unique(item, return_inverse=True)
    users = pa.table(
        {
            **{f.name: pa.nulls(len(listed), f.type) for f in check.users.schema},
            USER_IDX: listed,
            USER_ID: item_ids.take(pa.array(listed)),
        }
    )
    said = [BOOST] if check.rules.boosts else []
    of_rows = Rows(
        user,
        other,
        rows[POSITION].to_numpy(),
        rows[SCORE].to_numpy(),
        pa.array([said] * len(item), pa.list_(pa.string())),
    )
    part = check.of_part(users, pa.table({}))
    finite = np.isfinite(of_rows.score)
    is_fallback = np.zeros(len(item), dtype=bool)
    return {
        "rule_violations": int(part.violations(of_rows, is_fallback).sum()),
        "bad_scores": part.num_rises(of_rows, is_fallback) + int((~finite).sum()),
    }


def _counted(rows: pa.Table, item_ids: pa.Array, count: int) -> dict[str, int]:
    """Return the counts of rows of `SIMILAR_SCHEMA`."""
    item, other = (places_in(rows[name], item_ids) for name in (ITEM_ID, SIMILAR_ID))
    starts = np.flatnonzero(np.diff(item, prepend=-2))
    lengths = np.diff(np.append(starts, len(item)))
    pairs = item * len(item_ids) + other
    misplaced = count_misplaced(rows[POSITION].to_numpy(), item, starts)
    return {
        "rows": len(item),
        "lists": len(starts),
        "full_lists": int((lengths == count).sum()),
        "unknown_ids": int(((item < NUM_RESERVED) | (other < NUM_RESERVED)).sum()),
        "own_item": int((item == other).sum()),
        "repeated_items": len(pairs) - len(np.unique(pairs)),
        "misplaced_rows": misplaced + int((lengths > count).sum()),
        "bad_scores": count_bad_scores(rows[SCORE].to_numpy(), starts),
    }
