"""The fields of an impression that has not happened yet: what each is when lists are made.

A field is taken from the counts at the end of the dataset, from the user's history, or from
`score.context`. If it is in none of these it has no sound value: the model is given a missing one,
and the field is named.

Legend of shapes: M pairs, N users of a part, V items or users of a table, L numbers of a field.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

from conf.contract import (
    CLOCK,
    GAP,
    HISTORY_TIMES,
    ITEM_COUNTS,
    ITEM_IDX,
    NUM_BEFORE,
    PADDING_IDX,
    SESSION_PLACE,
    UNKNOWN_IDX,
    USER_COUNTS,
    USER_IDX,
    Feature,
    Manifest,
)
from conf.workspace.instants import newest_instant
from trainer.data.columns import Ragged
from trainer.data.feature_tables import IMPRESSIONS, read_table
from trainer.networks.fields import FieldSpec, Values, of_kind
from trainer.prediction.encoded import code_of, number_of

CONTEXT = "context_"  # prefix of the encoded fields of events
_MICROSECONDS = 1e6


class Known(NamedTuple):
    """The value of one field, by user, by item, by row of a part, or the same for all."""

    of: Literal["user", "item", "row", "all"]
    values: np.ndarray
    """Codes of a categorical field, [V]; or numbers and their mask, [V, L + 1]."""


@dataclass(frozen=True)
class Context:
    """The context of pairs when lists are made."""

    fields: tuple[FieldSpec, ...]
    known: Mapping[str, Known]
    """By field; those of the history are missing."""
    as_of: int | None
    """Time of the newest event in microseconds; None: the log has no times."""
    without_value: tuple[str, ...]
    """Fields that have no sound value."""

    def for_part(self, histories: Ragged) -> "PartContext":
        """Return the context with the fields that depend on the users' histories."""
        rows = {
            field.name: Known("row", _present(_of_history(field.name, histories, self.as_of)))
            for field in self.fields
            if field.name not in self.known
        }
        return PartContext(self.fields, {**self.known, **rows})


class PartContext(NamedTuple):
    """The context of pairs of a part's users and items."""

    fields: Sequence[FieldSpec]
    known: Mapping[str, Known]

    def values(self, rows: np.ndarray, users: np.ndarray, items: np.ndarray) -> Values:
        """Return the fields of pairs, from rows of the part, users and items: [M] each."""
        places = {"row": rows, "user": users, "item": items, "all": np.zeros(len(rows), np.int64)}

        def taken(kind: str) -> list[np.ndarray]:
            found = [self.known[field.name] for field in of_kind(self.fields, kind)]
            return [one.values[places[one.of]] for one in found]

        codes, numbers = taken("categorical"), taken("numbers")
        none = np.zeros((len(rows), 0))
        return Values(
            torch.from_numpy(np.stack(codes, 1) if codes else none).int(),
            torch.zeros((len(rows), len(of_kind(self.fields, "tags")), 1), dtype=torch.int32),
            torch.from_numpy(np.concatenate(numbers or [none], 1)).float(),
        )


def context_at_end(
    folder: Path, manifest: Manifest, fields: Sequence[FieldSpec], given: Mapping[str, Any]
) -> Context:
    """Return the context of lists that are made at the end of a dataset.

    Args:
        folder: Folder of the dataset.
        manifest: Its manifest.
        fields: Fields of the impressions that the model takes.
        given: `score.context`.

    Raises:
        ConfigError: When a given value cannot be encoded as the dataset encoded the field.
    """
    features = {feature.name: feature for feature in manifest.features.get(IMPRESSIONS, ())}
    known, without = {}, []
    for field in fields:
        if field.name in (NUM_BEFORE, GAP):
            continue
        found = _known(folder, manifest, field, features[field.name], given)
        if found is None:
            without.append(field.name)
            found = _missing(field)
        known[field.name] = found
    return Context(tuple(fields), known, newest_instant(manifest), tuple(without))


def _known(
    folder: Path, manifest: Manifest, field: FieldSpec, feature: Feature, given: Mapping[str, Any]
) -> Known | None:
    """Return the value of a field; None if it has no sound one."""
    if feature.encoding == "as_of":
        return _count(folder, manifest, field)
    if field.name == SESSION_PLACE:
        return Known("all", _present(np.zeros(1)))  # a new session
    raw = field.name.removeprefix(CONTEXT)
    if raw not in given:
        return None
    if field.name in CLOCK:
        return Known("all", np.array([int(given[raw]) + UNKNOWN_IDX + 1]))
    if field.kind == "categorical":
        return Known("all", np.array([code_of(folder, manifest, raw, given[raw])]))
    return Known("all", _present(np.array([number_of(folder, manifest, raw, given[raw])])))


def _count(folder: Path, manifest: Manifest, field: FieldSpec) -> Known | None:
    """Return a count at the end of the dataset; None if the dataset does not have it."""
    for part, key, vocabulary in ((ITEM_COUNTS, ITEM_IDX, "item"), (USER_COUNTS, USER_IDX, "user")):
        there = {column.name for column in manifest.columns.get(part, ())}
        if manifest.files.get(part) and field.name in there:
            table = read_table(folder, manifest, part, [field], key, vocabulary)
            of: Literal["item", "user"] = "item" if vocabulary == "item" else "user"
            return Known(of, table.numbers.numpy())
    return None


def _missing(field: FieldSpec) -> Known:
    if field.name in CLOCK:
        return Known("all", np.array([UNKNOWN_IDX]))
    if field.kind == "numbers":
        return Known("all", np.zeros((1, field.size + 1), dtype=np.float32))
    return Known("all", np.array([PADDING_IDX]))


def _of_history(name: str, histories: Ragged, as_of: int | None) -> np.ndarray:
    """Return `NUM_BEFORE` or `GAP` of each user at the end of the history: [N]."""
    lengths = histories.lengths
    if name == NUM_BEFORE:
        before: np.ndarray = np.log1p(lengths.astype(np.float64))
        return before
    times = (histories.beside or {})[HISTORY_TIMES]
    last = times[np.maximum(histories.offsets[1:] - 1, 0)] if len(times) else np.zeros(len(lengths))
    seconds = np.maximum((as_of or 0) - last, 0) / _MICROSECONDS
    gap: np.ndarray = np.where(lengths > 0, np.log1p(seconds), -1.0)
    return gap


def _present(values: np.ndarray) -> np.ndarray:
    """Return numbers with their mask: [V] -> [V, 2] float32."""
    return np.stack([values, np.ones(len(values))], axis=1).astype(np.float32)
