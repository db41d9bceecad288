"""Times as numbers: microseconds since 1970 UTC, or a plain order number."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from pyspark.sql import Column
from pyspark.sql import functions as F

from conf.settings.rules.time_patterns import ISO, has_offset, without_weekday
from etl.spark.decimals import plain_number, try_cast
from etl.spark.notation import PLAIN, Notation
from etl.spark.texts import NO_BREAK_SPACES, literal, trimmed

MICROS_PER_SECOND = 1_000_000
MICROS_PER_MINUTE = 60 * MICROS_PER_SECOND
MICROS_PER_HOUR = 60 * MICROS_PER_MINUTE
MICROS_PER_DAY = 86_400_000_000
_MICROS = {"seconds": 1_000_000, "milliseconds": 1_000, "microseconds": 1}
_OFFSET = r"\s?(Z|UTC|GMT|[+-]\d{2}(:?\d{2})?)"
# Spark's own cast also accepts a year alone, and a time of day alone as a time of today.
_ISO = (
    r"^\d{4}-\d{2}-\d{2}"
    rf"([T ]\d{{2}}:\d{{2}}(:\d{{2}}([.,]\d{{1,9}})?({_OFFSET})?)?)?$"
)
_ISO_OFFSET = rf"(?i)\d[T ]\d.*{_OFFSET}$"
_SMALL = "tzucgm"  # letters of T, Z, UTC and GMT
# Forms that Spark cannot cast, and what they are cast as.
_ISO_SHORT = (
    (r"^(\d{4})(\d{2})(\d{2})($|[T ])", "$1-$2-$3$4"),
    (r"^(\d{4}-\d{2}-\d{2}[T ]\d{2})(\d{2})(\d{2})(?!:)", "$1:$2:$3"),
    (r"^(\d{4}-\d{2}-\d{2}[T ]\d{2})(\d{2})(?!:)", "$1:$2"),
    (rf"^(\d{{4}}-\d{{2}}-\d{{2}}[T ]\d{{2}}:\d{{2}}){_OFFSET}$", "$1:00$2"),
)
_WEEKDAY = r"(?i)\b(?:mon|tues?|wed(?:nes)?|thu(?:rs?)?|fri|sat(?:ur)?|sun)(?:day)?\b"
_WITH_PLAIN_SPACES = str.maketrans(dict.fromkeys(NO_BREAK_SPACES, " "))
_FAR = 9 * 10**18  # microseconds; later times are clamped: they are wrong, but can be parsed


def parse_time(column: str, unit: str, notation: Notation = PLAIN) -> Column:
    """Return a text column as int64 microseconds (or order numbers), null if it is not a time.

    Args:
        column: Name of the column.
        unit: seconds, milliseconds, microseconds (fractions allowed), iso (a text) or order (a
            whole number). Numbers may have a decimal point too if the decimal mark is another.
        notation: How texts of times, and numbers in them, are written.
    """
    if unit == "iso":
        return _parse_text(column, notation)
    texts = dict.fromkeys((plain_number(column, notation), plain_number(column)))
    number = F.coalesce(*(try_cast(text, "decimal(38,9)") for text in texts))
    if unit == "order":
        return F.when(number == F.floor(number), _clamped(number, _FAR).cast("long"))
    factor = _MICROS[unit]
    near = _clamped(number, _FAR // factor).cast("decimal(28,9)")
    return F.floor(near * factor).cast("long")


def clock_faults(column: str, notation: Notation) -> tuple[Column, Column] | None:
    """Return whether the clocks pass over a local time, and whether they show it twice.

    Args:
        column: Name of a column of texts.
        notation: How they are written.

    Returns:
        None if times without an offset are in UTC.
    """
    if notation.time_zone is None:
        return None
    moment, zone = _first_that_fits(column, notation.time_formats), notation.time_zone
    local = F.when(moment["is_local"], F.timestamp_micros(moment["micros"]))
    first = F.to_utc_timestamp(local, zone)
    day = F.expr("INTERVAL 1 DAY")
    # A day later the clocks have changed; with that offset it is the second time they show it.
    offset = F.unix_micros(F.from_utc_timestamp(first + day, zone)) - F.unix_micros(first + day)
    second = F.timestamp_micros(moment["micros"] - offset)
    is_twice = (second > first) & (F.from_utc_timestamp(second, zone) == local)
    return (
        F.coalesce(F.from_utc_timestamp(first, zone) != local, F.lit(False)),
        F.coalesce(is_twice, F.lit(False)),
    )


def _parse_text(column: str, notation: Notation) -> Column:
    if notation.time_zone is None:
        if not notation.time_formats:
            return _iso_micros(column)
        return F.coalesce(*(_micros(column, pattern) for pattern in notation.time_formats))
    moment = _first_that_fits(column, notation.time_formats)
    local = F.to_utc_timestamp(F.timestamp_micros(moment["micros"]), notation.time_zone)
    return F.when(moment["is_local"], F.unix_micros(local)).otherwise(moment["micros"])


def _first_that_fits(column: str, patterns: Sequence[str]) -> Column:
    """Return micros and is_local of the first pattern that fits; null if none does.

    If is_local, the text has no offset, and micros is counted as if the clocks showed UTC.
    """
    found = []
    for pattern in patterns or (ISO,):
        is_local = ~F.expr(_text(column)).rlike(_ISO_OFFSET)
        if pattern != ISO:
            is_local = F.lit(not has_offset(pattern))
        micros = _micros(column, pattern)
        pair = F.struct(micros.alias("micros"), is_local.alias("is_local"))
        found.append(F.when(micros.isNotNull(), pair))
    return F.coalesce(*found)


def _micros(column: str, pattern: str) -> Column:
    if pattern == ISO:
        return _iso_micros(column)
    text = F.expr(_text(column))
    pattern = pattern.translate(_WITH_PLAIN_SPACES)
    plain = without_weekday(pattern)
    if plain != pattern:
        text = F.regexp_replace(text, _WEEKDAY, "")
    return F.unix_micros(F.try_to_timestamp(text, F.lit(plain)))


def _text(column: str) -> str:
    """Return the SQL of a text without blanks around it, and with plain spaces in it."""
    text = trimmed(column)
    for space in NO_BREAK_SPACES:
        text = f"replace({text}, {literal(space)}, ' ')"
    return text


def _iso_micros(column: str) -> Column:
    text = f"replace({_text(column)}, ',', '.')"
    # Not upper(): its first use costs a second or two, as it looks at every letter of Unicode.
    full = f"translate({text}, {literal(_SMALL)}, {literal(_SMALL.upper())})"
    for short, long in _ISO_SHORT:
        full = f"regexp_replace({full}, r'{short}', '{long}')"
    moment = F.when(F.expr(text).rlike(_ISO), try_cast(text, "timestamp"))
    rare = F.when(F.expr(full).rlike(_ISO), try_cast(full, "timestamp"))
    return F.unix_micros(F.coalesce(moment, rare))


def is_midnight(micros: Column, time_zone: str | None) -> Column:
    """Return whether a day begins at a time, in UTC or a time zone."""
    if time_zone is not None:
        micros = F.unix_micros(F.from_utc_timestamp(F.timestamp_micros(micros), time_zone))
    return F.pmod(micros, F.lit(MICROS_PER_DAY)) == 0


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
