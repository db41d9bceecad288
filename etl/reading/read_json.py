"""Read JSON lines strictly, key by key, with values as the text that is in the file."""

import re

from pyspark.sql import Column, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from conf.contract import ITEM_ID, USER_ID
from conf.settings.input import Source
from etl.reading.drift import Group, Place
from etl.reading.layout import FieldPath, Layout, steps_of
from etl.reading.origin import Rows
from etl.reading.read_csv import read_lines
from etl.reading.typed import in_notation
from etl.spark.columns import EVENT_ID

_CORRUPT = "__corrupt"
_AS_DOUBLE = r"^-?[0-9]+\.[0-9]+(E-?[0-9]+)?$|Infinity"
_HALF_A_SIGN = (  # half of a UTF-16 surrogate pair, which Spark turns into a question mark
    r"(?i)\\u(d[89ab][0-9a-f]{2}(?!\\ud[c-f])|(?<!\\ud[89ab][0-9a-f]{2}\\u)d[c-f][0-9a-f]{2})"
)
_OPTIONS = {
    "mode": "PERMISSIVE", "columnNameOfCorruptRecord": _CORRUPT, "allowSingleQuotes": "false",
}  # fmt: skip


def read_json_lines(spark: SparkSession, source: Source, group: Group) -> Rows:
    """Read the values of JSON lines.

    A line is broken if it is not exactly one object, or if a key that is used occurs twice (Spark
    would take the last one). It is broken too if Spark would change its id (a number with a
    fraction or an exponent, such as 1E5 read as 100000.0, or half of a surrogate pair), or if its
    id is an object or an array.
    """
    ways = {ours: _ways(group.layout, place) for ours, place in group.places.items()}
    used = [way for several in ways.values() for way in several]
    lines = read_lines(spark, source, [file.path for file in group.files])
    first_keys = dict.fromkeys(str(way[0]) for way in used)
    schema = StructType([*_strings(first_keys), StructField(_CORRUPT, StringType())])
    frame = lines.select("*", F.from_json("line", schema, _OPTIONS).alias("row"))
    row = F.col("row")
    parents = dict.fromkeys(way[:end] for way in used for end in range(1, len(way)))
    sound = F.coalesce(_has_keys_once(F.col("line")) & _is_alone(F.col("line")), F.lit(False))
    for parent in parents:
        # Null if it is not an object; then the value in it is missing.
        sound = sound & F.coalesce(_has_keys_once(_value(row, parent)), F.lit(True))
    values = {
        ours: F.coalesce(*(_in_notation(source, ours, row, way) for way in several))
        for ours, several in ways.items()
        if several
    }
    for ours in (USER_ID, ITEM_ID, EVENT_ID):
        for way in ways.get(ours, ()):
            sound = sound & ~_is_rewritten(F.col("line"), values[ours], way)
            sound = sound & ~_is_nested(F.col("line"), values[ours], way)
        if ours in values:
            halved = F.contains(values[ours], F.lit("?")) & F.col("line").rlike(_HALF_A_SIGN)
            sound = sound & ~F.coalesce(halved, F.lit(False))
    return Rows(
        frame,
        broken=~sound | row.isNull() | row[_CORRUPT].isNotNull(),
        raw=F.col("line"),
        values=values,
    )


def _ways(layout: Layout, place: Place) -> list[FieldPath]:
    """Return where to look for a value; a key missing in the sample may occur in later lines."""
    if place.where == "folder":
        return []
    return [layout.paths.get(name, steps_of(name)) for name in place.names]


def _value(row: Column, way: FieldPath) -> Column:
    """Return the value at the end of the path as text, null if the path does not exist."""
    value = row[str(way[0])]
    for step in way[1:]:
        if isinstance(step, int):
            value = F.get(F.from_json(value, "array<string>"), step)
        else:
            value = F.from_json(value, StructType(_strings([step])))[step]
    return value


def _in_notation(source: Source, ours: str, row: Column, way: FieldPath) -> Column:
    """Return a value, with the source's decimal mark also if it is a number in the line."""
    value = _value(row, way)
    number = in_notation(source, ours, value)
    if number is value:
        return value
    in_line = rf'"{re.escape(_last_key(way))}"\s*:\s*\[?\s*"'
    return F.when(F.col("line").rlike(in_line), value).otherwise(number)


def _last_key(way: FieldPath) -> str:
    return next(step for step in reversed(way) if isinstance(step, str))


def _is_rewritten(line: Column, value: Column, way: FieldPath) -> Column:
    """Return whether a value is a number in the line whose digits Spark changed."""
    in_line = rf'"{re.escape(_last_key(way))}"\s*:\s*\[?\s*-?[0-9]+[.eE]'
    return F.coalesce(value.rlike(_AS_DOUBLE) & line.rlike(in_line), F.lit(False))


def _is_nested(line: Column, value: Column, way: FieldPath) -> Column:
    """Return whether a value is an object or an array, not a text that looks like one."""
    inside = r"\[\s*" if way[-1] == 0 else ""
    in_line = rf'"{re.escape(_last_key(way))}"\s*:\s*{inside}[\[{{]'
    return F.coalesce(value.rlike(r"^[\[{]") & line.rlike(in_line), F.lit(False))


def _has_keys_once(text: Column) -> Column:
    keys = F.json_object_keys(text)  # null unless the text is an object
    return F.size(keys) == F.size(F.array_distinct(keys))


def _is_alone(line: Column) -> Column:
    """Return whether nothing follows the object; Spark would ignore it."""
    return F.json_array_length(F.concat(F.lit("["), line, F.lit("]"))) == 1


def _strings(names: "dict[str, None] | list[str]") -> list[StructField]:
    return [StructField(name, StringType()) for name in names]
