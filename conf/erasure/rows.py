"""Find and remove users' rows in Parquet files, row group by row group."""

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from unicodedata import normalize
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from conf.contract import SOURCE_FILE, USER_ID, USER_IDX
from conf.privacy.identities import KIND, RAW_ID
from conf.privacy.sealing import unseal
from conf.workspace.parquet import open_parquet, told_if_damaged

_REASON, _RAW = "reason", "raw"
_LINE_UNPARSABLE = "line_unparsable"


@dataclass(frozen=True)
class Target:
    """The users to remove, by all names that they have."""

    raw_ids: frozenset[str]
    names: frozenset[str]
    """Their raw ids and their labels."""
    numbers: frozenset[int]
    """Their numbers in the dataset."""
    ciphers: tuple[AESGCM, ...]
    """Decrypt the texts of an encrypted quarantine; one of the current and of each former key."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """New names of the input files whose names hold one of the ids."""

    def is_named_in(self, file_name: str) -> bool:
        """Return whether the name of a file, or its path, holds one of the raw ids."""
        return any(self._in_file_names.search(text) for text in (file_name, unquote(file_name)))

    @cached_property
    def _in_file_names(self) -> re.Pattern[str]:
        escaped = {re.escape(form) for name in self.raw_ids for form in _forms(name)}
        # Between letters and digits an id is a part of another word; `_` and `-` are not.
        return re.compile(rf"(?<![^\W_])(?:{'|'.join(sorted(escaped))})(?![^\W_])")

    def pattern(self) -> re.Pattern[str]:
        """Return a pattern that finds one of the ids in a line as a whole word."""
        escaped = {re.escape(form) for name in self.names for form in _forms(name)}
        return re.compile(rf"(?<!\w)(?:{'|'.join(sorted(escaped))})(?!\w)")


def matching_rows(path: Path, target: Target) -> pa.Table:
    """Return the rows of a file that belong to the users.

    Raises:
        VersionError: When the file is damaged.
    """
    with told_if_damaged(path), open_parquet(path) as file:
        groups = [_matches(table, target)[0] for table in _row_groups(file)]
        return pa.concat_tables(groups) if groups else file.schema_arrow.empty_table()


def copy_without(source: Path, copy: Path, target: Target, mode: int = 0o666) -> int:
    """Write the other rows of a file to a new file; return the number of its row groups.

    Each row group keeps its remaining rows; one without any is not written.
    """
    copy.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    written = 0
    with (
        os.fdopen(descriptor, "wb") as stream,
        told_if_damaged(source),
        open_parquet(source) as file,
        pq.ParquetWriter(stream, file.schema_arrow, write_page_checksum=True) as writer,
    ):
        for table in _row_groups(file):
            _, left = _matches(table, target)
            if left.num_rows:
                writer.write_table(_renamed(left, target), row_group_size=left.num_rows)
                written += 1
        writer.close()
        stream.flush()
        os.fsync(stream.fileno())
    return written


def replace_without(path: Path, target: Target) -> int:
    """Replace a file by its other rows, in one step; return the number of removed rows."""
    rows = int(matching_rows(path, target).num_rows)
    if rows or not target.renamed.keys().isdisjoint(source_files(path)):
        beside = path.with_name(f".{path.name}.new")
        copy_without(path, beside, target, mode=path.stat().st_mode & 0o777)
        beside.replace(path)
    return rows


def source_files(path: Path) -> set[str]:
    """Return the names of input files in a Parquet file of quarantined rows."""
    with open_parquet(path) as file:
        if SOURCE_FILE not in file.schema_arrow.names:
            return set()
        tables = (file.read_row_group(n, [SOURCE_FILE]) for n in range(file.num_row_groups))
        return {name for table in tables for name in pc.unique(table[SOURCE_FILE]).to_pylist()}


def emptied_groups(path: Path, target: Target) -> list[bool]:
    """Return for each row group of a file whether all its rows belong to the users."""
    with told_if_damaged(path), open_parquet(path) as file:
        return [_matches(table, target)[1].num_rows == 0 for table in _row_groups(file)]


def _row_groups(file: pq.ParquetFile) -> Iterator[pa.Table]:
    return (file.read_row_group(index) for index in range(file.num_row_groups))


def _matches(table: pa.Table, target: Target) -> tuple[pa.Table, pa.Table]:
    """Return the users' rows of a table, and the other rows."""
    names = table.schema.names
    if RAW_ID in names:
        hit = pc.and_(_is_in(table[RAW_ID], target.raw_ids), pc.equal(table[KIND], "user"))
    elif _REASON in names and _RAW in names:
        hit = _quarantined(table, target)
    elif USER_ID in names:
        hit = _is_in(table[USER_ID], target.names)
    elif USER_IDX in names:
        numbers = pa.array(sorted(target.numbers), table[USER_IDX].type)
        hit = pc.is_in(table[USER_IDX], value_set=numbers)
    else:
        return table.slice(0, 0), table
    return table.filter(hit), table.filter(pc.invert(hit))


def _renamed(table: pa.Table, target: Target) -> pa.Table:
    if not target.renamed or SOURCE_FILE not in table.schema.names:
        return table
    names = [target.renamed.get(name, name) for name in table[SOURCE_FILE].to_pylist()]
    place = table.schema.get_field_index(SOURCE_FILE)
    field_ = table.schema.field(place)
    return table.set_column(place, field_, pa.array(names, field_.type))


def _is_in(column: pa.ChunkedArray, names: Iterable[str]) -> pa.ChunkedArray:
    return pc.is_in(column.cast(pa.string()), value_set=pa.array(sorted(names), pa.string()))


def _quarantined(table: pa.Table, target: Target) -> pa.ChunkedArray:
    """Return which quarantined rows belong to the users, or are broken lines that name one."""
    own = _is_in(table[USER_ID], target.names)
    nobody = pc.fill_null(pc.equal(pc.utf8_trim_whitespace(table[USER_ID]), ""), True)
    unsure = pc.or_(nobody, pc.equal(table[_REASON], _LINE_UNPARSABLE)).to_pylist()
    if not any(unsure):
        return own
    pattern, texts = target.pattern(), [table[name].to_pylist() for name in _texts(table)]
    found = [
        is_unsure and any(pattern.search(opened(text[row], target)) for text in texts)
        for row, is_unsure in enumerate(unsure)
    ]
    return pc.or_(own, pa.chunked_array([pa.array(found, pa.bool_())]))


def _texts(table: pa.Table) -> list[str]:
    return [field.name for field in table.schema if pa.types.is_string(field.type)]


def opened(text: str | None, target: Target) -> str:
    """Return a text decrypted if it is encrypted with one of our keys, else unchanged."""
    for cipher in target.ciphers:
        try:
            return unseal(cipher, text or "")
        except ValueError:
            continue
    return text or ""


def _forms(name: str) -> set[str]:
    """Return an id as lines may write it: accents composed or not, plain or escaped as in JSON."""
    plain = {name, normalize("NFC", name), normalize("NFD", name)}
    return plain | {
        json.dumps(form, ensure_ascii=is_ascii)[1:-1]
        for form in plain
        for is_ascii in (True, False)
    }
