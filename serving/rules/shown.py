"""Items that published lists have shown to a user who did not act on them since.

Legend of shapes: N users of a part, R rows of lists, S pairs, E events.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from conf.contract import (
    HISTORY_TIMES,
    HISTORY_TYPES,
    ITEM_ID,
    NUM_RESERVED,
    USER_ID,
    ListsManifest,
    lists_key,
)
from conf.workspace.parquet import read_columns
from conf.workspace.publications import ShownLists, in_canary
from conf.workspace.versions import read_manifest
from trainer.data.columns import Ragged, events_of

FATIGUE = "score.rules.fatigue"


class ShownVersion(NamedTuple):
    """Lists that were published before."""

    paths: tuple[Path, ...]
    since: int
    """Microseconds since 1970 UTC of the end of their day: later events are reactions to them."""
    share: float = 1.0
    """Share of the users that saw them, see `conf.workspace.publications.ShownLists`."""
    salt: str = ""


def shown_version(workspace: Path, shown: ShownLists, scenario: str | None = None) -> ShownVersion:
    """Return published lists, those of a scenario if one is named, as their readers need them."""
    manifest = read_manifest(workspace, "lists", shown.id, ListsManifest)
    folder = workspace / "lists" / shown.id
    end = datetime.fromisoformat(manifest.logical_date).replace(tzinfo=UTC) + timedelta(days=1)
    paths = tuple(folder / file.path for file in manifest.files[lists_key(scenario)])
    since = int(end.timestamp()) * 1_000_000
    return ShownVersion(paths, since, shown.share, shown.salt)


class Shown(NamedTuple):
    """Pairs of user and item that lists have shown, each once."""

    row: np.ndarray
    """[S] int64, ascending"""
    item: np.ndarray
    """[S] int64"""
    since: np.ndarray
    """[S] int64, of the first of the versions."""


def read_shown(
    versions: Sequence[ShownVersion],
    user_ids: pa.Array,
    item_ids: pa.Array,
    most: int | None = None,
) -> Shown:
    """Return what the versions have shown to some users.

    Args:
        versions: The versions, newest first.
        user_ids: [N]
        item_ids: Ids of the dataset's items, null for the reserved numbers.
        most: Versions that count for a user, the newest that the user saw; None: all.
    """
    rows, items, since = [], [], []
    wanted = pc.field(USER_ID).isin(user_ids)
    num_seen = np.zeros(len(user_ids), dtype=np.int64)  # [N]
    for version in versions:
        saw = np.ones(len(user_ids), dtype=bool)  # [N]
        if version.share < 1:
            saw = in_canary(user_ids, version.share, version.salt)
        if most is not None:
            saw &= num_seen < most
        num_seen += saw
        for path in version.paths:
            table = read_columns(path, [USER_ID, ITEM_ID], wanted)
            row = pc.index_in(table[USER_ID], value_set=user_ids).to_numpy()
            item = pc.fill_null(pc.index_in(table[ITEM_ID], value_set=item_ids), -1).to_numpy()
            is_known = (item >= NUM_RESERVED) & saw[row]
            rows.append(row[is_known].astype(np.int64))
            items.append(item[is_known].astype(np.int64))
            since.append(np.full(int(is_known.sum()), version.since))
    nothing = np.zeros(0, dtype=np.int64)
    row, item, begin = (np.concatenate([nothing, *found]) for found in (rows, items, since))
    order = np.lexsort((begin, item, row))
    row, item, begin = row[order], item[order], begin[order]
    is_first = np.append(True, (row[1:] != row[:-1]) | (item[1:] != item[:-1]))[: len(row)]
    return Shown(row[is_first], item[is_first], begin[is_first])


def not_acted_on(shown: Shown, histories: Ragged, event_types: Sequence[int]) -> Shown:
    """Return the pairs without a later event of these types.

    Args:
        shown: [S]
        histories: Histories of the users, with the types and times of the events.
        event_types: Numbers of the types.
    """
    users = len(histories.offsets) - 1
    events, beside = events_of(histories, np.arange(users)), histories.beside or {}
    acts = np.isin(beside[HISTORY_TYPES], event_types)
    base = int(max(shown.item.max(initial=0), events.item.max(initial=0))) + 1
    pairs = shown.row * base + shown.item  # [S], ascending
    own = (events.row * base + events.item)[acts]  # [E]
    place = np.searchsorted(pairs, own).clip(0, max(len(pairs) - 1, 0))
    acted = np.zeros(len(pairs), dtype=bool)
    if len(pairs):
        is_reaction = (pairs[place] == own) & (beside[HISTORY_TIMES][acts] >= shown.since[place])
        acted[place[is_reaction]] = True
    return Shown(*(column[~acted] for column in shown))
