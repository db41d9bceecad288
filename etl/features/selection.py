"""Select features by statistics of the training part; all of them are shown in the report.

A feature is left out by the first rule that it breaks: too sparse, constant, duplicate of an
earlier one, correlated with an earlier one, too little mutual information with the label.
"""

import math
from collections.abc import Mapping, Sequence

import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from conf.contract import PADDING_IDX, Feature
from conf.settings.features import Selection
from etl.features.encoding import PRESENT
from etl.features.sample import count_distinct, find_alike

_DIGITS = 6

Figures = dict[str, dict[str, float]]


def measure(rows: DataFrame, features: Sequence[Feature], key: str, sample: pa.Table) -> Figures:
    """Return the statistics of each feature that the selection needs.

    A sample answers most questions: features that differ in it are not duplicates, and one that
    varies in it is not constant. So the pass over all rows reads few columns.

    Args:
        rows: Encoded rows of the training part.
        features: Features to measure; the columns have their names.
        key: Column that identifies a row.
        sample: Some of the rows.

    Returns:
        For each feature its `present_share`, and its number of `distinct` values in the sample, or
        2 if it varies only in other rows. Possible duplicates also have a `fingerprint`: features
        with the same one are equal in every row.
    """
    distinct, alike = count_distinct(sample, features), find_alike(sample, features)
    figures: Figures = {f.name: {"present_share": 1.0} for f in features}
    columns = [
        column.alias(f"{feature.name}|{figure}")
        for feature in features
        for figure, column in _aggregates(
            feature, rows, key, is_alike=feature.name in alike, varies=distinct[feature.name] > 1
        ).items()
    ]
    row = rows.agg(*columns).head() if columns else None
    for label, number in ({} if row is None else row.asDict()).items():
        name, figure = label.rsplit("|", 1)
        figures[name][figure] = round(float(number or 0), _DIGITS)
    for name, own in figures.items():
        own["distinct"] = max(distinct[name], 2 if own.pop("varies", 0) else 1)
    return figures


def choose(
    features: Sequence[Feature],
    figures: Mapping[str, Mapping[str, float]],
    correlated: Mapping[tuple[str, str], float],
    rules: Selection,
) -> tuple[Feature, ...]:
    """Return the features with their figures and, if left out, the reason."""
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


def _aggregates(
    feature: Feature, rows: DataFrame, key: str, *, is_alike: bool, varies: bool
) -> dict[str, Column]:
    found = {}
    present = _is_present(feature, rows)
    if present is not None:
        found["present_share"] = F.avg(present.cast("double"))
    if is_alike:
        found["fingerprint"] = F.sum(F.xxhash64(key, feature.name) % (1 << 31))
    if not varies:
        value = F.xxhash64(feature.name)
        found["varies"] = (F.min(value) != F.max(value)).cast("int")
    return found


def _is_present(feature: Feature, rows: DataFrame) -> Column | None:
    """Return whether a row has a value; None: every row has one."""
    if feature.name + PRESENT in rows.columns:
        return F.col(feature.name + PRESENT) == 1
    if feature.kind == "tags":
        return F.size(feature.name) > 0
    if feature.kind == "categorical":
        return F.col(feature.name) != PADDING_IDX
    return None
