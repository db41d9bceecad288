"""Encode declared fields as numbers, with values fitted on the training part.

The numbers of a categorical column: 0 for a missing value, then those of out-of-vocabulary values
from 1, then those of the vocabulary. A null in a vocabulary is an erased value.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from conf.contract import PADDING_IDX, PRESENT_SUFFIX, UNKNOWN_IDX, Feature
from conf.settings.features import (
    Bucketed,
    Categorical,
    Cross,
    Encoding,
    Hashed,
    Numeric,
    Tags,
    Text,
    Vector,
)
from etl.spark.decimals import parse_number
from etl.spark.paths import location
from etl.spark.texts import as_vector, list_elements, lower

PRESENT = PRESENT_SUFFIX
# Intermediate columns; no field has such a name.
_VALUE, _KNOWN, _NUMBER = "__value", "__known", "__number"
# A list that is not JSON: [red, wool], or ['red' 'wool'] as NumPy prints it.
_BRACKETED = r"(?s)^\s*\[(.*)\]\s*$"
_BETWEEN = r"""\s*,\s*|(?<=['"])\s+(?=['"])"""
_QUOTED = r"""(?s)^\s*(['"])(.*)\1\s*$"""
_WORD = r"[\p{L}\p{N}]+"
Fitted = dict[str, Any]


def encode(
    rows: DataFrame,
    field: str,
    name: str,
    encoding: Encoding,
    fitted: Fitted,
    *,
    key: str,
    scratch: Path,
) -> DataFrame:
    """Add the encoded field as a column `name`, without nulls.

    For numbers and vectors, where a missing value is 0, a second column marks present values. Its
    name ends in PRESENT.

    Args:
        rows: Rows with `field` as text.
        field: Name of the column.
        name: Name of the new column.
        encoding: How it is encoded.
        fitted: Fitted values of the field, from `fit_all`.
        key: Column that identifies a row; used for tags only.
        scratch: Folder for vocabularies; as literals their values would appear in Spark's plans
            and so in its event log.
    """
    if isinstance(encoding, Categorical | Tags):
        known = _vocabulary(rows.sparkSession, fitted["values"], encoding, scratch / name)
        if isinstance(encoding, Categorical):
            return _looked_up(rows, value_of(field), name, encoding, known)
        return _tags_looked_up(rows, field, name, encoding, known, key)
    if isinstance(encoding, Numeric):
        number = _scaled(parse_number(f"`{field}`"), encoding, fitted)
        return _with_mask(rows, name, number.cast("float"), F.lit(0.0).cast("float"))
    if isinstance(encoding, Vector):
        none = F.array_repeat(F.lit(0.0).cast("float"), encoding.dimension)
        return _with_mask(rows, name, as_vector(field, encoding.dimension), none)
    if isinstance(encoding, Text):
        words = F.slice(_words_of(field), 1, encoding.max_words)
        numbers = F.transform(words, lambda word: _hashed(word, encoding.hash_buckets))
        return rows.withColumn(name, F.coalesce(numbers, F.array().cast("array<int>")))
    if isinstance(encoding, Hashed):
        number = F.when(
            value_of(field).isNotNull(), _hashed(value_of(field), encoding.hash_buckets)
        )
    else:
        number = _bucket(field, fitted["bounds"])
    return rows.withColumn(name, F.coalesce(number, F.lit(PADDING_IDX)).cast("int"))


def _with_mask(rows: DataFrame, name: str, value: Column, none: Column) -> DataFrame:
    """Add a value, `none` if it is null, and a column that says whether it is present."""
    return rows.withColumns(
        {name: F.coalesce(value, none), name + PRESENT: value.isNotNull().cast("int")}
    )


def cross(rows: DataFrame, of: Sequence[str], name: str, hash_buckets: int) -> DataFrame:
    """Add one hash of several encoded columns as a column `name`."""
    number = F.pmod(F.xxhash64(*of), F.lit(hash_buckets)) + UNKNOWN_IDX
    return rows.withColumn(name, number.cast("int"))


def describe(
    name: str, encoding: Encoding | Cross, fitted: Fitted, made_of: Sequence[str] = ()
) -> Feature:
    """Return the description of an encoded field that a model needs."""
    source = type(encoding).__name__.lower()
    if isinstance(encoding, Numeric):
        return Feature(name=name, kind="numeric", encoding=source)
    if isinstance(encoding, Vector):
        return Feature(name=name, kind="vector", encoding=source, dimension=encoding.dimension)
    if isinstance(encoding, Categorical | Tags):
        size = UNKNOWN_IDX + encoding.oov_buckets + len(fitted["values"])
    elif isinstance(encoding, Bucketed):
        size = UNKNOWN_IDX + 2 + len(fitted["bounds"])
    else:
        size = UNKNOWN_IDX + encoding.hash_buckets
    kind = "tags" if isinstance(encoding, Tags | Text) else "categorical"
    return Feature(name=name, kind=kind, encoding=source, cardinality=size, made_of=tuple(made_of))


def value_of(field: str) -> Column:
    """Return the text, null if it is empty or white space only."""
    text = F.col(field).cast("string")
    return F.when(text.rlike(r"\S"), text).alias(_VALUE)


def tags_of(field: str, encoding: Tags) -> Column:
    """Return the tags as an array, null if there is no text.

    A list, as Parquet and JSON have it, gives one tag per element. So does a text such as
    `['a', 'b']` or `[a, b]`, unless it is no list and has the separator in it.
    """
    text = F.col(field)
    parts = F.split(text, _literal_pattern(encoding.separator))
    is_bracketed = text.rlike(_BRACKETED) & ~F.contains(text, F.lit(encoding.separator))
    inside = F.regexp_extract(text, _BRACKETED, 1)
    loose = F.transform(F.split(inside, _BETWEEN), lambda tag: F.regexp_replace(tag, _QUOTED, "$2"))
    parts = F.when(is_bracketed, loose).otherwise(parts)
    split = F.filter(F.transform(parts, _trimmed), lambda tag: tag != "")
    return F.coalesce(F.transform(list_elements(field), _trimmed), split)


def _trimmed(text: Column) -> Column:
    # F.trim itself would get an element's place as a second argument, and trim that digit.
    return F.trim(text)


def _words_of(field: str) -> Column:
    """Return the words of a text in lower case; of a list, those of its elements."""
    text = F.coalesce(F.array_join(list_elements(field), " "), F.col(field))
    return F.regexp_extract_all(lower(text), F.lit(_WORD), F.lit(0))


def _literal_pattern(separator: str) -> str:
    return "".join(f"\\x{{{ord(char):x}}}" for char in separator)


def logged(number: Column, encoding: Numeric) -> Column:
    """Return the number to scale: its signed logarithm if so configured, or the number itself."""
    if encoding.scale == "log_standard":
        return F.signum(number) * F.log1p(F.abs(number))
    return number


def _scaled(number: Column, encoding: Numeric, fitted: Fitted) -> Column:
    if encoding.scale == "none":
        return number
    centred = logged(number, encoding) - F.lit(fitted["mean"])
    return centred / F.lit(fitted["deviation"])


def _bucket(field: str, bounds: list[float]) -> Column:
    """Return 2 for numbers below the first bound, 3 above it and so on; 1 for a non-number."""
    number = parse_number(f"`{field}`")
    above = F.array(*map(F.lit, bounds)) if bounds else F.array().cast("array<double>")
    place: Column = F.size(F.filter(above, lambda bound: number >= bound)) + UNKNOWN_IDX + 1
    return F.when(number.isNotNull(), place).when(value_of(field).isNotNull(), UNKNOWN_IDX)


def _hashed(value: Column, buckets: int) -> Column:
    return (F.pmod(F.xxhash64(value), F.lit(buckets)) + UNKNOWN_IDX).cast("int")


def _vocabulary(
    spark: SparkSession, values: Sequence[str | None], encoding: Categorical | Tags, folder: Path
) -> DataFrame:
    """Return _KNOWN and _NUMBER, one row per value."""
    first = UNKNOWN_IDX + encoding.oov_buckets
    numbers = pa.array(range(first, first + len(values)), pa.int32())
    folder.mkdir(parents=True)
    table = pa.table({_KNOWN: pa.array(values, pa.string()), _NUMBER: numbers})
    pq.write_table(table, folder / "values.parquet")
    rows = spark.read.schema(f"{_KNOWN} STRING, {_NUMBER} INT").parquet(location(folder))
    return F.broadcast(rows)


def _looked_up(
    rows: DataFrame, value: Column, name: str, encoding: Categorical | Tags, known: DataFrame
) -> DataFrame:
    joined = rows.withColumn(_VALUE, value).join(known, F.col(_VALUE) == F.col(_KNOWN), "left")
    other = F.when(F.col(_VALUE).isNotNull(), _hashed(F.col(_VALUE), encoding.oov_buckets))
    number = F.coalesce(_NUMBER, other, F.lit(PADDING_IDX)).cast("int")
    return joined.withColumn(name, number).select(*rows.columns, name)


def _tags_looked_up(
    rows: DataFrame, field: str, name: str, encoding: Tags, known: DataFrame, key: str
) -> DataFrame:
    tags = rows.select(key, F.posexplode(tags_of(field, encoding)).alias("__place", "__tag"))
    numbered = _looked_up(tags, F.col("__tag"), "__tag_number", encoding, known)
    pairs = F.sort_array(F.collect_list(F.struct("__place", "__tag_number")))
    lists = numbered.groupBy(key).agg(pairs["__tag_number"].alias(name))
    none = F.array().cast("array<int>")
    return rows.join(lists, key, "left").withColumn(name, F.coalesce(name, none))
