"""The lists to deliver, as Arrow tables by kind of lists: the current version, or with a canary.

While there is a canary, a stable share of the users gets the lists of the canary's version, and
all others those of the current one. Lists of items and audiences are those of the current version.

Legend of shapes: N rows.
"""

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from conf.contract import (
    AUDIENCE,
    AUDIENCES,
    ITEM_ID,
    SIMILAR_ITEMS,
    USER_ID,
    DataFile,
    ListsManifest,
    lists_key,
)
from conf.errors import VersionError
from conf.privacy.erased import erased_mark
from conf.settings.publishing.deliver import DEFAULT_LISTS, AnyTarget
from conf.settings.publishing.places import place_key, places_of
from conf.workspace.hashes import canonical_hash
from conf.workspace.mending import mend
from conf.workspace.parquet import open_parquet, told_if_damaged
from conf.workspace.pointers import POINTER_NAME, read_pointer
from conf.workspace.publications import in_canary
from conf.workspace.versions import read_manifest

_ROWS_AT_ONCE = 20_000
_FORMAT = 1
"""Raise it when targets get other rows of the same lists: all versions are then delivered again."""


class Part(NamedTuple):
    """A file of lists."""

    folder: Path
    """Folder of the version."""
    file: DataFile
    in_canary: bool | None = None
    """Whether to take the users who see the canary, or those who do not; None: all users."""


class Kind(NamedTuple):
    """One kind of lists: those of `score`, of a scenario, of items, or the audiences."""

    name: str
    """Its key in `files` of `lists.json`, such as `lists` or `scenarios.cart`."""
    key: str
    """Column whose value a list belongs to: user_id, item_id or audience."""
    parts: tuple[Part, ...]
    rows: int | None
    """Rows that the manifest names; None: only reading tells, as with a canary."""
    lists: int | None
    """Lists that the manifest names; None: likewise."""
    share: float
    salt: str

    def tables(self) -> Iterator[pa.Table]:
        """Yield the rows in tables of some 10,000; no list is in two of them."""
        for part in self.parts:
            for table in _whole_lists(part, None if self.key == AUDIENCE else self.key):
                table = self._named(table, part)
                if part.in_canary is not None:
                    sees = in_canary(table[USER_ID].combine_chunks(), self.share, self.salt)
                    table = table.filter(pa.array(sees == part.in_canary))
                yield table

    def counted(self) -> Iterator[tuple[pa.Table, int]]:
        """Yield each table with its number of lists; check the sums against the manifest.

        Raises:
            VersionError: When the files have other rows than the manifest says.
        """
        rows = lists = 0
        for table in self.tables():
            found = num_lists(table, self.key)
            rows, lists = rows + table.num_rows, lists + found
            yield table, found
        for what, count, expected in (("rows", rows, self.rows), ("lists", lists, self.lists)):
            if expected is not None and count != expected:
                folder = self.parts[0].folder
                raise VersionError(
                    f"{folder} has {count:,} {what} of the kind {self.name}, but its manifest says "
                    f"{expected:,}; {mend(folder)}"
                )

    def _named(self, table: pa.Table, part: Part) -> pa.Table:
        if self.key != AUDIENCE:
            return table
        name = Path(part.file.path).stem
        return table.add_column(0, AUDIENCE, pa.array([name] * table.num_rows, pa.string()))


class Delivery(NamedTuple):
    """What is to be delivered."""

    run: str
    """Name of the run."""
    number: int
    """Number of the newest publication: a target with a larger one is not written to."""
    id: str
    canary: dict[str, Any] | None
    """`id` and `share` of the canary; None: there is none."""
    logical_date: str
    kinds: tuple[Kind, ...]
    content: str
    """Hash of what a target gets: ids, share, and the content of the files."""
    erased: str
    """Mark of the users that are erased from these lists."""
    target: str
    """Name of the target."""
    place: str
    """Its place, see `conf.settings.publishing.places.place_key`."""
    others: Mapping[str, str]
    """Names of the other targets of the configuration, by place."""

    @property
    def identity(self) -> dict[str, Any]:
        """Return what tells one delivery from another."""
        return {"id": self.id, "canary": self.canary, "content": self.content}


def num_lists(table: pa.Table, key: str) -> int:
    """Return the number of lists in a table in which the rows of a list follow each other."""
    if not table.num_rows:
        return 0
    names = table[key].combine_chunks()
    return 1 + int(pc.sum(pc.not_equal(names[1:], names[:-1])).as_py() or 0)


