"""Write lists part by part, so an interrupted scorer continues with the missing parts.

A part gets its final name only when it is complete. Its Parquet footer holds the request and the
number of users: a part with another request or number counts as missing.

Legend of shapes: N users of a part, V catalogue, K list length, R reasons.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from conf.contract import (
    CHANNELS,
    ITEM_ID,
    ITEM_IDX,
    LIST_ID,
    NUM_RESERVED,
    POSITION,
    PROPENSITY,
    REASONS,
    RULE_EXPLORED,
    RULES,
    SCORE,
    SOURCE,
    SOURCE_FALLBACK,
    SOURCE_MODEL,
    USER_ID,
    WHY_ABSENT,
    WHY_FALLBACK,
    WHY_SHORT,
    DataFile,
    Manifest,
    RowGroup,
    catalogue_size,
)
from conf.errors import VersionError
from conf.workspace.folders import remove
from conf.workspace.json_files import written_whole
from conf.workspace.parquet import (
    describe_parquet,
    open_parquet,
    read_columns,
    told_if_damaged,
)
from conf.workspace.storage import raise_storage_failure
from serving.publishing.list_ids import list_ids
from serving.rules.possible import FALLBACK_REASONS, SHORT_REASONS

_REASON = pa.struct([pa.field(ITEM_ID, pa.string()), pa.field("weight", pa.float32())])
LISTS_SCHEMA = pa.schema(
    [
        pa.field(USER_ID, pa.string(), nullable=False),
        pa.field(POSITION, pa.int32(), nullable=False),
        pa.field(ITEM_ID, pa.string(), nullable=False),
        pa.field(SCORE, pa.float32(), nullable=False),
        pa.field(SOURCE, pa.string(), nullable=False),
        pa.field(REASONS, pa.list_(_REASON)),
        pa.field(WHY_FALLBACK, pa.string()),
        pa.field(WHY_SHORT, pa.string()),
        pa.field(LIST_ID, pa.string()),
    ]
)
"""Lists of earlier releases have no `list_id`."""
_CHANNELS = pa.field(CHANNELS, pa.list_(pa.string()))
CHANNELS_SCHEMA = LISTS_SCHEMA.append(_CHANNELS)
"""Of lists that are made of candidates; the channels of a fallback are null."""
REFILL, PIN, BOOST, EXPLORED = "refill", "pin:", "boost:", RULE_EXPLORED
"""What the column of rules says; a name follows the colon."""
RULED_SCHEMA = LISTS_SCHEMA.append(pa.field(RULES, pa.list_(pa.string())))
"""With `score.rules`, and other settings that arrange lists."""
EXPLORED_SCHEMA = RULED_SCHEMA.append(pa.field(PROPENSITY, pa.float32(), nullable=False))
"""With `score.exploration`."""


def lists_schema(*, has_channels: bool, has_rules: bool, has_propensity: bool = False) -> pa.Schema:
    """Return the columns of lists, in which those of some settings follow the others."""
    schema = CHANNELS_SCHEMA if has_channels else LISTS_SCHEMA
    if has_rules:
        schema = schema.append(RULED_SCHEMA.field(RULES))
    return schema.append(EXPLORED_SCHEMA.field(PROPENSITY)) if has_propensity else schema


ABSENT_SCHEMA = pa.schema(
    [
        pa.field(USER_ID, pa.string(), nullable=False),
        pa.field(WHY_ABSENT, pa.string(), nullable=False),
    ]
)
ABSENT_NAME = "users_without_lists.parquet"
_REQUEST, _USERS, _RULES = b"headrace.request", b"headrace.users", b"headrace.rules"
Ledger = Mapping[str, Mapping[str, int]]
"""Counts of each rule, by the rule's dotted name."""


class PartLists(NamedTuple):
    """The lists of one part's users, in the order of the users."""

    item_idx: np.ndarray
    """[N, K] int64, negative after the last item."""
    scores: np.ndarray
    """[N, K] float32"""
    why_fallback: np.ndarray
    """[N] int8, place in `FALLBACK_REASONS`; 0 for a list of the model."""
    why_short: np.ndarray
    """[N] int8, place in `SHORT_REASONS`; 0 for a full list."""
    reason_idx: np.ndarray
    """[N, K, R] int64, negative after the last reason."""
    reason_weight: np.ndarray
    """[N, K, R] float32"""
    channels: np.ndarray
    """[N, K] int64, bit c is set if channel c named the item; 0 without channels."""
    rules: Mapping[str, np.ndarray] | None = None
    """[N, K] bool, places by what the column of rules says; None: there are no rules."""
    propensity: np.ndarray | None = None
    """[N, K] float32, see `serving.arranging.exploring`; None: there is no exploration."""


