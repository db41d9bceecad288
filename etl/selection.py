"""Choose features by figures over the training part; every figure goes into the report.

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

_DIGITS = 6
_ROWS = "|rows"

Figures = dict[str, dict[str, float]]


def measure(rows: DataFrame, features: Sequence[Feature], key: str) -> tuple[Figures, int]:
    """Return what one pass tells of each feature, and how many rows there are.

    Args:
        rows: Encoded rows of the training part.
        features: Features to measure; the columns have their names.
        key: Column that tells the rows apart.

    Returns:
        For each feature its `present_share`, its `distinct` values (1, or 2 for any number of
        them) and its `fingerprint`: features with equal ones have the same number in every row.
    """
    figures: Figures = {feature.name: {} for feature in features}
    columns = [column for feature in features for column in _aggregates(feature, rows, key)]
    row = rows.agg(F.count(F.lit(1)).alias(_ROWS), *columns).head()
    assert row is not None  # an aggregate without groups has one row
    found = row.asDict()
    num_rows = int(found.pop(_ROWS))
    for label, number in found.items():
        name, figure = label.rsplit("|", 1)
        figures[name][figure] = round(float(number or 0), _DIGITS)
    for own in figures.values():
        own["distinct"] = min(num_rows, 1) + own.pop("varies")
    return figures, num_rows


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


def _aggregates(feature: Feature, rows: DataFrame, key: str) -> list[Column]:
    """Return as few and as plain ones as can be: there are some for each feature."""
    is_list = feature.kind in ("tags", "vector")
    value = F.xxhash64(feature.name) if is_list else F.col(feature.name)
    figures = {
        "present_share": F.avg(_is_present(feature, rows).cast("double")),
        "varies": (F.min(value) != F.max(value)).cast("int"),
        "fingerprint": F.sum(F.xxhash64(key, feature.name) % (1 << 31)),
    }
    return [column.alias(f"{feature.name}|{name}") for name, column in figures.items()]
