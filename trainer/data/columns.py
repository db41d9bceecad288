"""Columns of row groups as numpy arrays, including lists of variable length.

Legend of shapes: B chosen rows, S events of these rows, L longest list.
"""

from typing import NamedTuple

import numpy as np


class Ragged(NamedTuple):
    """A column of lists: row `i` is `values[offsets[i] : offsets[i + 1]]`."""

    values: np.ndarray
    """[sum of lengths]"""
    offsets: np.ndarray
    """[rows + 1] int64, from 0."""
    beside: dict[str, np.ndarray] | None = None
    """Values of other columns whose lists have the same lengths, by name."""

    @property
    def lengths(self) -> np.ndarray:
        """Length of each list: [rows] int64."""
        return np.diff(self.offsets)


Columns = dict[str, np.ndarray | Ragged]
"""Scalars are [rows], fixed-size lists are [rows, width]. Arrays may be read-only."""


def lists_of(columns: Columns, name: str) -> Ragged:
    """Return a column of lists.

    Raises:
        TypeError: When the column holds no lists.
    """
    column = columns[name]
    if not isinstance(column, Ragged):
        raise TypeError(f"column {name} holds no lists")
    return column


def numbers_of(columns: Columns, name: str) -> np.ndarray:
    """Return a column of numbers.

    Raises:
        TypeError: When the column holds lists.
    """
    column = columns[name]
    if isinstance(column, Ragged):
        raise TypeError(f"column {name} holds lists")
    return column


class Events(NamedTuple):
    """The events of some histories, concatenated."""

    row: np.ndarray
    """[S] int64, index of the history among the chosen rows, ascending."""
    place: np.ndarray
    """[S] int64, position in the history, from 0."""
    item: np.ndarray
    """[S] int64"""


def events_of(histories: Ragged, rows: np.ndarray) -> Events:
    """Return every event of the chosen rows: [B] -> three [S]."""
    starts = histories.offsets[rows]  # [B]
    lengths = histories.offsets[rows + 1] - starts  # [B]
    row = np.repeat(np.arange(len(rows)), lengths)  # [S]
    place = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)  # [S]
    item = histories.values[np.repeat(starts, lengths) + place].astype(np.int64)  # [S]
    return Events(row, place, item)


def without_items(histories: Ragged, rows: np.ndarray, items: np.ndarray) -> Ragged:
    """Return the chosen histories, each without the events of one item.

    Args:
        histories: Item numbers, with other columns of the events in `beside`.
        rows: [B]
        items: [B], the item to remove from each history.
    """
    row, _, item = found = events_of(histories, rows)
    return _taken(histories, rows, found, item != items[row])


def newest_events(histories: Ragged, rows: np.ndarray, most: int) -> Ragged:
    """Return the last `most` events of the chosen histories, with the columns in `beside`."""
    row, place, _ = found = events_of(histories, rows)
    return _taken(histories, rows, found, place >= histories.lengths[rows][row] - most)


def _taken(histories: Ragged, rows: np.ndarray, events: Events, stays: np.ndarray) -> Ragged:
    """Return the chosen histories with only the events that stay: [B], [S] bool."""
    taken = (histories.offsets[rows][events.row] + events.place)[stays]
    lengths = np.bincount(events.row[stays], minlength=len(rows))
    beside = {name: values[taken] for name, values in (histories.beside or {}).items()}
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Ragged(histories.values[taken], offsets, beside)


def padded(ragged: Ragged, rows: np.ndarray, max_length: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the last `max_length` values of the chosen lists and how many they are.

    Returns:
        [B, L] values, padded at the end with 0, where L is at least 1; and [B] int64 lengths.
    """
    ends = ragged.offsets[rows + 1]  # [B]
    lengths = np.minimum(ends - ragged.offsets[rows], max_length)  # [B]
    longest = int(lengths.max(initial=1))
    steps = np.arange(max(longest, 1))  # [L]
    present = steps < lengths[:, None]  # [B, L]
    places = np.where(present, (ends - lengths)[:, None] + steps, 0)  # [B, L]
    values = ragged.values if len(ragged.values) else np.zeros(1, ragged.values.dtype)
    return np.where(present, values[places], 0), lengths


def concatenate(blocks: list[Columns]) -> Columns:
    """Return the rows of several row groups as one block."""
    if len(blocks) == 1:
        return blocks[0]
    return {name: _joined([block[name] for block in blocks]) for name in blocks[0]}


def _joined(parts: list[np.ndarray | Ragged]) -> np.ndarray | Ragged:
    ragged = [part for part in parts if isinstance(part, Ragged)]
    if not ragged:
        return np.concatenate([part for part in parts if not isinstance(part, Ragged)])
    ends = np.cumsum([0] + [part.offsets[-1] for part in ragged])
    offsets = [part.offsets[1:] + end for part, end in zip(ragged, ends[:-1], strict=True)]
    first = np.zeros(1, dtype=np.int64)
    return Ragged(np.concatenate([p.values for p in ragged]), np.concatenate([first, *offsets]))
