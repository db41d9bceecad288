"""The earlier version whose lists may be kept, and which users it has unchanged.

Legend of shapes: N users of a part, E users of an earlier row group, R rows of lists.
"""

import logging
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from conf.contract import (
    SOURCE,
    SOURCE_MODEL,
    USER_ID,
    USER_IDX,
    WHY_SHORT,
    ListsManifest,
    Manifest,
    lists_key,
)
from conf.errors import VersionError
from conf.settings.score import Score
from conf.workspace.parquet import read_whole
from conf.workspace.pointers import read_pointer
from conf.workspace.publications import canary_of
from conf.workspace.versions import read_manifest, version_path
from serving.publishing.parts import read_row_group
from serving.rules.event_rules import counting_events, past_rules
from trainer.data.batches import histories_of
from trainer.data.columns import Ragged, events_of, numbers_of
from trainer.data.stream import read_row_groups

log = logging.getLogger(__name__)
_MOST_TRIED = 3
"""Versions that are looked at, newest first. In older ones fewer users are unchanged."""
_OTHER_BASIS = (
    "they were made with another model, another release, or other settings, workers, rules or "
    "fields of items"
)
_OTHER_NUMBERS = "items have other numbers now; etl.vocabulary: extend keeps the numbers"


class Base(NamedTuple):
    """An earlier version of lists with the dataset that it was made of."""

    lists_id: str
    dataset_id: str
    kinds: frozenset[str | None]
    """Scenarios whose lists may be kept; None: the default lists."""


def base_of(workspace: Path, manifest: Manifest, basis: Mapping[str | None, str]) -> Base | None:
    """Return the newest published version whose lists may be kept; None: there is none.

    It is the newest with lists of any kind that fit, also if an older one has more such kinds. If
    there is none, the log has the reasons.

    Args:
        workspace: Folder of the workspace.
        manifest: The new dataset.
        basis: Of `serving.carrying.basis`, by scenario; None: the default lists.
    """
    pointer = read_pointer(workspace, "lists")
    if pointer is None or not basis:
        return None
    canary = canary_of(pointer)
    names = [*([] if canary is None else [canary.id]), pointer["id"], *pointer["previous"]]
    reasons = {}
    for name in names[:_MOST_TRIED]:
        try:
            lists = read_manifest(workspace, "lists", name, ListsManifest)
            dataset = read_manifest(workspace, "datasets", lists.dataset_id, Manifest)
        except VersionError as error:
            reasons[name] = str(error)
            continue
        kinds = [kind for kind, key in basis.items() if lists.basis.get(lists_key(kind)) == key]
        if not kinds:
            reasons[name] = _OTHER_BASIS
        elif not _numbers_are_kept(manifest, dataset):
            reasons[name] = _OTHER_NUMBERS
        else:
            return Base(name, dataset.id, frozenset(kinds))
    for name, why in reasons.items():
        log.info("score: cannot reuse lists of %s: %s", name, why)
    return None


def _numbers_are_kept(manifest: Manifest, earlier: Manifest) -> bool:
    """Return whether all that the earlier dataset numbered has the same number now.

    Users are not compared here: `Earlier.kept` compares their ids one by one. Their fingerprint
    cannot be used, because an erasure removes ids from an extended dataset.
    """
    now, then = manifest.vocabularies, earlier.vocabularies
    return now.keys() == then.keys() and all(
        now[key].goes_on_from(then[key]) for key in then.keys() - {"user"}
    )


class Kept(NamedTuple):
    """The users of a part that keep their lists, and these."""

    is_kept: np.ndarray
    """[N] bool"""
    rows: pa.Table
    """[R] rows of their lists."""
    owner: np.ndarray
    """[R] int64, row of the user in the part."""


class _Group(NamedTuple):
    """A row group of the earlier dataset."""

    users: pa.Table
    """[E]"""
    histories: Ragged
    """[E]"""


