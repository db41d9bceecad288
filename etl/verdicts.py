"""Verdicts on events that take more than the row itself, and the order that they rest on."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from conf.contract import ITEM_ID, USER_ID
from etl import columns as c
from etl.pseudonyms import SEALED

# What a row carries besides what it says.
_ABOUT_THE_ROW = {
    *c.LINE_ORDER, c.REDELIVERED, c.BROKEN, c.RAW, c.TIME_TEXT, c.TYPE_TEXT, c.VALUE_TEXT,
    c.VERDICT, c.BLANKED, c.CANCELS, USER_ID, ITEM_ID,
}  # fmt: skip
# Places of columns among those that say what happened; fields have the place 1.
_PLACES = {c.EVENT_ID: 0, c.TIME: 2, c.VALUE: 3, c.EVENT_TYPE: 4}


def drop_where(events: DataFrame, condition: Column, reason: str) -> DataFrame:
    """Judge the events that are kept so far and meet the condition as dropped."""
    verdict = F.when(F.col(c.VERDICT).isNull() & condition, c.DROPPED + reason)
    return events.withColumn(c.VERDICT, F.coalesce(c.VERDICT, verdict))


def content_columns(events: DataFrame) -> list[str]:
    """Return the columns that say what happened: time, type, value, declared fields.

    Their order, which hashes depend on, is the same in whichever order logs and fields are
    configured.
    """
    says = (name for name in events.columns
            if name not in _ABOUT_THE_ROW and not name.startswith(SEALED))  # fmt: skip
    return sorted(says, key=lambda name: (_PLACES.get(name, 1), name))


def order_of_events(events: DataFrame) -> list[Column]:
    """Return an order of one user's events with one item that does not depend on the files.

    By time; those of one instant in the order of the configured types, then by value, then
    drawn by a hash of the rest. Only events equal in everything are left to the order of the
    lines.
    """
    first = [c.TIME, c.EVENT_TYPE, c.VALUE]
    rest = [name for name in content_columns(events) if name not in first]
    drawn = [F.xxhash64(*rest)] if rest else []
    return [*map(F.col, first), *drawn, *map(F.col, c.LINE_ORDER)]
