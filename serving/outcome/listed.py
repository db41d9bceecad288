"""Read the lists of some users from a published version.

Legend of shapes: R rows of lists.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from conf.contract import (
    CHANNELS,
    ITEM_ID,
    LIST_ID,
    POSITION,
    PROPENSITY,
    RULES,
    SOURCE,
    USER_ID,
    ListsManifest,
    lists_key,
)
from conf.workspace.parquet import read_columns
from serving.outcome.events import Names
from serving.outcome.joining import Codes
from serving.publishing.parts import EXPLORED

_COLUMNS = (USER_ID, POSITION, ITEM_ID, SOURCE, CHANNELS, RULES, PROPENSITY, LIST_ID)


class Listed(NamedTuple):
    """Rows of lists, of all scenarios."""

    user: np.ndarray
    """[R] int64, place in the ids of users that were asked for."""
    item: np.ndarray
    """[R] int64"""
    position: np.ndarray
    """[R] int64, from 1"""
    scenario: np.ndarray
    """[R] int64, place in the names of scenarios."""
    channels: np.ndarray
    """[R] int64, bit c is set for the channel c."""
    propensity: np.ndarray
    """[R] float64, NaN without one."""
    is_explored: np.ndarray
    """[R] bool"""
    list_id: np.ndarray
    """[R] int64, -1 in lists of earlier releases."""

    def taken(self, rows: np.ndarray) -> "Listed":
        """Return some of the rows, given by their places or as a mask."""
        return Listed(*(column[rows] for column in self))


class Reader:
    """Reads versions with one numbering of all that they name."""

    def __init__(self, workspace: Path, user_ids: pa.Array, names: Names) -> None:
        """Take what is read of.

        Args:
            workspace: Folder of the workspace.
            user_ids: [U] ids of the users whose lists are read, as in the lists.
            names: Gets the items and lists that are read.
        """
        self.workspace, self.user_ids, self.names = workspace, user_ids, names
        self.scenarios, self.channels = Codes(), Codes()

    def read(self, manifest: ListsManifest, users: np.ndarray | None = None) -> Listed:
        """Return the lists of a version, of all its scenarios.

        Args:
            manifest: The version.
            users: Numbers of the users whose lists are wanted; None: all that there are.

        Raises:
            VersionError: When a file is damaged, or gone.
        """
        wanted = self.user_ids if users is None else self.user_ids.take(pa.array(users))
        found = [no_rows()]
        for name in (None, *manifest.scenarios):
            scenario = self.scenarios.number(name or "")
            for file in manifest.files[lists_key(name)]:
                path = self.workspace / "lists" / manifest.id / file.path
                rows = read_columns(path, _COLUMNS, pc.field(USER_ID).isin(wanted))
                found.append(self._listed(rows, scenario))
        return Listed(*(np.concatenate(column) for column in zip(*found, strict=True)))

    def _listed(self, rows: pa.Table, scenario: int) -> Listed:
        user = pc.index_in(rows[USER_ID], value_set=self.user_ids).to_numpy()
        explored = _has(rows, RULES, EXPLORED)
        bits = np.zeros(rows.num_rows, dtype=np.int64)
        sources = self.channels.of(rows[SOURCE])
        bits |= np.left_shift(np.int64(1), sources)
        for name in _values(rows, CHANNELS):
            bits[_has(rows, CHANNELS, name)] |= 1 << self.channels.number(name)
        if explored.any():
            bits[explored] |= 1 << self.channels.number(EXPLORED)
        propensity = np.full(rows.num_rows, np.nan)
        if PROPENSITY in rows.column_names:
            propensity = rows[PROPENSITY].to_numpy().astype(np.float64)
        list_id = np.full(rows.num_rows, -1, dtype=np.int64)
        if LIST_ID in rows.column_names:
            list_id = self.names.lists.of(rows[LIST_ID])
        return Listed(
            user.astype(np.int64),
            self.names.items.of(rows[ITEM_ID]),
            rows[POSITION].to_numpy().astype(np.int64),
            np.full(rows.num_rows, scenario, dtype=np.int64),
            bits,
            propensity,
            explored,
            list_id,
        )


def _values(rows: pa.Table, column: str) -> Sequence[str]:
    """Return the texts in a column of lists of texts."""
    if column not in rows.column_names:
        return []
    found: list[str] = pc.unique(pc.list_flatten(rows[column])).to_pylist()
    return found


def _has(rows: pa.Table, column: str, text: str) -> np.ndarray:
    """Return which rows of a column of lists of texts name a text: [R] bool."""
    found = np.zeros(rows.num_rows, dtype=bool)
    if column in rows.column_names:
        values = rows[column].combine_chunks()
        parents = pc.list_parent_indices(values)
        named = pc.equal(pc.list_flatten(values), text)
        found[parents.filter(named).to_numpy()] = True
    return found


def no_rows() -> Listed:
    """Return no rows at all."""
    none = np.zeros(0, dtype=np.int64)
    return Listed(none, none, none, none, none, np.zeros(0), np.zeros(0, dtype=bool), none)