class Earlier:
    """The earlier lists and their dataset, for the parts of the new one."""

    def __init__(self, workspace: Path, base: Base, columns: Sequence[str]) -> None:
        """Read which users are where.

        Args:
            workspace: Folder of the workspace.
            base: The earlier version.
            columns: Columns of histories that lists may follow from.

        Raises:
            VersionError: When one of the two is damaged, or they do not belong together.
        """
        self.base, self.columns = base, columns
        self.folder = workspace / "lists" / base.lists_id
        self.lists = read_manifest(workspace, "lists", base.lists_id, ListsManifest)
        self.dataset = workspace / "datasets" / base.dataset_id
        self.manifest = read_manifest(workspace, "datasets", base.dataset_id, Manifest)
        size = self.manifest.vocabularies["user"].size
        # By the user's number; small, as every worker has them for all users.
        self.group, self.row = (np.full(size, -1, dtype=np.int32) for _ in range(2))
        for number, group in enumerate(self.manifest.row_groups("users")):
            users = read_row_group(self.dataset, group, [USER_IDX])[USER_IDX].to_numpy()
            self.group[users], self.row[users] = number, np.arange(len(users))
        # A part's users are in few groups, which its kinds of lists and the next part need too.
        self._read = lru_cache(maxsize=4)(self._group)

    def kept(
        self,
        score: Score,
        scenario: str | None,
        users: pa.Table,
        histories: Ragged,
        *,
        fields: Sequence[str],
        since: Sequence[int | None],
    ) -> Kept | None:
        """Return which users of a part keep their lists; None: nobody does.

        Args:
            score: The section as it is for these lists.
            scenario: What the lists are for; None: they are the default ones.
            users: N users with their numbers, ids and fields.
            histories: [N]
            fields: Fields of users that these lists follow from.
            since: Of `past_rules`, in their order, for the new dataset.

        Raises:
            VersionError: When the lists or the dataset are damaged.
        """
        if scenario not in self.base.kinds:
            return None
        numbers = users[USER_IDX].to_numpy()
        there = np.flatnonzero(numbers < len(self.group))
        there = there[self.group[numbers[there]] >= 0]
        is_kept = np.zeros(users.num_rows, dtype=bool)
        rows: list[pa.Table] = []
        owners: list[np.ndarray] = []
        for number in np.unique(self.group[numbers[there]]).tolist():
            group = self._read(number, tuple(fields))
            new = there[self.group[numbers[there]] == number]
            old = self.row[numbers[new]]
            same = equal_histories(histories, new, group.histories, old)
            for name in (USER_ID, *fields):
                same &= _equal(users[name], new, group.users[name], old)
            new, old = new[same], old[same]
            aged = self._aged(score, group.histories, old, since)
            new, old = new[~aged], old[~aged]
            row_of = np.full(group.users.num_rows, -1)
            row_of[old] = new
            table, owner = self._rows(score, scenario, number, group.users[USER_ID], row_of)
            rows.append(table)
            owners.append(owner)
            is_kept[owner] = True
        if not is_kept.any():
            return None
        return Kept(is_kept, pa.concat_tables(rows), np.concatenate(owners))

    def _group(self, number: int, fields: tuple[str, ...]) -> _Group:
        group = self.manifest.row_groups("histories")[number]
        _, found = next(read_row_groups(self.dataset, [group], [*self.columns], threads=1))
        columns = [USER_IDX, USER_ID, *fields]
        users = read_row_group(self.dataset, self.manifest.row_groups("users")[number], columns)
        if not np.array_equal(users[USER_IDX].to_numpy(), numbers_of(found, USER_IDX)):
            raise VersionError(
                f"users/ and histories/ of dataset {self.manifest.id} differ in row group {number}"
            )
        return _Group(users, histories_of(found))

    def _part(self, scenario: str | None, number: int) -> Path:
        """Return the part with the lists of a row group's users.

        Its name need not have the number: an erasure removes row groups and parts without users.
        """
        parts = self.lists.files[lists_key(scenario)]
        groups = len(self.manifest.row_groups("users"))
        if len(parts) != groups:
            raise VersionError(
                f"lists {self.lists.id} have {len(parts)} parts, and users/ of dataset "
                f"{self.manifest.id} has {groups} row groups"
            )
        return version_path(self.folder, parts[number].path)

    def _rows(
        self, score: Score, scenario: str | None, number: int, ids: pa.Array, row_of: np.ndarray
    ) -> tuple[pa.Table, np.ndarray]:
        """Return the lists of a row group that are kept: whole ones of the model.

        Others depend on which items are popular.

        Args:
            score: The section as it is for these lists.
            scenario: What the lists are for.
            number: Of the row group.
            ids: [E]
            row_of: [E] row in the new part of each user who is unchanged, -1 for others.
        """
        path = self._part(scenario, number)
        table = read_whole(path)
        found = pc.index_in(table[USER_ID], value_set=ids.cast(pa.string()).combine_chunks())
        if found.null_count:
            raise VersionError(
                f"{path} has lists of other users than row group {number} of users/ of dataset "
                f"{self.manifest.id}"
            )
        user = found.to_numpy()
        is_whole = pc.equal(table[SOURCE], SOURCE_MODEL).to_numpy() & (
            pc.is_null(table[WHY_SHORT]).to_numpy()
        )
        lengths = np.bincount(user[is_whole], minlength=len(row_of))
        stays = (lengths[user] == score.list_length) & (row_of[user] >= 0)
        return table.filter(pa.array(stays)), row_of[user[stays]]

    def _aged(
        self, score: Score, histories: Ragged, rows: np.ndarray, since: Sequence[int | None]
    ) -> np.ndarray:
        """Return whose events have become too old for a rule: [B] bool.

        Args:
            score: With the rules.
            histories: [E]
            rows: [B]
            since: See `kept`.
        """
        found = np.zeros(len(rows), dtype=bool)
        for rule, now in zip(past_rules(score, self.manifest), since, strict=True):
            if rule.since == now or rule.since is None or now is None:
                continue
            first, end = sorted((rule.since, now))
            events, counts = counting_events(rule.event_types, histories, rows, first, end)
            found[events.row[counts]] = True
        return found


