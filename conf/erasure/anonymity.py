"""Keep what the manifest promises when users are gone: k-anonymity, and items of enough users.

Fewer users may share a combination of quasi-identifiers afterwards than `privacy.k`. Such
combinations are emptied as the ETL does at the end: field by field, the last one first.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from conf.contract import (
    HISTORY_ITEMS,
    ITEM_IDX,
    PADDING_IDX,
    PRESENT_SUFFIX,
    TRAIN_EVENTS,
    USER_IDX,
    DataFile,
    Manifest,
    PrivacyReport,
)
from conf.workspace.parquet import describe_parquet, open_parquet, read_columns

Files = Mapping[str, Sequence[DataFile]]
_MISSING = "_was_missing"  # after a field's name: boolean, the value is a fill
_USER = "user_"  # before the name of a user's feature
_EMPTY = -1


class Kept(NamedTuple):
    """What was done so that the promises about anonymity hold."""

    files: dict[str, tuple[DataFile, ...]]
    """All parts, with the new entries of the files that changed."""
    report: PrivacyReport | None
    emptied: int
    """Users whose combination lost a value."""


def keep_promises(manifest: Manifest, beside: Path, files: Files) -> Kept:
    """Empty the combinations that too few users have, and count the items of too few users.

    Args:
        manifest: Manifest of the dataset before the erasure.
        beside: Folder in which its replacement is built, without the erased users' rows. Its files
            may be links to the old ones.
        files: Files of the replacement, by part.
    """
    entries = {part: tuple(members) for part, members in files.items()}
    report = manifest.privacy
    if report is None:
        return Kept(entries, None, 0)
    changes: dict[str, int | None] = {}
    emptied = 0
    if report.k_asked is not None:
        names = report.quasi_identifiers
        users = _combinations(beside, files["users"], names)
        codes = _coarsened(users.codes, report.k_asked)
        is_emptied = (codes == _EMPTY) & (users.codes != _EMPTY)  # [N users, Q fields]
        emptied = int(is_emptied.any(axis=1).sum())
        if emptied:
            fills = manifest.fills.get("users", {})
            entries["users"] = _without_values(beside, files["users"], names, is_emptied, fills)
            gone = {
                name: frozenset(users.numbers[is_emptied[:, place]].tolist())
                for place, name in enumerate(names)
            }
            if "user_features" in files:
                entries["user_features"] = _without_features(manifest, beside, files, gone)
        changes |= _figures(report, codes, is_emptied)
    if report.min_users_per_item > 1:
        changes["items_of_few_users"] = _items_of_few(beside, files, report.min_users_per_item)
    return Kept(entries, report.model_copy(update=changes), emptied)


class _Users(NamedTuple):
    """The users in the order of their rows; of each field's values, equal ones have one code."""

    numbers: np.ndarray
    codes: np.ndarray


def _combinations(folder: Path, files: Sequence[DataFile], names: Sequence[str]) -> _Users:
    """Return the users and their combinations; _EMPTY for a value that is missing or a fill."""
    columns = [USER_IDX, *names, *(name + _MISSING for name in names)]
    tables = [read_columns(folder / file.path, columns) for file in files]
    if not tables:
        return _Users(np.zeros(0, np.int64), np.zeros((0, len(names)), np.int64))
    table = pa.concat_tables(tables)
    codes = np.full((table.num_rows, len(names)), _EMPTY, np.int64)
    for place, name in enumerate(names):
        if name not in table.column_names:
            continue
        values = table[name]
        if name + _MISSING in table.column_names:
            values = pc.if_else(table[name + _MISSING], pa.scalar(None, values.type), values)
        encoded = values.combine_chunks().dictionary_encode()
        codes[:, place] = pc.fill_null(encoded.indices, _EMPTY).to_numpy(zero_copy_only=False)
    return _Users(table[USER_IDX].to_numpy(), codes)


def _coarsened(codes: np.ndarray, k: int) -> np.ndarray:
    """Return the codes with the fields of rare combinations emptied, the last field first."""
    codes = codes.copy()
    for place in reversed(range(codes.shape[1])):
        if not len(codes):
            break
        sizes = _sizes(codes)
        rare = (sizes < k) & (codes != _EMPTY).any(axis=1)
        codes[rare, place] = _EMPTY
    return codes


def _sizes(codes: np.ndarray) -> np.ndarray:
    """Return for each user how many have the same combination."""
    _, group, counts = np.unique(codes, axis=0, return_inverse=True, return_counts=True)
    found: np.ndarray = counts[group.reshape(-1)]
    return found


def _figures(
    report: PrivacyReport, codes: np.ndarray, is_emptied: np.ndarray
) -> dict[str, int | None]:
    """Return the figures of the report that an erasure changes.

    The rows do not show who of the erased users was generalised or suppressed by the ETL. If
    anybody was, the numbers for the remaining users are unknown.
    """
    told = (codes != _EMPTY).any(axis=1)
    reached = int(_sizes(codes)[told].min()) if told.any() else None
    changed = is_emptied.any(axis=1)
    is_known = report.rows_generalised == 0 and report.rows_suppressed == 0
    return {
        "k_reached": reached,
        "rows_generalised": int((changed & told).sum()) if is_known else None,
        "rows_suppressed": int((changed & ~told).sum()) if is_known else None,
    }