def part_name(part: int) -> str:
    """Return the file name of the part that holds the users of row group `part`."""
    return f"part-{part:05d}.parquet"


def read_item_ids(folder: Path, manifest: Manifest) -> pa.Array:
    """Return the raw id of every item number: [V], null for the reserved ones."""
    tables = [
        read_columns(folder / file.path, [ITEM_IDX, ITEM_ID]) for file in manifest.files["items"]
    ]
    items = pa.concat_tables(tables).sort_by(ITEM_IDX).combine_chunks()
    num_items = catalogue_size(manifest) - NUM_RESERVED
    numbers = np.arange(NUM_RESERVED, NUM_RESERVED + items.num_rows)
    if items.num_rows != num_items or not np.array_equal(items[ITEM_IDX].to_numpy(), numbers):
        raise VersionError(
            f"items/ of dataset {manifest.id} does not contain each of its "
            f"{num_items} items exactly once; build the dataset again"
        )
    reserved = pa.nulls(NUM_RESERVED, pa.string())
    return pa.concat_arrays([reserved, items[ITEM_ID].cast(pa.string()).combine_chunks()])


def read_row_group(folder: Path, group: RowGroup, columns: list[str]) -> pa.Table:
    """Return columns of one row group of a version."""
    path = folder / group.path
    with told_if_damaged(path), open_parquet(path) as file:
        return file.read_row_group(group.index, columns=columns)


def lists_table(
    user_ids: pa.Array,
    item_ids: pa.Array,
    lists: PartLists,
    channels: Sequence[str] = (),
    scenario: str | None = None,
) -> pa.Table:
    """Return lists as rows of `LISTS_SCHEMA`, one row per user and position.

    Args:
        user_ids: [N]
        item_ids: [V]
        lists: Lists of these users.
        channels: Names of the channels by bit; if there are any, the rows have their column.
        scenario: What the lists are for; None: they are the default ones.
    """
    row, place = np.nonzero(lists.item_idx >= 0)
    sources = pa.array([SOURCE_MODEL, SOURCE_FALLBACK])
    is_popular = lists.why_fallback[row] > 0
    if lists.rules is not None:
        is_popular = is_popular | lists.rules[REFILL][row, place]
    items = item_ids.take(pa.array(lists.item_idx[row, place]))
    columns = [
        user_ids.take(pa.array(row)),
        pa.array(place + 1, pa.int32()),
        items,
        pa.array(lists.scores[row, place], pa.float32()),
        sources.take(pa.array(is_popular.astype(np.int8))),
        _reasons(lists.reason_idx[row, place], lists.reason_weight[row, place], item_ids),
        texts_of(lists.why_fallback[row], FALLBACK_REASONS),
        texts_of(lists.why_short[row], SHORT_REASONS),
        _list_ids(scenario, user_ids, items, row),
    ]
    if channels:
        columns.append(_names_of_channels(lists.channels[row, place], channels))
    if lists.rules is not None:
        marks = {name: where[row, place] for name, where in lists.rules.items()}
        columns.append(_named(marks, len(row)))
    if lists.propensity is not None:
        columns.append(pa.array(lists.propensity[row, place], pa.float32()))
    schema = lists_schema(
        has_channels=bool(channels),
        has_rules=lists.rules is not None,
        has_propensity=lists.propensity is not None,
    )
    return pa.Table.from_arrays(columns, schema=schema)


def _list_ids(
    scenario: str | None, user_ids: pa.Array, items: pa.Array, row: np.ndarray
) -> pa.Array:
    """Return the id of the list that each row is in: [rows], which are in the order of `row`."""
    owners, starts, counts = np.unique(row, return_index=True, return_counts=True)
    offsets = np.append(starts, len(row))
    found = list_ids(scenario, user_ids.take(pa.array(owners)), items, offsets)
    return found.take(pa.array(np.repeat(np.arange(len(owners)), counts)))


def _names_of_channels(bits: np.ndarray, channels: Sequence[str]) -> pa.Array:
    """Return the names of the channels of each row, in their order; null for none."""
    named = (bits[:, None] >> np.arange(len(channels))) & 1 > 0  # [rows, channels]
    offsets = np.concatenate([[0], np.cumsum(named.sum(1))])
    _, numbers = np.nonzero(named)
    return pa.ListArray.from_arrays(
        pa.array(offsets, pa.int32()),
        pa.array(channels, pa.string()).take(pa.array(numbers)),
        type=_CHANNELS.type,
        mask=pa.array(bits == 0),
    )


