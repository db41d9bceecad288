"""Read impressions and features as tensors.

Legend of shapes: N rows, V numbers of a table, T labels; others as in `ranking_inputs`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from conf.contract import (
    HISTORY_ITEMS,
    ITEM_IDX,
    LABEL_PREFIX,
    NUM_RESERVED,
    PRESENT_SUFFIX,
    SAMPLING_PROBABILITY,
    USER_IDX,
    Manifest,
    RowGroup,
    catalogue_size,
)
from trainer.catalogue import read_train_events
from trainer.columns import Columns, Ragged, lists_of, numbers_of, padded
from trainer.ranking_inputs import FieldSpec, RankingBatch, Values, of_kind
from trainer.ranking_layout import ITEM_FEATURES, USER_FEATURES, Layout, field_columns
from trainer.stream import read_row_groups


@dataclass(frozen=True)
class Sampling:
    """How a dataset's negatives were drawn, and what is done about it."""

    log_rate: np.ndarray
    """[V] float32: logarithm of how often each item is drawn for one positive; else 0."""
    draws: float
    """Draws for each positive that a row's probability is of; 0: rows are not weighted."""

    def row_weights(self, probability: np.ndarray) -> np.ndarray:
        """Return the weights of rows by their probability of being drawn: [N] float32.

        A drawn negative stands for as many as it takes to be drawn once, which makes sums over
        rows estimates of sums over all items. Source: Horvitz & Thompson 1952.
        """
        if not self.draws:
            return np.ones(len(probability), dtype=np.float32)
        drawn = probability < 1
        rate = np.where(drawn, probability * self.draws, 1.0)
        return (1 / np.maximum(rate, np.finfo(np.float32).tiny)).astype(np.float32)


def sampling_of(folder: Path, manifest: Manifest, how: str) -> Sampling:
    """Return what `train.ranking.sampling` makes of a dataset's negatives.

    Args:
        folder: Folder of the dataset.
        manifest: Its manifest, whose configuration says how negatives were drawn.
        how: `none`, `logit` or `weight`.
    """
    spec = manifest.config["etl"]["impressions"]
    size = catalogue_size(manifest)
    nothing = np.zeros(size, dtype=np.float32)
    if how == "none" or spec["negatives"] == "logged":
        return Sampling(nothing, 0)
    # Of a session each other item is drawn at most once, and its probability is of that.
    draws = 1 if spec["negatives"] == "session" else spec["negatives_per_positive"]
    if how == "weight":
        return Sampling(nothing, draws)
    if spec["negatives"] == "uniform":
        share = np.full(size, 1 / max(size - NUM_RESERVED, 1))
    else:
        events = np.maximum(read_train_events(folder, manifest), 1)
        share = events / events[NUM_RESERVED:].sum()
    return Sampling(np.log(draws * share).astype(np.float32), 0)


def impressions_of(columns: Columns, layout: Layout, sampling: Sampling) -> RankingBatch:
    """Return the rows of row groups as one batch."""
    items, probability = numbers_of(columns, ITEM_IDX), numbers_of(columns, SAMPLING_PROBABILITY)
    labels = np.stack([numbers_of(columns, LABEL_PREFIX + name) for name in layout.labels], axis=1)
    return RankingBatch(
        torch.from_numpy(numbers_of(columns, USER_IDX).astype(np.int64)),
        torch.from_numpy(items.astype(np.int64)),
        _histories(columns, layout.history_length, len(items)),
        *values_of(columns, layout.context_fields, len(items)),
        torch.from_numpy(labels.astype(np.float32)),  # [N, T]
        torch.from_numpy(sampling.log_rate[np.minimum(items, len(sampling.log_rate) - 1)]),
        torch.from_numpy(sampling.row_weights(probability)),
    )


def read_impressions(
    folder: Path,
    groups: Sequence[RowGroup],
    manifest: Manifest,
    layout: Layout,
    sampling: Sampling,
) -> Iterator[RankingBatch]:
    """Yield each row group as one batch, in the order given."""
    for _, columns in read_row_groups(folder, groups, layout.impression_columns(manifest)):
        yield impressions_of(columns, layout, sampling)


def read_tables(folder: Path, manifest: Manifest, layout: Layout) -> tuple[Values, Values]:
    """Return what is known of users and of items, a row for each number in use: [V, ...]."""
    users = read_table(folder, manifest, USER_FEATURES, layout.user_fields, USER_IDX, "user")
    items = read_table(folder, manifest, ITEM_FEATURES, layout.item_fields, ITEM_IDX, "item")
    return users, items


def read_table(
    folder: Path,
    manifest: Manifest,
    part: str,
    fields: Sequence[FieldSpec],
    key: str,
    vocabulary: str,
) -> Values:
    """Return some features of all users or items, a row for each number in use: [V, ...].

    Args:
        folder: The dataset's.
        manifest: The dataset's.
        part: Part of the dataset that they stand in.
        fields: The features.
        key: Column of the numbers.
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
    """Return the fields of some rows: [N, ...]."""
    categorical = [numbers_of(columns, field.name) for field in of_kind(fields, "categorical")]
    lists = [lists_of(columns, field.name) for field in of_kind(fields, "tags")]
    longest = [int(one.lengths.max(initial=1)) for one in lists]
    tags = [padded(one, np.arange(num_rows), most)[0]
            for one, most in zip(lists, longest, strict=True)]  # fmt: skip
    most = max((one.shape[1] for one in tags), default=0)
    wide = [np.pad(one, ((0, 0), (0, most - one.shape[1]))) for one in tags]
    numbers = [part for f in of_kind(fields, "numbers") for part in _numbers(columns, f, num_rows)]
    none = np.zeros((num_rows, 0))
    return Values(
        torch.from_numpy(np.stack(categorical, axis=1).astype(np.int32) if categorical
                         else none.astype(np.int32)),
        torch.from_numpy(np.stack(wide, axis=1).astype(np.int32) if wide
                         else np.zeros((num_rows, 0, 1), dtype=np.int32)),
        torch.from_numpy(np.concatenate(numbers or [none], axis=1).astype(np.float32)),
    )  # fmt: skip


def _numbers(columns: Columns, field: FieldSpec, num_rows: int) -> list[np.ndarray]:
    """Return a field's numbers and its mask: [N, size] and [N, 1]."""
    column = columns[field.name]
    values = column.values if isinstance(column, Ragged) else column
    numbers = values.reshape(num_rows, field.size).astype(np.float32)
    if field.is_count:
        numbers = np.sign(numbers) * np.log1p(np.abs(numbers))
    present = field.name + PRESENT_SUFFIX
    mask = numbers_of(columns, present) if present in columns else np.ones(num_rows)
    return [numbers, mask.reshape(num_rows, 1)]


def _histories(columns: Columns, length: int, num_rows: int) -> torch.Tensor:
    """Return the newest items before each row: [N, L] int32."""
    if not length:
        return torch.zeros((num_rows, 0), dtype=torch.int32)
    items, _ = padded(lists_of(columns, HISTORY_ITEMS), np.arange(num_rows), length)
    return torch.from_numpy(items.astype(np.int32))
