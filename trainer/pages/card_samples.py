"""Lists of a few users for the model card: history, recommended items, and the reasons for them.

The lists are made as in the measurement on the test part: all items are ranked. Ids are those of
the dataset, which are labels if the section `privacy` asks for them.

Legend of shapes: B users, V catalogue, K list length.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from conf.contract import (
    ITEM_ID,
    ITEM_IDX,
    NO_ITEM,
    TARGET_ITEM,
    TITLE,
    USER_ID,
    USER_IDX,
    Manifest,
)
from conf.workspace.parquet import read_columns
from trainer.data.batches import histories_of
from trainer.data.columns import Ragged, numbers_of
from trainer.data.stream import read_row_groups
from trainer.evaluation.held_out import best_items, columns_of, recommendable
from trainer.evaluation.segments import by_activity
from trainer.models.reasons import Reasons, explain
from trainer.models.scorer import Scorer

LIST_LENGTH = 5
_NEWEST = 5
_REASONS = 2


Named = tuple[tuple[str, float], ...]


class Row(NamedTuple):
    """One position of a list."""

    item: str
    reasons: Named
    """Items of the history that raised the score, each with its share."""
    was_next: bool
    """Whether the user took this item next."""


class UserSample(NamedTuple):
    """One user with history and list."""

    user_id: str
    activity: str
    """Bin of `trainer.evaluation.segments.by_activity`."""
    newest: tuple[str, ...]
    """Newest items of the history, newest first."""
    rows: tuple[Row, ...]


def sample_users(
    dataset: Path, manifest: Manifest, scorer: Scorer, *, drop_seen: bool
) -> list[UserSample]:
    """Return one user of each bin of activity, from the test part's first row group.

    Args:
        dataset: Folder of the dataset.
        manifest: Manifest of the dataset.
        scorer: The model.
        drop_seen: Whether the lists leave out what the user has seen.
    """
    groups = manifest.row_groups("test")[:1]
    if not groups or not groups[0].rows:
        return []
    wanted = columns_of(manifest, "test")
    _, columns = next(read_row_groups(dataset, groups, wanted, threads=1))
    users, histories = numbers_of(columns, USER_IDX), histories_of(columns)
    bins = by_activity(histories.lengths)
    _, rows = np.unique(bins.of_target, return_index=True)  # the first one of each bin: [B]
    rows = rows[histories.lengths[rows] > 0]
    if not len(rows):
        return []
    names = _names(dataset, manifest, "users", USER_IDX, [USER_ID], users[rows].tolist())
    best, reasons = _lists(scorer, histories, rows, drop_seen=drop_seen)  # [B, K]
    targets = numbers_of(columns, TARGET_ITEM)[rows]
    shown = [_events(histories, row) for row in rows]
    items = _names(
        dataset,
        manifest,
        "items",
        ITEM_IDX,
        [TITLE, ITEM_ID],
        {int(item) for item in np.concatenate([*shown, best.ravel()])},
    )
    return [
        UserSample(
            names[int(users[row])],
            bins.names[bins.of_target[row]],
            tuple(items.get(int(item), "(unknown)") for item in shown[at][::-1][:_NEWEST]),
            tuple(
                Row(items[int(item)], _named(reasons, at, place, items), item == targets[at])
                for place, item in enumerate(best[at])
                if item != NO_ITEM
            ),
        )
        for at, row in enumerate(rows)
        if int(users[row]) in names
    ]


def _events(histories: Ragged, row: int) -> np.ndarray:
    events: np.ndarray = histories.values[histories.offsets[row] : histories.offsets[row + 1]]
    return events


def _lists(
    scorer: Scorer, histories: Ragged, rows: np.ndarray, *, drop_seen: bool
) -> tuple[np.ndarray, Reasons]:
    """Return the best items of some users, [B, K] int64 or `NO_ITEM`, and the reasons."""
    with torch.no_grad():
        scores = scorer.scores(histories, rows).double()  # [B, V]
        scores = recommendable(scores, histories, rows, drop_seen=drop_seen)
    best, items = best_items(scores, LIST_LENGTH)  # [B, K], [B, K]
    items = items.where(best > -torch.inf, NO_ITEM)
    return items.cpu().numpy(), explain(scorer, histories, rows, items, num_reasons=_REASONS)


def _named(reasons: Reasons, at: int, place: int, items: dict[int, str]) -> Named:
    """Return the reasons for one position of a user's list, with the names of the items."""
    found = zip(
        reasons.item_idx[at, place].tolist(), reasons.weight[at, place].tolist(), strict=True
    )
    return tuple((items[item], share) for item, share in found if item != NO_ITEM)


def _names(
    dataset: Path, manifest: Manifest, part: str, key: str, names: list[str], wanted: Iterable[int]
) -> dict[int, str]:
    """Return the names of users or items, by their numbers.

    Args:
        dataset: Folder of the dataset.
        manifest: Manifest of the dataset.
        part: `users` or `items`.
        key: Column of the numbers.
        names: Columns of names; the first one that is not null is used.
        wanted: Numbers to look up.
    """
    numbers = pc.field(key).isin(pa.array(list(wanted), pa.int64()))
    found: dict[int, str] = {}
    for file in manifest.files[part]:
        for row in read_columns(dataset / file.path, [key, *names], numbers).to_pylist():
            called = (row.get(name) for name in names)
            found[row[key]] = next(str(name) for name in called if name is not None)
    return found
