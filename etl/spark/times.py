"""Times as numbers: microseconds since 1970 UTC, or a plain order number."""

from datetime import UTC, date, datetime, timedelta

from pyspark.sql import Column
from pyspark.sql import functions as F

MICROS_PER_SECOND = 1_000_000
MICROS_PER_MINUTE = 60 * MICROS_PER_SECOND
MICROS_PER_HOUR = 60 * MICROS_PER_MINUTE
MICROS_PER_DAY = 86_400_000_000
_MICROS = {"seconds": 1_000_000, "milliseconds": 1_000, "microseconds": 1}
# Spark's own cast also accepts a year alone, and a time of day alone as a time of today.
_ISO = (
    r"^\d{4}-\d{2}-\d{2}"
    r"([T ]\d{2}:\d{2}(:\d{2}([.,]\d{1,9})?)?\s?(Z|[+-]\d{2}(:?\d{2})?)?)?$"
)
_FAR = 9 * 10**18  # microseconds; later times are clamped: they are wrong, but can be parsed


def parse_time(column: str, unit: str) -> Column:
    """Return a text column as int64 microseconds (or order numbers), null if it is not a time.

    Args:
        column: Name of the column.
        unit: seconds, milliseconds, microseconds (fractions allowed), iso (ISO 8601; UTC
            if no zone is given) or order (a whole number).
    """
    if unit == "iso":
        moment = _try_cast(f"replace(upper(trim({column})), ',', '.')", "timestamp")
        return F.when(F.upper(F.trim(column)).rlike(_ISO), F.unix_micros(moment))
    number = _try_cast(f"trim({column})", "decimal(38,9)")
    if unit == "order":
        return F.when(number == F.floor(number), _clamped(number, _FAR).cast("long"))
    factor = _MICROS[unit]
    near = _clamped(number, _FAR // factor).cast("decimal(28,9)")
    return F.floor(near * factor).cast("long")


def parse_number(column: str) -> Column:
    """Return a text column as double, null if it is not a finite decimal number."""
    return _try_cast(f"trim({column})", "decimal(38,12)").cast("double")


def day_start(day: date) -> int:
    """Return the first microsecond of a day in UTC."""
    return (day - date(1970, 1, 1)).days * MICROS_PER_DAY


def day_of(micros: int) -> date:
    """Return the day of a time in UTC."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)).date()


def iso_text(micros: int) -> str:
    """Return a time as ISO 8601 in UTC."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
    return moment.isoformat().replace("+00:00", "Z")


def _clamped(number: Column, limit: int) -> Column:
    return F.when(number.isNotNull(), F.greatest(F.least(number, F.lit(limit)), F.lit(-limit)))


def _try_cast(expression: str, type_name: str) -> Column:
    # In SQL, because Column.try_cast exists only from Spark 4 on.
    return F.expr(f"try_cast({expression} AS {type_name})")
