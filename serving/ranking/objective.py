"""The value of a pair: predicted labels, weighed and summed up, times what the item is worth.

Legend of shapes: M pairs, T labels, V catalogue.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from conf.contract import ITEM_IDX, Manifest, catalogue_size
from conf.errors import ConfigError, InputError, VersionError
from conf.workspace.parquet import read_columns
from trainer.data.columns import Ragged
from trainer.prediction.pairs import PairModel, PartPairs

log = logging.getLogger(__name__)


class Objective(NamedTuple):
    """What a ranker maximises."""

    pairs: PairModel
    weights: np.ndarray
    """[T]"""
    worth: np.ndarray | None
    """[V] float64; None: all items are worth the same."""

    def for_part(self, histories: Ragged, users: np.ndarray) -> "PartObjective":
        """See `serving.ranking.two_stage.Values`."""
        return PartObjective(self, self.pairs.for_part(histories, users))


class PartObjective(NamedTuple):
    """See `serving.ranking.two_stage.PartValues`."""

    objective: Objective
    pairs: PartPairs

    def values(self, rows: np.ndarray, item_idx: np.ndarray) -> np.ndarray:
        """Return the value of each pair: [M], [M] -> [M] float64."""
        values: np.ndarray = self.pairs.predictions(rows, item_idx) @ self.objective.weights
        return values if self.objective.worth is None else values * self.objective.worth[item_idx]

    def knows(self, item_idx: np.ndarray) -> np.ndarray:
        """Return which items the model was trained with: [M] -> [M] bool."""
        known: np.ndarray = item_idx < self.objective.pairs.bundle.vocabularies["item"].size
        return known


def objective_of(
    pairs: PairModel, wanted: Mapping[str, float], worth: np.ndarray | None
) -> Objective:
    """Return the objective of `score.objective`; without one, the model's first label.

    Raises:
        ConfigError: When the model does not predict a label.
    """
    labels = pairs.layout.labels
    wanted = wanted or {labels[0]: 1.0}
    odd = [label for label in wanted if label not in labels]
    if odd:
        raise ConfigError(
            f"score.objective.{odd[0]}: model {pairs.bundle.id} predicts {', '.join(labels)}; name "
            "one of these, or train the ranker with that label"
        )
    return Objective(pairs, np.array([wanted.get(label, 0.0) for label in labels]), worth)


def item_worth(folder: Path, manifest: Manifest, field: str) -> np.ndarray:
    """Return a field of the items as numbers; items without one get the mean of the others: [V].

    Raises:
        VersionError: When the dataset has no such field.
        InputError: When no item has a number in it.
    """
    worth = np.full(catalogue_size(manifest), np.nan)
    for file in manifest.files["items"]:
        table = read_columns(folder / file.path, (ITEM_IDX, field))
        if field not in table.schema.names:
            raise VersionError(
                f"dataset {manifest.id} has no field {field!r} of items; run headrace etl with "
                "this configuration first"
            )
        texts = table[field].cast(pa.string()).to_pylist()
        worth[table[ITEM_IDX].to_numpy()] = [_number(text) for text in texts]
    known = np.isfinite(worth)
    if not known.any():
        raise InputError(f"score.value={field!r}: no item of dataset {manifest.id} has a number")
    lacking = int((~known[2:]).sum())
    if lacking:
        log.warning(
            "score: score.value=%s: %d items have no number and count as the mean, %.4g",
            field,
            lacking,
            worth[known].mean(),
        )
    return np.where(known, worth, worth[known].mean())


def _number(text: str | None) -> float:
    try:
        number = float(text or "nan")
    except ValueError:
        return float("nan")
    return number if np.isfinite(number) else float("nan")
