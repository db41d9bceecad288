"""Fit encodings on the training part, all fields of a table in two Spark jobs."""

from collections.abc import Mapping
from functools import reduce
from operator import or_

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from conf.settings.features import Bucketed, Categorical, Encoding, Numeric, Tags
from etl.features.encoding import Fitted, logged, tags_of, value_of
from etl.spark.decimals import parse_number

_WithVocabulary = Mapping[str, Categorical | Tags]
_OfNumbers = Mapping[str, Bucketed | Numeric]
_DIGITS, _STEP_DIGITS = 7, 12


def fit_all(
    rows: DataFrame, encodings: Mapping[str, Encoding], source_prefix: str = ""
) -> dict[str, Fitted]:
    """Return the fitted values of each field's encoding, in a form that JSON can represent.

    Args:
        rows: Rows of the training part, with the fields as text.
        encodings: For each field how it is encoded.
        source_prefix: Prefix of the fields' column names.
    """
    fitted: dict[str, Fitted] = {field: {} for field in encodings}
    counted = {f: e for f, e in encodings.items() if isinstance(e, Categorical | Tags)}
    numbers = {f: e for f, e in encodings.items() if isinstance(e, Bucketed | Numeric)}
    measured = {f: e for f, e in numbers.items() if isinstance(e, Bucketed) or e.scale != "none"}
    fitted.update(_vocabularies(rows, counted, source_prefix))
    fitted.update(_figures(rows, measured, source_prefix))
    return fitted


def _vocabularies(rows: DataFrame, encodings: _WithVocabulary, prefix: str) -> dict[str, Fitted]:
    """Return the frequent values, most frequent first; ties are in byte order."""
    if not encodings:
        return {}
    values = [
        _values(number, prefix + field, encoding)
        for number, (field, encoding) in enumerate(encodings.items())
    ]
    entries = rows.select(F.explode(F.concat(*values)).alias("entry"))
    counted = (
        entries.groupBy("entry.field", "entry.value").count().where(F.col("value").isNotNull())
    )
    order = Window.partitionBy("field").orderBy(F.col("count").desc(), "value")
    ranked = counted.withColumn("rank", F.row_number().over(order))
    kept = [
        (F.col("field") == number)
        & (F.col("count") >= encoding.min_count)
        & (F.col("rank") <= encoding.max_size)
        for number, encoding in enumerate(encodings.values())
    ]
    found: list[list[tuple[int, str]]] = [[] for _ in encodings]
    for number, rank, value in (
        ranked.where(reduce(or_, kept)).select("field", "rank", "value").collect()
    ):
        found[number].append((rank, value))
    return {
        field: {"values": [value for _, value in sorted(ranks)]}
        for field, ranks in zip(encodings, found, strict=True)
    }


def _values(number: int, field: str, encoding: Categorical | Tags) -> Column:
    """Return a row's values of a field as an array of (field number, value)."""

    def entry(value: Column) -> Column:
        return F.struct(F.lit(number).alias("field"), value.alias("value"))

    if isinstance(encoding, Categorical):
        return F.array(entry(value_of(field)))
    tags = F.coalesce(tags_of(field, encoding), F.array().cast("array<string>"))
    return F.transform(tags, entry)


def _figures(rows: DataFrame, encodings: _OfNumbers, prefix: str) -> dict[str, Fitted]:
    """Return means, standard deviations and bucket bounds."""
    if not encodings:
        return {}
    columns = [
        _figure(parse_number(f"`{prefix}{field}`"), encoding).alias(field)
        for field, encoding in encodings.items()
    ]
    row = rows.agg(*columns).head()
    assert row is not None  # an aggregate without groups has one row
    return {
        field: _fitted(figures, encoding)
        for figures, (field, encoding) in zip(row, encodings.items(), strict=True)
    }


def _figure(number: Column, encoding: Bucketed | Numeric) -> Column:
    if isinstance(encoding, Bucketed):
        # Exact: the approximate percentile depends on how the rows are partitioned.
        shares = F.array(*(F.lit(n / encoding.buckets) for n in range(1, encoding.buckets)))
        return F.percentile(number, shares)
    scaled = logged(number, encoding)
    return F.array(F.avg(scaled), F.stddev_pop(scaled))


def _fitted(figures: list[float | None] | None, encoding: Bucketed | Numeric) -> Fitted:
    if isinstance(encoding, Bucketed):
        return {"bounds": sorted(set(figures or []))}
    mean, deviation = (few_digits(figure or 0.0) for figure in figures or ())
    return {"mean": mean, "deviation": deviation or 1.0}


def few_digits(figure: float) -> float:
    """Round to seven significant digits, so the last bits have no effect.

    This takes two steps: a mean of prices may be half-way between two seven-digit numbers, where
    the last bits alone would decide which of them it becomes.
    """
    return float(f"{float(f'{figure:.{_STEP_DIGITS}g}'):.{_DIGITS}g}")