def _without_values(
    beside: Path,
    files: Sequence[DataFile],
    names: Sequence[str],
    is_emptied: np.ndarray,
    fills: Mapping[str, Mapping[str, object]],
) -> tuple[DataFile, ...]:
    """Empty values in the users' rows; a field with fills gets the fill that is not of a group."""
    entries, start = [], 0
    for file in files:
        emptied = is_emptied[start : start + file.rows]
        start += file.rows
        if not emptied.any():
            entries.append(file)
            continue
        groups, done = [], 0
        for table in _row_groups(beside / file.path):
            rows = emptied[done : done + table.num_rows]
            done += table.num_rows
            for place, name in enumerate(names):
                is_filled = name + _MISSING in table.column_names
                fill = fills.get(name, {}).get("value") if is_filled else None
                table = _put(table, name, rows[:, place], fill)
                table = _put(table, name + _MISSING, rows[:, place], True)
            groups.append(table)
        entries.append(_rewritten(beside, beside / file.path, groups))
    return tuple(entries)


def _without_features(
    manifest: Manifest, beside: Path, files: Files, gone: Mapping[str, frozenset[int]]
) -> tuple[DataFile, ...]:
    """Set the features that were made of emptied values to those of a missing value.

    Args:
        manifest: Manifest of the dataset.
        beside: Folder of the replacement.
        files: Its files.
        gone: Numbers of the users by field.
    """
    whose: dict[str, set[int]] = {}
    for feature in manifest.features.get("user_features", ()):
        for source in feature.made_of or (feature.name,):
            users = gone.get(source.removeprefix(_USER), frozenset())
            for column in (feature.name, feature.name + PRESENT_SUFFIX):
                whose.setdefault(column, set()).update(users)
    entries = []
    for file in files["user_features"]:
        groups, has_changed = [], False
        for table in _row_groups(beside / file.path):
            numbers = table[USER_IDX].to_numpy()
            for name in (name for name in table.column_names if whose.get(name)):
                rows = np.isin(numbers, np.fromiter(whose[name], np.int64))
                has_changed = has_changed or bool(rows.any())
                table = _put(table, name, rows, _missing(table[name]))
            groups.append(table)
        entries.append(_rewritten(beside, beside / file.path, groups) if has_changed else file)
    return tuple(entries)


def _missing(column: pa.ChunkedArray) -> object:
    """Return the value of a feature for a user without the field's value."""
    if not pa.types.is_list(column.type):
        return PADDING_IDX
    # A vector is all zeros; a list of tags is empty.
    is_vector = pa.types.is_floating(column.type.value_type)
    return [0.0] * len(column[0].as_py()) if is_vector and len(column) else []


def _put(table: pa.Table, name: str, rows: np.ndarray, value: object) -> pa.Table:
    """Return the table with a value in some rows of a column, if it has this column."""
    if name not in table.column_names or not rows.any():
        return table
    place = table.schema.get_field_index(name)
    kind = table.schema.field(place).type
    if pa.types.is_list(kind):
        cells = table[name].to_pylist()
        kept = [value if hit else cell for cell, hit in zip(cells, rows.tolist(), strict=True)]
        column = pa.array(kept, kind)
    else:
        column = pc.if_else(pa.array(rows), pa.scalar(value).cast(kind), table[name])
    return table.set_column(place, table.schema.field(place), column)


def _row_groups(path: Path) -> Iterator[pa.Table]:
    with open_parquet(path) as file:
        for index in range(file.num_row_groups):
            yield file.read_row_group(index)


def _rewritten(beside: Path, path: Path, groups: Sequence[pa.Table]) -> DataFile:
    """Replace a file, which may be a link to the old dataset's, by one with other row groups."""
    new = path.with_name(f".{path.name}.new")
    with pq.ParquetWriter(new, groups[0].schema, write_page_checksum=True) as writer:
        for table in groups:
            writer.write_table(table, row_group_size=table.num_rows)
    new.replace(path)
    return describe_parquet(beside, path)


def _items_of_few(folder: Path, files: Files, least: int) -> int:
    """Return how many items with training events fewer users have in their histories."""
    users: np.ndarray = np.zeros(0, np.int64)
    for file in files.get("histories", ()):
        for table in _row_groups(folder / file.path):
            lists = table[HISTORY_ITEMS].combine_chunks()
            lengths = pc.list_value_length(lists).to_numpy(zero_copy_only=False)
            pairs = np.stack([np.repeat(np.arange(len(lengths)), lengths), lists.flatten()])
            counts = np.bincount(np.unique(pairs, axis=1)[1], minlength=len(users))
            counts[: len(users)] += users
            users = counts
    numbers = [np.zeros(0, np.int64)]
    for file in files.get("items", ()):
        items = read_columns(folder / file.path, [ITEM_IDX, TRAIN_EVENTS])
        if {ITEM_IDX, TRAIN_EVENTS} <= set(items.column_names):
            numbers.append(items.filter(pc.greater(items[TRAIN_EVENTS], 0))[ITEM_IDX].to_numpy())
    known = np.concatenate(numbers)
    there = known[known < len(users)]
    return int((users[there] < least).sum() + len(known) - len(there))
