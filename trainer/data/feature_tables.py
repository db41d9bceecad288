"""Encoded features of users, items, events and impressions as the input of networks."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from conf.contract import (
    PRESENT_SUFFIX,
    SESSION_PLACE,
    Feature,
    Manifest,
)
from trainer.data.columns import Columns, Ragged, lists_of, numbers_of, padded
from trainer.data.stream import read_row_groups
from trainer.networks.fields import FieldSpec, Values, of_kind


def field_columns(fields: Sequence[FieldSpec], manifest: Manifest, part: str) -> list[str]:
    """Return the columns of fields: their values and, if the part has them, presence masks."""
    present = {column.name for column in manifest.columns.get(part, ())}
    names = [name for field in fields for name in (field.name, field.name + PRESENT_SUFFIX)]
    return [name for name in names if name in present]


def fields_of(features: Sequence[Feature], left_out: Sequence[str]) -> tuple[FieldSpec, ...]:
    """Return a part's features as models see them, except for those that are left out."""
    return tuple(
        _field(feature)
        for feature in features
        if feature.left_out is None and feature.name not in left_out
    )


def _field(feature: Feature) -> FieldSpec:
    if feature.kind in ("categorical", "tags"):
        assert feature.cardinality is not None
        is_cross = bool(feature.made_of)
        return FieldSpec(feature.name, feature.kind, feature.cardinality, is_cross=is_cross)
    is_place = feature.encoding == "context" and feature.name == SESSION_PLACE
    is_count = feature.encoding == "as_of" or is_place
    return FieldSpec(feature.name, "numbers", feature.dimension or 1, is_count=is_count)


ITEM_FEATURES, USER_FEATURES, IMPRESSIONS = "item_features", "user_features", "impressions"


def read_table(
    folder: Path,
    manifest: Manifest,
    part: str,
    fields: Sequence[FieldSpec],
    key: str,
    vocabulary: str,
) -> Values:
    """Return features of all users or items, one row per number of the vocabulary: [V, ...].

    Args:
        folder: Folder of the dataset.
        manifest: The dataset.
        part: Part of the dataset that contains the features.
        fields: The features.
        key: Column with the numbers of the users or items.
        vocabulary: `user` or `item`.
    """
    size = manifest.vocabularies[vocabulary].size
    if not fields:
        return values_of({}, (), size)
    names = [key, *field_columns(fields, manifest, part)]
    numbers, parts = [], []
    for _, columns in read_row_groups(folder, manifest.row_groups(part), names):
        numbers.append(torch.from_numpy(numbers_of(columns, key).astype(np.int64)))
        parts.append(values_of(columns, fields, len(numbers[-1])))
    most = max(values.tags.shape[-1] for values in parts)
    table = Values(
        torch.zeros((size, *parts[0].categorical.shape[1:]), dtype=torch.int32),
        torch.zeros((size, parts[0].tags.shape[1], most), dtype=torch.int32),
        torch.zeros((size, *parts[0].numbers.shape[1:])),
    )
    for number, values in zip(numbers, parts, strict=True):
        table.categorical[number] = values.categorical
        table.tags[number, :, : values.tags.shape[-1]] = values.tags
        table.numbers[number] = values.numbers
    return table


def values_of(columns: Columns, fields: Sequence[FieldSpec], num_rows: int) -> Values:
    """Return the fields of N rows: [N, ...]."""
    categorical = [numbers_of(columns, field.name) for field in of_kind(fields, "categorical")]
    lists = [lists_of(columns, field.name) for field in of_kind(fields, "tags")]
    longest = [int(one.lengths.max(initial=1)) for one in lists]
    tags = [
        padded(one, np.arange(num_rows), most)[0] for one, most in zip(lists, longest, strict=True)
    ]
    most = max((one.shape[1] for one in tags), default=0)
    wide = [np.pad(one, ((0, 0), (0, most - one.shape[1]))) for one in tags]
    numbers = [part for f in of_kind(fields, "numbers") for part in _numbers(columns, f, num_rows)]
    none = np.zeros((num_rows, 0))
    return Values(
        torch.from_numpy(
            np.stack(categorical, axis=1).astype(np.int32) if categorical else none.astype(np.int32)
        ),
        torch.from_numpy(
            np.stack(wide, axis=1).astype(np.int32)
            if wide
            else np.zeros((num_rows, 0, 1), dtype=np.int32)
        ),
        torch.from_numpy(np.concatenate(numbers or [none], axis=1).astype(np.float32)),
    )


def _numbers(columns: Columns, field: FieldSpec, num_rows: int) -> list[np.ndarray]:
    """Return a field's numbers and its presence mask: [N, size] and [N, 1]."""
    column = columns[field.name]
    values = column.values if isinstance(column, Ragged) else column
    numbers = values.reshape(num_rows, field.size).astype(np.float32)
    if field.is_count:
        numbers = np.sign(numbers) * np.log1p(np.abs(numbers))
    present = field.name + PRESENT_SUFFIX
    mask = numbers_of(columns, present) if present in columns else np.ones(num_rows)
    return [numbers, mask.reshape(num_rows, 1)]
