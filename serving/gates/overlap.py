"""Compare new lists with the current ones: how much of each user's list stays.

Legend of shapes: U users that are compared, R rows of their lists, V catalogue of the dataset.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from conf.contract import (
    ITEM_ID,
    NUM_RESERVED,
    POSITION,
    USER_ID,
    ListFigures,
    ListsManifest,
    lists_key,
)
from conf.errors import VersionError
from conf.runs.lineage import is_later
from conf.workspace.parquet import read_columns
from conf.workspace.pointers import read_pointer
from conf.workspace.versions import read_manifest
from serving.publishing.parts import part_name

log = logging.getLogger(__name__)
MOST_USERS = 200_000
"""Users that are compared, so that the lists of all need not be in memory; more are sampled."""


class Overlap(NamedTuple):
    """How much of the current lists is in the new ones."""

    previous_id: str | None
    """The current lists; None: there are none to compare with."""
    users: int
    """Users that were compared."""
    mean: float | None
    """Mean Jaccard index of a user's two lists, 0 to 1; None if nothing could be compared."""


def overlap_with_current(
    current: "CurrentLists | None", folder: Path, *, parts: int, item_ids: pa.Array, length: int
) -> Overlap:
    """Return the overlap of new lists with those that they would replace.

    If the lengths differ, only as many items of each list count as the shorter length has.

    Args:
        current: The lists that they would replace; None: there are none.
        folder: Folder of the new lists.
        parts: Their number of parts.
        item_ids: [V] raw ids of the dataset, null at the reserved numbers.
        length: Their `score.list_length`.
    """
    if current is None:
        return Overlap(None, 0, None)
    length = min(length, current.length)
    new, old = [folder / part_name(part) for part in range(parts)], current.paths
    users = chosen_users(new)
    mean, compared = mean_jaccard(
        _lists_of(users, new, item_ids, length),
        _lists_of(users, old, item_ids, length),
        len(item_ids),
    )
    return Overlap(current.id, compared, mean)


class UserLists(NamedTuple):
    """The lists of the compared users."""

    lengths: np.ndarray
    """[U] int64, number of items, unknown ones included; 0 without a list."""
    pairs: np.ndarray
    """[R] int64, user * V + item, of the items that the dataset knows."""


def mean_jaccard(new: UserLists, old: UserLists, catalogue: int) -> tuple[float | None, int]:
    """Return the mean Jaccard index of two versions, and how many users have a list in both.

    Args:
        new: Lists of U users.
        old: Other lists of the same users.
        catalogue: V

    Returns:
        None and 0 if no user has both lists, or if no item of the old lists is known: then they
        are of other data, or their ids are labels of another key.
    """
    both = (new.lengths > 0) & (old.lengths > 0)  # [U]
    if not both.any() or not len(old.pairs):
        return None, 0
    common = np.intersect1d(new.pairs, old.pairs) // catalogue
    shared = np.bincount(common, minlength=len(both))[both]
    whole = new.lengths[both] + old.lengths[both] - shared
    return float((shared / whole).mean()), int(both.sum())


class CurrentLists(NamedTuple):
    """The lists that new ones would replace."""

    id: str
    paths: list[Path]
    length: int
    """Their `score.list_length`."""
    figures: ListFigures


def current_lists(
    workspace: Path, logical_date: str, scenario: str | None = None
) -> CurrentLists | None:
    """Return the current lists, those of a scenario if one is named; a canary does not count.

    Args:
        workspace: Folder of the workspace.
        logical_date: Day of the new lists.
        scenario: None: the default lists.

    Returns:
        None if there are none, if they are of a later day, or if they cannot be read.
    """
    pointer = read_pointer(workspace, "lists")
    if pointer is None or is_later(pointer["logical_date"], logical_date):
        return None
    try:
        found = read_manifest(workspace, "lists", pointer["id"], ListsManifest)
    except VersionError as error:
        log.warning("score: the lists are not compared with the current ones: %s", error)
        return None
    if scenario is not None and scenario not in found.scenarios:
        return None
    folder = workspace / "lists" / found.id
    paths = [folder / file.path for file in found.files[lists_key(scenario)]]
    if scenario is None:
        return CurrentLists(found.id, paths, found.config["score"]["list_length"], found)
    figures = found.scenarios[scenario]
    return CurrentLists(found.id, paths, figures.list_length, figures)


def chosen_users(paths: list[Path]) -> pa.Array:
    """Return the users of all parts, or of evenly spaced ones if there are too many."""
    found = [pc.unique(read_columns(path, [USER_ID])[USER_ID]) for path in paths]
    every = -(-sum(map(len, found)) // MOST_USERS)
    return pa.concat_arrays(found[:: max(every, 1)])


def _lists_of(users: pa.Array, paths: Sequence[Path], item_ids: pa.Array, length: int) -> UserLists:
    lengths = np.zeros(len(users), dtype=np.int64)
    pairs = [np.zeros(0, dtype=np.int64)]
    for path in paths:
        rows = read_columns(path, [USER_ID, ITEM_ID], pc.field(POSITION) <= length)
        user = pc.index_in(rows[USER_ID], value_set=users)
        rows, user = rows.filter(user.is_valid()), user.drop_null().to_numpy().astype(np.int64)
        lengths += np.bincount(user, minlength=len(users))
        item = pc.index_in(rows[ITEM_ID], value_set=item_ids).fill_null(0).to_numpy()
        pairs.append((user * len(item_ids) + item)[item >= NUM_RESERVED])
    return UserLists(lengths, np.concatenate(pairs))
