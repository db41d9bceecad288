"""Rules that need one row only: kept (null), quarantined as wrong, or dropped as configured.

Each event gets one verdict: the first that applies, in the order of this file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from conf.contract import ITEM_ID, USER_ID
from conf.settings.etl import EventType, field_rules
from conf.settings.input import InputField
from etl.spark import columns as c
from etl.spark.columns import (
    BROKEN,
    CANCELS,
    CLOCK_FAULTS,
    DAMAGED,
    DROPPED,
    EVENT_TYPE,
    QUARANTINED,
    REDELIVERED,
    TIME,
    TIME_TEXT,
    TYPE_TEXT,
    VALUE,
    VALUE_TEXT,
    VERDICT,
)
from etl.spark.decimals import parse_integer, parse_number, try_cast
from etl.spark.notation import PLAIN, Notation
from etl.spark.texts import INVISIBLE, trimmed
from etl.spark.times import clock_faults, parse_time


def parse_events(
    rows: DataFrame,
    time_unit: str,
    event_types: Mapping[str, EventType],
    only_type: str | None = None,
    notation: Notation = PLAIN,
) -> DataFrame:
    """Add TIME, VALUE and EVENT_TYPE, each null if its text cannot be parsed.

    Reads the columns *_TEXT. If the rows have no such column, time and value are null, and the
    type is `only_type`, or the first configured type.
    """
    number_of = {name: index for index, name in enumerate(event_types)}
    alone = 0 if only_type is None else number_of.get(only_type)
    types = [F.when(F.col(TYPE_TEXT) == name, number_of[name]) for name in event_types]
    has = rows.columns
    time = parse_time(TIME_TEXT, time_unit, notation) if TIME_TEXT in has else F.lit(None)
    value = parse_number(VALUE_TEXT, notation) if VALUE_TEXT in has else F.lit(None)
    return rows.withColumns(
        {
            TIME: time.cast("long"),
            VALUE: value.cast("double"),
            EVENT_TYPE: (F.coalesce(*types) if TYPE_TEXT in has else F.lit(alone)).cast("int"),
        }
    )


@dataclass(frozen=True)
class Limits:
    """Limits of a valid and wanted event; None: no limit. Times are in microseconds."""

    earliest: int | None = None
    """First valid time."""
    latest: int | None = None
    """First time that counts as being in the future."""
    until: int | None = None
    """First time after the logical date."""
    kept_from: int | None = None
    """First time that is kept."""
    kept_until: int | None = None
    """First time that is no longer kept."""
    allow_negative_value: bool = False
    min_value: float | None = None
    max_value: float | None = None
    item_pattern: str | None = None
    """Regular expression that the whole id of a wanted item matches."""
    blanks_values: bool = False
    """Whether a wrong value is removed instead of the event."""


def judge_rows(
    events: DataFrame, limits: Limits, event_types: Mapping[str, EventType]
) -> DataFrame:
    """Add VERDICT, by the rules that need one row only.

    If the limits say so, a wrong VALUE is set to null instead, and its rule is in BLANKED.

    Args:
        events: Events as returned by `parse_events`; if they have CANCELS, cancellations may have
            any value.
        limits: Limits that an event must be within.
        event_types: Types that are used.
    """
    time, value = F.col(TIME), F.col(VALUE)
    reads_time = TIME_TEXT in events.columns
    never = F.lit(False)
    wrong_values = _faults_of_value(events, limits)
    if limits.blanks_values:
        fault = F.coalesce(*(F.when(is_so, rule) for rule, is_so in wrong_values.items()))
        kept = {VALUE: F.when(fault.isNull(), value)}
        events, wrong_values = note(events, [fault]).withColumns(kept), {}
    counts = ~F.col(CANCELS) if CANCELS in events.columns else F.lit(True)
    checks = [
        (DROPPED + "redelivered_file", F.col(REDELIVERED)),
        (QUARANTINED + "file_damaged", F.col(DAMAGED) if DAMAGED in events.columns else never),
        (QUARANTINED + "line_unparsable", F.col(BROKEN)),
        (QUARANTINED + "user_missing", is_blank(USER_ID)),
        (QUARANTINED + "item_missing", is_blank(ITEM_ID)),
        (QUARANTINED + "time_unparsable", time.isNull() if reads_time else never),
        (QUARANTINED + "time_too_early", _is_below(time, limits.earliest)),
        (QUARANTINED + "time_in_future", _is_from(time, limits.latest)),
        *((QUARANTINED + rule, is_so) for rule, is_so in wrong_values.items()),
        (DROPPED + "after_logical_date", _is_from(time, limits.until)),
        (DROPPED + "outside_window", _is_below(time, limits.kept_from)),
        (DROPPED + "outside_window", _is_from(time, limits.kept_until)),
        (DROPPED + "item_excluded", ~_matches(ITEM_ID, limits.item_pattern)),
        (DROPPED + "event_type_not_used", F.col(EVENT_TYPE).isNull() & counts),
        (DROPPED + "below_threshold", _is_below_threshold(event_types) & counts),
    ]
    verdicts = [F.when(condition, verdict) for verdict, condition in checks]
    return events.withColumn(VERDICT, F.coalesce(*verdicts))


def note(rows: DataFrame, rules: Sequence[Column]) -> DataFrame:
    """Add rules that apply to a row, each null if it does not, to those in BLANKED."""
    if not rules:
        return rows
    found = F.array_compact(F.array(*rules))
    if c.BLANKED in rows.columns:
        found = F.concat(F.coalesce(c.BLANKED, F.array().cast("array<string>")), found)
    return rows.withColumn(c.BLANKED, F.when(F.size(found) > 0, found))


def is_blank(column: str) -> Column:
    """Return whether a text column is null or contains nothing that can be seen."""
    return ~F.coalesce(F.col(column).rlike(f"[^{INVISIBLE}]"), F.lit(False))


def is_outside(number: Column, least: float | None, most: float | None) -> Column:
    """Return whether a number is below `least` or above `most`; null if the number is null."""
    above = F.lit(False) if most is None else number > most
    return _is_below(number, least) | above


def _faults_of_value(events: DataFrame, limits: Limits) -> dict[str, Column]:
    """Return for each rule of values whether an event breaks it."""
    value, lowest = F.col(VALUE), None if limits.allow_negative_value else 0
    counts = ~F.col(CANCELS) if CANCELS in events.columns else F.lit(True)
    is_text = ~is_blank(VALUE_TEXT) if VALUE_TEXT in events.columns else F.lit(False)
    return {
        "value_unparsable": is_text & value.isNull(),
        "price_negative": _is_below(value, lowest) & counts,
        "value_out_of_range": is_outside(value, limits.min_value, limits.max_value) & counts,
    }


def _matches(column: str, pattern: str | None) -> Column:
    return F.lit(True) if pattern is None else F.col(column).rlike(rf"^(?:{pattern})\z")


def _is_below(number: Column, limit: float | None) -> Column:
    return F.lit(False) if limit is None else number < limit


def _is_from(number: Column, limit: float | None) -> Column:
    return F.lit(False) if limit is None else number >= limit


def _is_below_threshold(event_types: Mapping[str, EventType]) -> Column:
    """Return whether an event's value is missing or below the threshold of its type."""
    below = [
        (F.col(EVENT_TYPE) == index) & ~F.coalesce(F.col(VALUE) >= type_.min_value, F.lit(False))
        for index, type_ in enumerate(event_types.values())
        if type_.min_value is not None
    ]
    return reduce(Column.__or__, below, F.lit(False))


