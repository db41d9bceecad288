"""Apply the rules of the section `etl.clean`, one after another.

The rules that need one row only come first (`etl.cleaning.row_rules`). Then follow those that
need a user's whole history; each sees only the events that the rules before it kept.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from conf.contract import ITEM_ID, USER_ID
from conf.settings.etl import Clean, Etl, shown_types
from conf.settings.input import EventSource
from etl.cleaning.confidence import judge_confidence
from etl.cleaning.event_ids import blank_placeholders
from etl.cleaning.log_rules import (
    caps_of,
    drop_bots,
    drop_duplicates,
    drop_near_duplicates,
    drop_repeated_items,
    mark_cancellations,
    net_cancellations,
)
from etl.cleaning.row_rules import (
    Limits,
    check_fields,
    clock_notes,
    judge_rows,
    note,
    parse_events,
)
from etl.cleaning.shown import drop_answered, is_act
from etl.spark.columns import (
    AT_MIDNIGHT,
    EVENT_ID,
    FIELD,
    LINE_ORDER,
    LOG,
    PART,
    TIME,
    TIME_TEXT,
    VERDICT,
)
from etl.spark.notation import notation_of
from etl.spark.texts import normalise_ids, trim_ids
from etl.spark.times import MICROS_PER_SECOND, day_start, is_midnight


def judge_log(rows: DataFrame, source: EventSource, etl: Etl, limits: Limits) -> DataFrame:
    """Return the parsed rows of one log, each judged by the rules that need one row only."""
    clean, notation = etl.clean, notation_of(source)
    ids = [name for name in (USER_ID, ITEM_ID, EVENT_ID) if name in rows.columns]
    rows = clean_ids(rows, clean, ids)
    events = parse_events(rows, source.time_unit, etl.event_types, source.event_type, notation)
    if clean.cancellations.is_on:
        events = mark_cancellations(events, clean.cancellations, source.event_type)
    events = blank_placeholders(events)
    if EVENT_ID in events.columns and source.time_unit != "order":
        at_midnight = is_midnight(F.col(TIME), notation.time_zone)
        events = events.withColumn(AT_MIDNIGHT, at_midnight)
    if source.part is not None:
        events = events.withColumn(PART, F.lit(source.part))
    limits = replace(limits, blanks_values=source.bad_value == "blank")
    if source.time_unit == "iso":
        events = note(events, clock_notes(TIME_TEXT, "", notation))
    judged = judge_rows(events, limits, etl.event_types)
    checked = check_fields(judged, source.fields, FIELD, notation)
    return judge_confidence(checked, etl.event_types)


def clean_ids(rows: DataFrame, clean: Clean, names: Sequence[str]) -> DataFrame:
    """Trim the ids in `names` and convert them to their normal form, as configured."""
    if clean.trim_ids:
        rows = trim_ids(rows, names)
    return normalise_ids(rows, names) if clean.id_normal_form != "none" else rows


def judge_histories(events: DataFrame, etl: Etl, *, is_numbered: bool, is_dated: bool) -> DataFrame:
    """Apply the rules that need more than one row.

    Args:
        events: Events of all logs.
        etl: The section of the configuration.
        is_numbered: Whether the order of the lines is used as the time.
        is_dated: Whether events have real times and not just an order.
    """
    clean, acts = etl.clean, is_act(etl.event_types)
    if is_numbered:
        events = number_lines(events)
    events = drop_duplicates(events, has_times=not is_numbered)
    if clean.duplicate_seconds is not None:
        events = drop_near_duplicates(events, clean.duplicate_seconds)
    if clean.cancellations.is_on:
        numbers = {name: number for number, name in enumerate(etl.event_types)}
        asked = clean.cancellations.cancelled_types
        types = [numbers[name] for name in asked or numbers if not etl.event_types[name].shown_only]
        events = net_cancellations(events, types)
    for cap in caps_of(clean):
        events = drop_bots(events, cap, acts)
    if etl.repeated_items != "keep":
        weights = [kind.weight for kind in etl.event_types.values()]
        events = drop_repeated_items(events, etl.repeated_items, acts, weights)
    minutes = None if etl.impressions is None else etl.impressions.answered_minutes
    if shown_types(etl.event_types) and minutes is not None and is_dated:
        events = drop_answered(events, acts, minutes)
    return events


def limits_of(clean: Clean, *, newest_file: date | None, logical_date: date | None) -> Limits:
    """Return the limits that an event must be within.

    Args:
        clean: The section of the configuration.
        newest_file: Day on which the newest of the log's files was written; None: the log has
            no times.
        logical_date: Last day whose events are used; None: all events.
    """
    values = Limits(
        allow_negative_value=clean.allow_negative_value,
        min_value=clean.min_value,
        max_value=clean.max_value,
        item_pattern=clean.item_pattern,
    )
    if newest_file is None:
        return values
    latest = _day_after(clean.latest_time or newest_file)
    return replace(
        values,
        earliest=day_start(clean.earliest_time),
        latest=latest + clean.clock_skew_seconds * MICROS_PER_SECOND,
        until=None if logical_date is None else _day_after(logical_date),
        kept_from=None if clean.keep_from is None else day_start(clean.keep_from),
        kept_until=None if clean.keep_to is None else _day_after(clean.keep_to),
    )


def _day_after(day: date) -> int:
    """Return the first microsecond after a day in UTC."""
    return day_start(day + timedelta(days=1))


def number_lines(events: DataFrame) -> DataFrame:
    """Set TIME to the number of the line among the user's lines, from 1, log by log.

    Within a log the lines are in the order of the names of their files.
    """
    order = Window.partitionBy(VERDICT, USER_ID).orderBy(LOG, *LINE_ORDER, ITEM_ID)
    return events.withColumn(TIME, F.row_number().over(order).cast("long"))
