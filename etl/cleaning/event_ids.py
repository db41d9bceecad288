"""Event ids: which of them identify an event, and warnings about those that do not.

An id that rows of several users have, or a placeholder such as `(not set)`, identifies nothing.
Rows with such an id are compared by their content.
"""

import logging
from collections import Counter
from collections.abc import Sequence

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from conf.contract import USER_ID
from etl.cleaning.accounting.ledger import VerdictCount
from etl.spark.columns import EVENT_ID, ID_FAULT, VERDICT
from etl.spark.texts import placeholder_pattern

log = logging.getLogger(__name__)

PLACEHOLDER, SHARED, MOVED = "placeholder:", "shared", "moved"
"""Values of ID_FAULT; the text of the placeholder follows the first one. MOVED marks a row that was
dropped although its time differs from that of the row with the same event id."""
_MOVED_SHARE = 0.1
_MOST_NAMED = 3
_MOST_CHARACTERS = 20
_NAMELESS = placeholder_pattern("not applicable", "na", "unknown", "empty", "other", "default")
_ZEROS = r"^(?:[0[^\p{L}\p{N}]]*|\s*-1\s*)$"


def blank_placeholders(events: DataFrame) -> DataFrame:
    """Set event ids that are placeholders to null, and mark these rows in ID_FAULT.

    Placeholders are words for a missing value in any case and any punctuation, ids of zeros or
    signs only, and -1.
    """
    if EVENT_ID not in events.columns:
        return events
    is_none = F.col(EVENT_ID).rlike(_NAMELESS) | F.col(EVENT_ID).rlike(_ZEROS)
    text = F.substring(F.trim(F.lower(EVENT_ID)), 1, _MOST_CHARACTERS)
    fault = F.when(is_none & (text != ""), F.concat(F.lit(PLACEHOLDER), text))
    return events.withColumns({ID_FAULT: fault, EVENT_ID: F.when(~is_none, F.col(EVENT_ID))})


def mark_shared_ids(events: DataFrame) -> DataFrame:
    """Mark the rows in ID_FAULT whose event id rows of another user have too.

    Only rows that are kept so far count.
    """
    if EVENT_ID not in events.columns:
        return events
    # Rows without an id are spread, or one task would get them all.
    spread = F.when(F.col(EVENT_ID).isNull(), F.xxhash64(USER_ID))
    same = Window.partitionBy(EVENT_ID, spread)
    user = F.when(F.col(VERDICT).isNull() & F.col(EVENT_ID).isNotNull(), F.col(USER_ID))
    is_shared = F.min(user).over(same) != F.max(user).over(same)
    return events.withColumn(ID_FAULT, F.coalesce(ID_FAULT, F.when(is_shared, SHARED)))


def id_warnings(counts: Sequence[VerdictCount], rows_read: int) -> tuple[str, ...]:
    """Return what the ledger says about event ids.

    Args:
        counts: Number of rows by the fault of their event id.
        rows_read: Number of all rows.
    """
    rows = Counter[str]()
    for count in counts:
        if count.id_fault is not None:
            rows[count.id_fault] += count.rows
    found = _warnings(rows, rows_read)
    for warning in found:
        log.warning("etl: input.events: %s", warning)
    return found


def _warnings(rows: Counter[str], rows_read: int) -> tuple[str, ...]:
    found = []
    blank = {fault: n for fault, n in rows.items() if fault.startswith(PLACEHOLDER)}
    if blank:
        most = sorted(blank, key=lambda fault: (-blank[fault], fault))[:_MOST_NAMED]
        told = ", ".join(repr(fault.removeprefix(PLACEHOLDER)) for fault in most)
        found.append(
            f"event_id is a placeholder ({told}) in {sum(blank.values())} of {rows_read} rows: "
            "they are compared by their content"
        )
    if SHARED in rows:
        found.append(
            f"event_id is that of another user's row too in {rows[SHARED]} of {rows_read} rows, so "
            "it identifies no event there (a constant, a counter, an order that changed hands?): "
            "these rows are compared by their content"
        )
    if rows[MOVED] > _MOVED_SHARE * rows_read:
        found.append(
            f"event_id made {rows[MOVED]} of {rows_read} rows duplicates although their times "
            "differ: right if two exports have the same orders with other times, wrong if it is "
            "the id of a visit, in which a user may act on an item again; then set "
            "columns.event_id to null"
        )
    return tuple(found)
