"""What is counted while the rows of an input are stored: all rows, and odd texts in good ones.

The counts are taken as the rows are read, before the first shuffle, so they are independent of all
that may lose a row later. Spark adds up what its tasks counted. If it loses the output of tasks
that were done, with an executor or a disk, it runs them again and adds their rows a second time.
Each task therefore also counts itself. If a task was counted twice, the rows are counted again by a
query of their own, whose result is exact however often its tasks run.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow.parquet as pq
from pyspark.sql import Column, DataFrame, Observation
from pyspark.sql import functions as F

from conf.contract import ITEM_ID, USER_ID
from etl.cleaning.accounting.losses import UNUSED
from etl.cleaning.row_rules import is_blank
from etl.spark.columns import BROKEN, EVENT_ID, NOT_DECODED, QUARANTINED, REDELIVERED, VERDICT
from etl.spark.texts import has_invisible_ends

log = logging.getLogger(__name__)

ROWS = "rows"
BAD_NOT_DECODED = "bad_not_decoded"
_ORDINAL = "__ordinal"
_TASKS, _DISTINCT_TASKS = "__tasks", "__distinct_tasks"
_BITS_OF_PLACE = 33  # of monotonically_increasing_id; the bits above are the number of the task
_IDS = (USER_ID, ITEM_ID, EVENT_ID)


class Count:
    """The counts of some rows, taken while these are stored."""

    def __init__(self, rows: DataFrame, *, are_trimmed: bool) -> None:
        """Prepare to count.

        Args:
            rows: The rows as read, all of them.
            are_trimmed: Whether nothing is left at the ends of ids that cannot be seen.
        """
        self._rows, self._observation = rows, Observation()
        self._counts = counts_of(rows.columns, are_trimmed=are_trimmed)

    def counted_rows(self) -> DataFrame:
        """Return the rows, which are counted as they pass; without NOT_DECODED."""
        is_first = F.col(_ORDINAL).bitwiseAND((1 << _BITS_OF_PLACE) - 1) == 0
        tasks = F.when(is_first, F.col(_ORDINAL))
        own = [F.count(tasks).alias(_TASKS), F.size(F.collect_set(tasks)).alias(_DISTINCT_TASKS)]
        numbered = self._rows.withColumn(_ORDINAL, F.monotonically_increasing_id())
        observed = numbered.observe(self._observation, *self._counts, *own)
        return observed.drop(_ORDINAL, NOT_DECODED)

    def result(self, folder: Path) -> Mapping[str, int]:
        """Return the counts.

        Args:
            folder: Where the counted rows were stored.
        """
        if all(pq.read_metadata(path).num_rows == 0 for path in folder.glob("*.parquet")):
            # Spark removes the count from the plan if it finds that the frame is empty.
            return {ROWS: 0}
        found = {name: int(count) for name, count in self._observation.get.items()}
        if found.pop(_TASKS) == found.pop(_DISTINCT_TASKS):
            return found
        log.info("etl: Spark lost the output of tasks and ran them again; counting the rows again")
        row = self._rows.agg(*self._counts).head()
        assert row is not None  # an aggregate without groups has one row
        return {name: int(count) for name, count in row.asDict().items()}


def counts_of(names: Sequence[str], *, are_trimmed: bool) -> list[Column]:
    """Return the counts to take.

    Args:
        names: Columns of the rows.
        are_trimmed: Whether nothing is left at the ends of ids that cannot be seen.
    """
    verdict, is_judged = F.col(VERDICT), VERDICT in names
    is_good = verdict.isNull() if is_judged else ~(F.col(BROKEN) | F.col(REDELIVERED))
    is_bad = verdict.startswith(QUARANTINED) | (verdict == UNUSED)
    if not is_judged:
        is_bad = F.col(BROKEN) & ~F.col(REDELIVERED)
    ids = [name for name in _IDS if name in names and (is_judged or name != EVENT_ID)]
    odd = {
        name: is_good & ~is_blank(name) & has_invisible_ends(F.col(name))
        for name in (() if are_trimmed else ids)
    }
    if NOT_DECODED in names:
        odd[NOT_DECODED] = is_good & F.col(NOT_DECODED)
        odd[BAD_NOT_DECODED] = is_bad & F.col(NOT_DECODED)
    counts = [F.count_if(is_so).alias(name) for name, is_so in odd.items()]
    return [F.count(F.lit(1)).alias(ROWS), *counts]


def warnings_about(counts: Mapping[str, int]) -> tuple[str, ...]:
    """Return a warning for each kind of odd text that was found."""
    warnings = [
        f"{name}: {counts[name]} rows have white space or invisible characters at an end of the "
        "id, and another id without them is not the same; etl.clean.trim_ids=true removes them"
        for name in _IDS
        if counts.get(name)
    ]
    if counts.get(NOT_DECODED):
        warnings.append(
            f"{NOT_DECODED}: {counts[NOT_DECODED]} rows have characters that are not in the "
            "character set of the file and became \ufffd; see `encoding` of the input"
        )
    bad = counts.get(BAD_NOT_DECODED)
    if bad:
        warnings.append(
            f"{NOT_DECODED}: {bad} bad rows (quarantined, or of a type that is not used) have "
            "characters that are not in the character set of the file and became \ufffd, in an id "
            "or another column; see `encoding` of the input"
        )
    return tuple(warnings)


def about_encoding(warnings: Sequence[str]) -> tuple[str, ...]:
    """Return the warnings about the character set, if bad rows have characters outside it."""
    if not any(text.startswith(f"{NOT_DECODED}: ") and " bad rows " in text for text in warnings):
        return ()
    return tuple(text for text in warnings if text.startswith((f"{NOT_DECODED}: ", "encoding: ")))
