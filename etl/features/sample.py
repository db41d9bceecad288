"""Statistics of features, computed in memory on a sample of the training part.

In Spark they would need plans with hundreds of aggregates, which take longer to compile than to
run.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.contract import Feature
from etl.spark.folders import store

SAMPLE_ROWS = 200_000
"""Approximate number of rows of the sample, if there are more."""

_BINS = 10  # bins of a numeric feature, for its mutual information
_DIGITS = 6
_LISTS = ("tags", "vector")


@dataclass(frozen=True)
class Sample:
    """Rows of the training part, as a frame and in memory; lists are replaced by hashes."""

    frame: DataFrame
    table: pa.Table


def draw_sample(
    rows: DataFrame,
    features: Sequence[Feature],
    keys: Sequence[str],
    folder: Path,
    also: Sequence[str] = (),
) -> Sample:
    """Draw about `SAMPLE_ROWS` of the rows, or take all, by a hash of their keys.

    Args:
        rows: Encoded rows of the training part.
        features: Features that the sample contains.
        keys: Columns that identify a row.
        folder: Where the sample is written.
        also: Other columns that the sample contains.
    """
    one_in = max(round(rows.count() / SAMPLE_ROWS), 1)
    drawn = rows if one_in == 1 else rows.where(F.pmod(F.xxhash64(*keys), F.lit(one_in)) == 0)
    values = (F.xxhash64(f.name).alias(f.name) if f.kind in _LISTS else f.name for f in features)
    return sample_of(drawn.select(*also, *values), folder)


def sample_of(rows: DataFrame, folder: Path) -> Sample:
    """Write rows and read them into memory."""
    frame = store(rows, folder)
    files = sorted(folder.glob("*.parquet"))
    return Sample(frame, pa.concat_tables([pq.read_table(file) for file in files]))


def count_distinct(sample: pa.Table, features: Sequence[Feature]) -> dict[str, int]:
    """Return the number of distinct values of each feature in the sample."""
    return {feature.name: len(np.unique(_column(sample, feature.name))) for feature in features}


def find_alike(sample: pa.Table, features: Sequence[Feature]) -> set[str]:
    """Return the names of the features that equal another feature in all rows of the sample."""
    groups: dict[str, list[str]] = {}
    for feature in features:
        values = _column(sample, feature.name).astype(float)
        groups.setdefault(sha256(values.tobytes()).hexdigest(), []).append(feature.name)
    return {name for names in groups.values() if len(names) > 1 for name in names}


def correlations(sample: pa.Table, features: Sequence[Feature]) -> dict[tuple[str, str], float]:
    """Return the Pearson correlation of each pair of numeric features, the earlier one first.

    The correlation with a constant is 0.
    """
    names = [feature.name for feature in features if feature.kind == "numeric"]
    if len(names) < 2 or sample.num_rows == 0:
        return {(a, b): 0.0 for place, b in enumerate(names) for a in names[:place]}
    values = np.stack([_column(sample, name).astype(float) for name in names])  # [F, N]
    values -= values[:, :1]  # makes a constant exactly 0
    values -= values.mean(axis=1, keepdims=True)
    deviation = np.sqrt((values**2).mean(axis=1))
    covariance = values @ values.T / values.shape[1]
    scale = np.outer(deviation, deviation)
    matrix = np.divide(covariance, scale, out=np.zeros_like(scale), where=scale > 0)
    return {
        (names[a], names[b]): round(float(matrix[a, b]), _DIGITS)
        for b in range(len(names))
        for a in range(b)
    }


def mutual_information(
    sample: pa.Table, features: Sequence[Feature], label: str
) -> dict[str, float]:
    """Return each feature's mutual information with the event "label is above 0", in nats.

    Rows in which the feature is null are ignored. Numbers are cut into bins with equal numbers of
    rows; lists are left out. Source: Cover & Thomas, Elements of Information Theory, eq. 2.28.
    Not corrected for the number of rows: a feature with many values gets a positive figure by
    chance alone.
    """
    singles = [feature for feature in features if feature.kind in ("categorical", "numeric")]
    found = {}
    for feature in singles:
        known = sample.filter(sample[feature.name].is_valid())
        bins = _binned(_column(known, feature.name), feature)
        found[feature.name] = round(_information(bins, _column(known, label) > 0), _DIGITS)
    return found


def _column(sample: pa.Table, name: str) -> np.ndarray:
    column: np.ndarray = sample[name].to_numpy()
    return column


def _binned(values: np.ndarray, feature: Feature) -> np.ndarray:
    """Return the number of each value's bin."""
    if feature.kind == "categorical":
        return values
    if not len(values):
        return values
    shares = np.arange(1, _BINS) / _BINS
    bounds = np.unique(np.quantile(values.astype(float), shares))
    places: np.ndarray = np.searchsorted(bounds, values.astype(float), side="right")
    return places


def _information(bins: np.ndarray, is_positive: np.ndarray) -> float:
    different, numbers = np.unique(bins, return_inverse=True)
    cells = np.bincount(is_positive * len(different) + numbers, minlength=2 * len(different))
    counts = cells.reshape(2, -1)
    total, chance = counts.sum(), np.outer(counts.sum(axis=1), counts.sum(axis=0))
    return math.fsum(
        count / total * math.log(count * total / expected)
        for count, expected in zip(counts.flat, chance.flat, strict=True)
        if count > 0
    )