def _named(named: Mapping[str, np.ndarray], rows: int) -> pa.Array:
    """Return a list of names per row, null for none; `named` says for each name where it is."""
    found = np.stack([*named.values()], axis=1) if named else np.zeros((rows, 0), dtype=bool)
    counts = found.sum(1)
    texts = pa.array([*named], pa.string()).take(pa.array(np.nonzero(found)[1]))
    offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]), pa.int32())
    return pa.ListArray.from_arrays(offsets, texts, mask=pa.array(counts == 0))


def texts_of(codes: np.ndarray, reasons: Sequence[str | None]) -> pa.Array:
    """Return the reason of each code, null for 0."""
    return pa.array(reasons, pa.string()).take(pa.array(codes))


def write_part(
    path: Path, table: pa.Table, *, request: str, num_users: int, ledger: Ledger | None = None
) -> None:
    """Write a part under a temporary name, then rename it in one step."""
    metadata = {_REQUEST: request.encode(), _USERS: str(num_users).encode()}
    if ledger is not None:
        metadata[_RULES] = json.dumps(ledger).encode()
    _write_whole(path, table.replace_schema_metadata(metadata))


def read_ledger(folder: Path, num_parts: int) -> dict[str, dict[str, int]]:
    """Return the sum of the ledgers of rules that are in the footers of parts."""
    total: dict[str, Counter[str]] = {}
    for part in range(num_parts):
        path = folder / part_name(part)
        with told_if_damaged(path):
            text = (pq.read_metadata(path).metadata or {}).get(_RULES, b"{}")
        for name, counts in json.loads(text).items():
            total.setdefault(name, Counter()).update(counts)
    return {name: dict(counts) for name, counts in total.items()}


def write_absent(folder: Path, users: pa.Table, version: Path | None = None) -> DataFile | None:
    """Write the table of the users without a list, unless it is empty; return its entry.

    Args:
        folder: Folder of the lists.
        users: Rows of `ABSENT_SCHEMA`.
        version: Folder of the version; None: that of the lists.
    """
    if not users.num_rows:
        return None
    path = folder / ABSENT_NAME
    _write_whole(path, users)
    return describe_parquet(version or folder, path)


def is_complete(path: Path, *, request: str, num_users: int) -> bool:
    """Return whether a part is complete and made for this request and this number of users."""
    if path.is_symlink() or not path.is_file():
        return False
    try:
        metadata = pq.read_metadata(path).metadata or {}
    except (OSError, pa.ArrowException) as error:
        raise_storage_failure(error, path)  # such a part may be complete
        return False
    return metadata.get(_REQUEST) == request.encode() and metadata.get(_USERS) == b"%d" % num_users


def missing_parts(
    folder: Path, rows: Sequence[int], request: str, *, keep: Sequence[str] = ()
) -> list[int]:
    """Return the parts still to be written; remove every file that is not a complete part.

    Args:
        folder: Folder of the parts.
        rows: Users or items of each part.
        request: Request of the version.
        keep: Names of other files that stay.
    """
    missing = [
        part
        for part, count in enumerate(rows)
        if not is_complete(folder / part_name(part), request=request, num_users=count)
    ]
    kept = {part_name(part) for part in range(len(rows))} - {part_name(p) for p in missing}
    kept.update(keep)
    for path in folder.iterdir():
        if path.name not in kept:
            remove(path)
    return missing


def describe_parts(
    folder: Path, num_parts: int, version: Path | None = None
) -> tuple[DataFile, ...]:
    """Return the manifest's entries of all parts in a folder; `version` as for `write_absent`."""
    paths = (folder / part_name(part) for part in range(num_parts))
    return tuple(describe_parquet(version or folder, path) for path in paths)


def _write_whole(path: Path, table: pa.Table) -> None:
    with written_whole(path) as stream:
        pq.write_table(table, stream, write_page_checksum=True)


def _reasons(item_idx: np.ndarray, weight: np.ndarray, item_ids: pa.Array) -> pa.Array:
    """Return one list of (item_id, weight) per row, from [rows, R] each; null without a reason."""
    given = item_idx >= 0
    counts = given.sum(1)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    reasons = pa.StructArray.from_arrays(
        [item_ids.take(pa.array(item_idx[given])), pa.array(weight[given], pa.float32())],
        fields=list(_REASON),
    )
    return pa.ListArray.from_arrays(
        pa.array(offsets, pa.int32()),
        reasons,
        type=LISTS_SCHEMA.field(REASONS).type,
        mask=pa.array(counts == 0),
    )
