"""Choose features by figures over the training part; every figure goes into the report.

Correlations and mutual information are measured on a sample of large tables.
A feature is left out for the first rule that it breaks: too sparse, constant, duplicate of one
before it, correlated with one before it, too little mutual information with the label.
"""

import math
from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from conf.contract import PADDING_IDX, Feature
from conf.feature_schema import Selection
from etl.field_encodings import PRESENT

SAMPLE_ROWS = 200_000
"""Rows that correlations and mutual information are measured on, where there are more."""

_BINS = 10  # of a number, for its mutual information
_DIGITS = 6

Figures = dict[str, dict[str, float]]


def measure(rows: DataFrame, features: Sequence[Feature], key: str) -> Figures:
    """Return for each feature its `present_share`, `distinct` and `fingerprint`, by one pass.

    Args:
        rows: Encoded rows of the training part.
        features: Features to measure; the columns have their names.
        key: Column that tells the rows apart.

    Features with equal fingerprints have the same number in every row.
    """
    if not features:
        return {}
    columns = [
        column
        for feature in features
        for column in (
            F.avg(_is_present(feature, rows).cast("double")).alias(f"{feature.name}|present_share"),
            F.approx_count_distinct(F.xxhash64(feature.name), 0.02).alias(
                f"{feature.name}|distinct"
            ),
            F.sum(F.xxhash64(key, feature.name) % (1 << 31)).alias(f"{feature.name}|fingerprint"),
        )
    ]
    row = rows.agg(*columns).head()
    assert row is not None  # an aggregate without groups has one row
    figures: Figures = {feature.name: {} for feature in features}
    for label, number in row.asDict().items():
        name, figure = label.rsplit("|", 1)
        figures[name][figure] = round(float(number or 0), _DIGITS)
    return figures


def sampled(rows: DataFrame, keys: Sequence[str]) -> DataFrame:
    """Return a part of the rows, drawn by a hash of their keys: about `SAMPLE_ROWS`, or all."""
    one_in = max(round(rows.count() / SAMPLE_ROWS), 1)
    return rows if one_in == 1 else rows.where(F.pmod(F.xxhash64(*keys), F.lit(one_in)) == 0)


def correlations(rows: DataFrame, features: Sequence[Feature]) -> dict[tuple[str, str], float]:
    """Return the Pearson correlation of every two numbers, the earlier feature first."""
    numbers = [feature.name for feature in features if feature.kind == "numeric"]
    pairs = [(a, b) for place, b in enumerate(numbers) for a in numbers[:place]]
    if not pairs:
        return {}
    row = rows.agg(*(_correlation(a, b) for a, b in pairs)).head()
    assert row is not None  # an aggregate without groups has one row
    return {pair: round(value or 0.0, _DIGITS) for pair, value in zip(pairs, row, strict=True)}


def mutual_information(
    rows: DataFrame, features: Sequence[Feature], label: str
) -> dict[str, float]:
    """Return for each feature its mutual information with a 0/1 label, in nats.

    Numbers are cut into bins of equal shares; lists are left out. Source: Cover & Thomas,
    Elements of Information Theory, eq. 2.28. Not corrected for the number of rows: a feature
    of many values gets a positive figure by chance alone.
    """
    singles = [feature for feature in features if feature.kind in ("categorical", "numeric")]
    if not singles:
        return {}
    bounds = _bin_bounds(rows, [f.name for f in singles if f.kind == "numeric"])
    values = [
        F.struct(F.lit(f.name).alias("name"), _binned(f, bounds).alias("bin")) for f in singles
    ]
    cells = (
        rows.select(F.explode(F.array(*values)).alias("cell"), (F.col(label) > 0).alias("label"))
        .groupBy("cell.name", "cell.bin", "label")
        .count()
    )
    counts: dict[str, dict[tuple[int, bool], int]] = {feature.name: {} for feature in singles}
    for name, number, is_positive, count in cells.collect():
        counts[name][number, is_positive] = count
    return {name: round(_information(table), _DIGITS) for name, table in counts.items()}


def choose(
    features: Sequence[Feature],
    figures: Mapping[str, Mapping[str, float]],
    correlated: Mapping[tuple[str, str], float],
    rules: Selection,
) -> tuple[Feature, ...]:
    """Return the features with their figures, and why where one is left out."""
    chosen: list[Feature] = []
    for feature in features:
        kept = [other.name for other in chosen if other.left_out is None]
        own = dict(figures.get(feature.name, {}))
        strongest = max((abs(correlated.get((a, feature.name), 0.0)) for a in kept), default=0.0)
        if feature.kind == "numeric":
            own["max_correlation"] = strongest
        reason = _why_left_out(feature.name, own, figures, kept, rules)
        own.pop("fingerprint", None)
        chosen.append(feature.model_copy(update={"figures": own, "left_out": reason}))
    return tuple(chosen)


def _why_left_out(
    name: str,
    own: Mapping[str, float],
    figures: Mapping[str, Mapping[str, float]],
    kept: Sequence[str],
    rules: Selection,
) -> str | None:
    if own.get("present_share", 1.0) < rules.min_present_share:
        return "too_sparse"
    if rules.drop_constant and own.get("distinct", 2) <= 1:
        return "constant"
    twins = [a for a in kept if figures.get(a, {}).get("fingerprint") == own.get("fingerprint")]
    if rules.drop_duplicates and "fingerprint" in own and twins:
        return f"duplicate of {twins[0]}"
    if own.get("max_correlation", 0.0) > rules.max_correlation:
        return "correlated"
    if own.get("mutual_information", math.inf) < rules.min_mutual_information:
        return "uninformative"
    return None


def _is_present(feature: Feature, rows: DataFrame) -> Column:
    if feature.name + PRESENT in rows.columns:
        return F.col(feature.name + PRESENT) == 1
    if feature.kind == "tags":
        return F.size(feature.name) > 0
    if feature.kind == "categorical":
        return F.col(feature.name) != PADDING_IDX
    return F.lit(True)


def _correlation(a: str, b: str) -> Column:
    """Return the correlation, null where one of the two is constant (corr fails there)."""
    x, y = F.col(a).cast("double"), F.col(b).cast("double")
    return F.try_divide(F.covar_pop(x, y), F.stddev_pop(x) * F.stddev_pop(y))


def _bin_bounds(rows: DataFrame, numbers: Sequence[str]) -> dict[str, list[float]]:
    if not numbers:
        return {}
    shares = F.array(*(F.lit(place / _BINS) for place in range(1, _BINS)))
    row = rows.agg(*(F.percentile(F.col(name).cast("double"), shares) for name in numbers)).head()
    assert row is not None  # an aggregate without groups has one row
    return {name: sorted(set(bounds or [])) for name, bounds in zip(numbers, row, strict=True)}


def _binned(feature: Feature, bounds: Mapping[str, Sequence[float]]) -> Column:
    if feature.kind == "categorical":
        return F.col(feature.name).cast("int")
    limits = bounds[feature.name]
    above = F.array(*map(F.lit, limits)) if limits else F.array().cast("array<double>")
    return F.size(F.filter(above, lambda bound: F.col(feature.name) >= bound))


def _information(table: Mapping[tuple[int, bool], int]) -> float:
    total = sum(table.values())
    by_bin: dict[int, int] = {}
    by_label: dict[bool, int] = {}
    for (number, label), count in table.items():
        by_bin[number] = by_bin.get(number, 0) + count
        by_label[label] = by_label.get(label, 0) + count
    return sum(
        count / total * math.log(count * total / (by_bin[number] * by_label[label]))
        for (number, label), count in table.items()
    )
