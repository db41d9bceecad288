"""Texts as numbers, and joins: find rows of a table by several numbers at once.

Legend of shapes: R rows of the table, Q queries.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa


class Codes:
    """A numbering of texts that grows, in the order in which they first come."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self.numbers: dict[str, int] = {}
        for text in texts:
            self.number(text)

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def texts(self) -> list[str]:
        """The texts, by number."""
        return list(self.numbers)

    def number(self, text: str) -> int:
        """Return the number of a text; a new one gets the next number."""
        return self.numbers.setdefault(text, len(self.numbers))

    def of(self, column: pa.Array | pa.ChunkedArray, *, grows: bool = True) -> np.ndarray:
        """Return the number of each text, -1 for null and for unknown texts: [R] int64.

        Args:
            column: [R] strings.
            grows: Whether unknown texts get a number instead.
        """
        if isinstance(column, pa.ChunkedArray):
            column = column.combine_chunks()
        coded = column.cast(pa.string()).dictionary_encode()
        own = [
            self.number(text) if grows else self.numbers.get(text, -1)
            for text in coded.dictionary.to_pylist()
        ]
        found = np.array([*own, -1], dtype=np.int64)
        indices = coded.indices.fill_null(len(own)).to_numpy(zero_copy_only=False)
        numbers: np.ndarray = found[indices]
        return numbers


class Found(NamedTuple):
    """The rows of a table that fit each query."""

    num: np.ndarray
    """[Q] int64, rows that fit."""
    row: np.ndarray
    """[Q] int64, the first of them, -1 if there is none."""


def find(table: Sequence[np.ndarray], queries: Sequence[np.ndarray]) -> Found:
    """Return the rows whose numbers are those of each query.

    Args:
        table: [R] int64 each.
        queries: [Q] int64 each, as many columns.
    """
    rows, wanted = _ranks(table, queries)
    order = np.argsort(rows, kind="stable")
    first = np.searchsorted(rows[order], wanted, side="left")
    count = np.searchsorted(rows[order], wanted, side="right") - first
    row = np.full(len(wanted), -1, dtype=np.int64)
    has = count > 0
    row[has] = order[first[has]]
    return Found(count, row)


def _ranks(
    table: Sequence[np.ndarray], queries: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return one number for each row and each query, equal where all columns are."""
    split = len(table[0])
    found = np.zeros(split + len(queries[0]), dtype=np.int64)
    for ours, theirs in zip(table, queries, strict=True):
        _, numbers = np.unique(np.concatenate([ours, theirs]), return_inverse=True)
        joined = found * (int(numbers.max(initial=0)) + 1) + numbers
        _, found = np.unique(joined, return_inverse=True)
    return found[:split], found[split:]


def last_before(
    table: Sequence[np.ndarray],
    times: np.ndarray,
    queries: Sequence[np.ndarray],
    moments: np.ndarray,
) -> np.ndarray:
    """Return, of the rows that fit each query, the last one at or before its moment.

    Args:
        table: [R] int64 each.
        times: [R] int64
        queries: [Q] int64 each.
        moments: [Q] int64

    Returns:
        [Q] int64, the row, -1 if there is none.
    """
    rows, wanted = _ranks(table, queries)
    keys, instants = np.concatenate([rows, wanted]), np.concatenate([times, moments])
    is_query = np.arange(len(keys)) >= len(rows)
    order = np.lexsort((is_query, instants, keys))
    place = np.where(is_query[order], -1, np.arange(len(order)))
    before = np.maximum.accumulate(place) if len(place) else place
    row = np.full(len(order), -1, dtype=np.int64)
    has = before >= 0
    row[has] = order[before[has]]
    fits = has & (keys[np.where(has, row, 0)] == keys[order])
    found = np.full(len(wanted), -1, dtype=np.int64)
    chosen = is_query[order]
    found[order[chosen] - len(rows)] = np.where(fits, row, -1)[chosen]
    return found
