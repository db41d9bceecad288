"""What the columns of an input are read as: numbers or times."""

from pyspark.sql import Column
from pyspark.sql import functions as F

from conf.settings.input import EventSource, InputField, Source
from etl.spark.columns import FIELD, TIME_TEXT, VALUE_TEXT


def is_number(source: Source, ours: str) -> bool:
    """Return whether a column of ours is the value, or a field of type integer or number."""
    field = _field(source, ours)
    return ours == VALUE_TEXT or (field is not None and field.type in ("integer", "number"))


def is_time(source: Source, ours: str) -> bool:
    """Return whether texts of a column of ours are read as times."""
    field = _field(source, ours)
    if ours == TIME_TEXT and isinstance(source, EventSource):
        return source.time_unit == "iso"
    return field is not None and field.type == "time"


def in_notation(source: Source, ours: str, number: Column) -> Column:
    """Return a number that the file holds as such, as the source writes numbers in texts."""
    if source.decimal == "." or not is_number(source, ours):
        return number
    return F.translate(number.cast("string"), ".", source.decimal)


def _field(source: Source, ours: str) -> InputField | None:
    is_log = isinstance(source, EventSource)
    if is_log and not ours.startswith(FIELD):
        return None
    return source.fields.get(ours.removeprefix(FIELD) if is_log else ours)