def check_fields(
    rows: DataFrame,
    fields: Mapping[str, InputField],
    prefix: str = "",
    notation: Notation = PLAIN,
) -> DataFrame:
    """Convert the declared fields to their types, and judge rows with invalid values.

    A text that cannot be parsed, or a value out of range, either quarantines the row or sets the
    field to null, as declared. The latter adds BLANKED: the rules that set fields to null.

    Args:
        rows: Rows with VERDICT and the fields as text.
        fields: The declared fields.
        prefix: Prefix of the field names in `rows`.
        notation: How numbers and times are written.
    """
    values: dict[str, Column] = {}
    verdicts: list[Column] = [F.col(c.VERDICT)]
    blanked: list[Column] = []
    for name, field in fields.items():
        if field.type == "text" and not field.allowed:
            continue
        column = prefix + name
        value = _parsed(column, field, notation)
        faults = zip(field_rules(name), _faults(column, field, value), strict=True)
        fault = F.coalesce(*(F.when(is_so, rule) for rule, is_so in faults))
        values[column] = F.when(fault.isNull(), value)
        if field.bad == "blank":
            blanked.append(fault)
        else:
            verdicts.append(F.concat(F.lit(c.QUARANTINED), fault))
        if field.type == "time":
            blanked += clock_notes(f"`{column}`", f"{name}_", notation)
    values[c.VERDICT] = F.coalesce(*verdicts)
    return note(rows, blanked).withColumns(values)


def clock_notes(column: str, prefix: str, notation: Notation) -> list[Column]:
    """Return a rule for each fault of the clocks, null if a row's time does not have it."""
    faults = clock_faults(column, notation)
    if faults is None:
        return []
    return [F.when(is_so, prefix + rule) for rule, is_so in zip(CLOCK_FAULTS, faults, strict=True)]


def _parsed(column: str, field: InputField, notation: Notation) -> Column:
    """Return the field's value, null if its text cannot be parsed as the type."""
    quoted = f"`{column}`"
    if field.type == "integer":
        return parse_integer(quoted, notation)
    if field.type == "number":
        return parse_number(quoted, notation)
    if field.type == "boolean":
        return try_cast(trimmed(quoted), "boolean")
    return parse_time(quoted, "iso", notation) if field.type == "time" else F.col(quoted)


def _faults(column: str, field: InputField, value: Column) -> tuple[Column, Column]:
    """Return whether the text cannot be parsed, and whether the value is out of range."""
    quoted = f"`{column}`"
    outside = is_outside(value, field.minimum, field.maximum) if _has_range(field) else F.lit(False)
    if field.allowed:
        outside = outside | (~is_blank(quoted) & ~F.trim(quoted).isin(*field.allowed))
    return ~is_blank(quoted) & value.isNull(), outside


def _has_range(field: InputField) -> bool:
    return field.minimum is not None or field.maximum is not None