def equal_histories(one: Ragged, rows: np.ndarray, other: Ragged, others: np.ndarray) -> np.ndarray:
    """Return whether each of the chosen histories is the same as another: [B] bool.

    It has the same events in the same order, and all their columns have the same dtypes and bits.

    Args:
        one: Histories with the other columns of their events.
        rows: [B]
        other: Histories.
        others: [B] the row that each is compared with.
    """
    beside = {"": (one.values, other.values)}
    mine, theirs = one.beside or {}, other.beside or {}
    if mine.keys() != theirs.keys():
        return np.zeros(len(rows), dtype=bool)
    beside |= {name: (mine[name], theirs[name]) for name in mine}
    same: np.ndarray = one.lengths[rows] == other.lengths[others]
    (chosen,) = np.nonzero(same)
    row, place, _ = events_of(one, rows[chosen])
    at = one.offsets[rows[chosen]][row] + place
    other_at = other.offsets[others[chosen]][row] + place
    for values, other_values in beside.values():
        same[chosen[row[_differ(values[at], other_values[other_at])]]] = False
    return same


def _differ(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return where values have other bits, so that equal missing numbers are equal."""
    if one.dtype != other.dtype:
        return np.ones(len(one), dtype=bool)
    shape = (len(one), one.dtype.itemsize)
    mine, theirs = (
        np.ascontiguousarray(values).view(np.uint8).reshape(shape) for values in (one, other)
    )
    differ: np.ndarray = (mine != theirs).any(1)
    return differ


def _equal(
    one: pa.ChunkedArray, rows: np.ndarray, other: pa.ChunkedArray, others: np.ndarray
) -> np.ndarray:
    """Return whether each value is the same as another, missing ones included: [B] bool."""
    if one.type != other.type:
        return np.zeros(len(rows), dtype=bool)
    mine, theirs = one.take(pa.array(rows)), other.take(pa.array(others))
    both_null = pc.and_(pc.is_null(mine), pc.is_null(theirs))
    same = pc.or_(pc.fill_null(pc.equal(mine, theirs), False), both_null)
    return np.asarray(same.combine_chunks().to_numpy(zero_copy_only=False), dtype=bool)
