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
from conf.workspace.versions import read_manifest
from trainer.data.columns import Ragged, events_of

FATIGUE = "score.rules.fatigue"


class ShownVersion(NamedTuple):
    """Lists that were published before."""

    paths: tuple[Path, ...]
    since: int
    """Microseconds since 1970 UTC of the end of their day: later events are reactions to them."""


def shown_version(workspace: Path, version: str, scenario: str | None = None) -> ShownVersion:
    """Return published lists, those of a scenario if one is named, as their readers need them."""
    manifest = read_manifest(workspace, "lists", version, ListsManifest)
    folder = workspace / "lists" / version
    end = datetime.fromisoformat(manifest.logical_date).replace(tzinfo=UTC) + timedelta(days=1)
    paths = tuple(folder / file.path for file in manifest.files[lists_key(scenario)])
    return ShownVersion(paths, int(end.timestamp()) * 1_000_000)


class Shown(NamedTuple):
    """Pairs of user and item that lists have shown, each once."""

    row: np.ndarray
    """[S] int64, ascending"""
    item: np.ndarray
    """[S] int64"""
    since: np.ndarray
    """[S] int64, of the first of the versions."""


def read_shown(versions: Sequence[ShownVersion], user_ids: pa.Array, item_ids: pa.Array) -> Shown:
    """Return what the versions have shown to some users.

    Args:
        versions: The versions.
        user_ids: [N]
        item_ids: Ids of the dataset's items, null for the reserved numbers.
    """
    rows, items, since = [], [], []
    wanted = pc.field(USER_ID).isin(user_ids)
    for version in versions:
        for path in version.paths:
            table = read_columns(path, [USER_ID, ITEM_ID], wanted)
            row = pc.index_in(table[USER_ID], value_set=user_ids).to_numpy()
            item = pc.fill_null(pc.index_in(table[ITEM_ID], value_set=item_ids), -1).to_numpy()
            is_known = item >= NUM_RESERVED
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