class Published:
    """The lists that a workspace has published."""

    def __init__(self, workspace: Path, run: str, *, is_erasure: bool = False) -> None:
        """Read the pointer and the manifests that it leads to.

        Args:
            workspace: Folder of the workspace.
            run: Name of the run.
            is_erasure: Whether an erasure asks that has reached these lists already.

        Raises:
            VersionError: When nothing is published, or a file is missing or damaged.
        """
        pointer = read_pointer(workspace, "lists")
        if pointer is None:
            raise VersionError(
                f"{workspace / 'lists'} has no {POINTER_NAME}: no lists are published, so there "
                "is nothing to deliver; run headrace score first"
            )
        self.run, self._workspace = run, workspace
        self.number: int = pointer["number"]  # a canary, a rollback and a promotion raise it too
        self.erased = erased_mark(workspace, is_erasure=is_erasure)
        self.current = read_manifest(workspace, "lists", pointer["id"], ListsManifest)
        canary = pointer.get("canary")
        self.canary = None if canary is None else {key: canary[key] for key in ("id", "share")}

    @cached_property
    def _other(self) -> ListsManifest | None:
        if self.canary is None:
            return None
        return read_manifest(self._workspace, "lists", self.canary["id"], ListsManifest)

    def delivery(self, name: str, targets: Mapping[str, AnyTarget], form: Any = None) -> Delivery:
        """Return what a target gets.

        Args:
            name: Its name.
            targets: Settings of all targets, by name.
            form: What else its content depends on, such as compression.
        """
        target = targets[name]
        wanted = target.lists or (DEFAULT_LISTS, *self.current.scenarios)
        names = [None if one == DEFAULT_LISTS else one for one in wanted]
        kinds = [self._of_users(name) for name in names if self._has(name)]
        if target.similar_items:
            kinds += self._of_items()
        if target.audiences:
            kinds += self._audiences()
        files = {
            kind.name: [(part.file.sha256, part.in_canary) for part in kind.parts] for kind in kinds
        }
        ids = [self.current.id, self.canary]
        place, places = place_key(target), places_of(targets)
        others = {key: other for key, other in places.items() if other != name}
        content = canonical_hash([_FORMAT, self.run, ids, files, form])
        return Delivery(
            self.run, self.number, self.current.id, self.canary,
            self.current.logical_date, tuple(kinds), content, self.erased,
            name, place, others,
        )  # fmt: skip

    def _has(self, scenario: str | None) -> bool:
        return lists_key(scenario) in self.current.files

    def _of_users(self, scenario: str | None) -> Kind:
        """Return the lists of users of one kind; the canary's, if it has this kind."""
        key = lists_key(scenario)
        folder = self._workspace / "lists" / self.current.id
        files = self.current.files[key]
        if self.canary is None or self._other is None or key not in self._other.files:
            figures = self.current if scenario is None else self.current.scenarios[scenario]
            parts = tuple(Part(folder, file) for file in files)
            lists = figures.counts.get("lists")
            return Kind(key, USER_ID, parts, _rows(files), lists, 0.0, "")
        other = self._workspace / "lists" / self._other.id
        parts = (
            *(Part(folder, file, in_canary=False) for file in files),
            *(Part(other, file, in_canary=True) for file in self._other.files[key]),
        )
        return Kind(key, USER_ID, parts, None, None, self.canary["share"], self.run)

    def _of_items(self) -> list[Kind]:
        files = self.current.files.get(SIMILAR_ITEMS, ())
        if self.current.similar_items is None:
            return []
        lists = self.current.similar_items.get("lists")
        parts = self._parts(files)
        return [Kind(SIMILAR_ITEMS, ITEM_ID, parts, _rows(files), lists, 0.0, "")]

    def _audiences(self) -> list[Kind]:
        files = self.current.files.get(AUDIENCES, ())
        if not files:
            return []
        lists = sum(file.rows > 0 for file in files)
        return [Kind(AUDIENCES, AUDIENCE, self._parts(files), _rows(files), lists, 0.0, "")]

    def _parts(self, files: tuple[DataFile, ...]) -> tuple[Part, ...]:
        folder = self._workspace / "lists" / self.current.id
        return tuple(Part(folder, file) for file in files)


def _rows(files: tuple[DataFile, ...]) -> int:
    return sum(file.rows for file in files)


def _whole_lists(part: Part, key: str | None) -> Iterator[pa.Table]:
    """Yield the rows of a file; the last list of a piece may go on in the next one.

    Args:
        part: The file.
        key: Column that is the same in all rows of a list; None: the file is one list.
    """
    path, rest = part.folder / part.file.path, None
    with told_if_damaged(path), open_parquet(path) as file:
        for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE):
            table = pa.Table.from_batches([batch])
            table = table if rest is None else pa.concat_tables([rest, table])
            cut = 0 if key is None else _start_of_last(table[key].combine_chunks())
            rest = table.slice(cut)
            if cut:
                yield table.slice(0, cut)
    if rest is not None and rest.num_rows:
        yield rest


def _start_of_last(names: pa.Array) -> int:
    """Return where the last run of equal names begins."""
    changes = np.flatnonzero(pc.not_equal(names[1:], names[:-1]).to_numpy(zero_copy_only=False))
    return int(changes[-1]) + 1 if len(changes) else 0


def keys_of(kind: Kind) -> Iterator[list[str]]:
    """Yield what the lists of a kind belong to, such as users, in pieces."""
    last = None
    for table in kind.tables():
        names = [name for name in pc.unique(table[kind.key]).to_pylist() if name != last]
        if names:
            last = names[-1]
            yield names
