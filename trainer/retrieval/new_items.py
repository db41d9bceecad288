"""Initial vectors of new items, computed from the vectors of similar old items.

Legend of shapes: V catalogue, O old items, which have the lowest numbers, N new items, D width,
C values of all features together.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from scipy import sparse

from conf.contract import HISTORY_ITEMS, ITEM_IDX, NUM_RESERVED, Manifest, catalogue_size
from trainer.data.columns import Columns, lists_of
from trainer.data.feature_tables import ITEM_FEATURES, fields_of, read_table


def new_vectors(
    old: np.ndarray, near: sparse.csr_array, values: sparse.csr_array, *, std: float, seed: int
) -> np.ndarray:
    """Return the initial vectors of new items.

    An item that occurs near old items gets their mean, weighted by how often it does. Otherwise,
    an item that shares feature values with old items gets the mean, over its values, of the mean
    vector of the old items with that value. Otherwise it gets the mean of all old items plus noise.

    Args:
        old: [O, D] vectors, reserved numbers included.
        near: [N, O] how often each new item occurs near each old one.
        values: [V, C] 1 if an item has a value of a feature, else 0.
        std: Standard deviation of the noise.
        seed: Seed of the noise.

    Returns:
        [N, D] float32
    """
    count, width = near.shape[0], old.shape[1]
    noise = np.random.default_rng(seed).normal(0.0, std, (count, width))
    found = old[NUM_RESERVED:].mean(0) + noise  # [N, D]
    of_old, of_new = values[: len(old)], values[len(old) :]  # [O, C], [N, C]
    holders = np.asarray(of_old.sum(0)).ravel()  # [C]
    means = (of_old.T @ old) / np.maximum(holders, 1)[:, None]  # [C, D]
    for weights, vectors in ((of_new * (holders > 0), means), (near, old)):
        total = np.asarray(weights.sum(1)).ravel()  # [N]
        has = total > 0
        found[has] = (weights @ vectors)[has] / total[has, None]
    return np.asarray(found, dtype=np.float32)


def near_counts(
    blocks: Iterable[Columns], *, old: int, catalogue: int, distance: int
) -> sparse.csr_array:
    """Count how often each new item occurs near each old one in histories: [N, O].

    Args:
        blocks: Row groups with `HISTORY_ITEMS`.
        old: O
        catalogue: V
        distance: Largest number of steps between two events that count as near.
    """
    shape = (catalogue - old, old)
    counts = sparse.csr_array(shape, dtype=np.float64)
    for columns in blocks:
        histories = lists_of(columns, HISTORY_ITEMS)
        rows = np.repeat(np.arange(len(histories.lengths)), histories.lengths)
        for step in range(1, distance + 1):
            same = rows[step:] == rows[:-step]
            first, second = histories.values[:-step][same], histories.values[step:][same]
            for mine, other in ((first, second), (second, first)):
                kept = (mine >= old) & (other >= NUM_RESERVED) & (other < old)
                ones = np.ones(int(kept.sum()))
                counts += sparse.csr_array((ones, (mine[kept] - old, other[kept])), shape=shape)
    return counts


def item_values(folder: Path, manifest: Manifest) -> sparse.csr_array:
    """Return a 0/1 matrix of the categories and tags of each item that training knows: [V, C]."""
    there = fields_of(manifest.features.get(ITEM_FEATURES, ()), ())
    fields = [field for field in there if field.kind != "numbers"]
    table = read_table(folder, manifest, ITEM_FEATURES, fields, ITEM_IDX, "item")
    codes = [one[:, None] for one in table.categorical.unbind(1)] + list(table.tags.unbind(1))
    parts = [sparse.csr_array((catalogue_size(manifest), 0))]
    for values in (one.numpy() for one in codes):  # [V, values of an item]
        items, place = np.nonzero(values >= NUM_RESERVED)
        found = values[items, place] - NUM_RESERVED
        shape = (len(values), int(values.max(initial=0)) + 1)
        parts.append(sparse.csr_array((np.ones(len(found)), (items, found)), shape=shape))
    return sparse.hstack(parts, format="csr")
