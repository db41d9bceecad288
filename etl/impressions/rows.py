"""Assemble impressions: labels, context, history, negatives, counts and encoded fields."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.contract import HISTORY_ITEMS, ITEM_IDX, NUM_RESERVED, UNKNOWN_IDX, USER_IDX
from conf.settings.features import AsOf, Features, Impressions
from etl.features.encoding import Fitted
from etl.features.fitting import fit_all
from etl.features.tables import Encoded, encode_fields, examined, feature_columns
from etl.impressions import as_of
from etl.impressions.events import (
    LABEL,
    add_context,
    add_history,
    add_labels,
    add_period,
    context_features,
    is_positive,
    training_part,
    without_labels,
)
from etl.impressions.negatives import (
    draw_by_popularity,
    draw_from_session,
    draw_uniform,
    drop_known,
)
from etl.spark.columns import (
    DRAW,
    EVENT_TYPE,
    FIELD,
    PERIOD,
    PLACE,
    PROBABILITY,
    SESSION_PLACE,
    TIME,
)
from etl.spark.folders import store
from etl.spark.times import MICROS_PER_DAY

CONTEXT = "context_"  # prefix of the names of encoded event fields
_ROW = "row"  # int64, identifies an impression
ROW_KEYS = (USER_IDX, PLACE, DRAW)


@dataclass(frozen=True)
class NumberedLog:
    """The numbered events, and the facts that are needed to make impressions of them."""

    events: DataFrame
    items: DataFrame
    event_types: tuple[str, ...]
    cuts: tuple[int, int] | None
    is_dated: bool
    is_in_time_order: bool
    """Whether training comes first in time; otherwise a user's targets do not see one another."""
    ties_together: bool
    """Whether no history contains events of its own instant."""
    newest: int
    seed: int


def make_impressions(
    log: NumberedLog,
    spec: Impressions,
    features: Features,
    scratch: Path,
    fitted: Mapping[str, Fitted] | None = None,
) -> Encoded:
    """Return the encoded impressions with PERIOD and ROW_KEYS, before feature selection.

    Args:
        log: The numbered events.
        spec: Labels and negatives.
        features: Counts as of the event and encodings of the events' fields.
        scratch: Folder for intermediate results.
        fitted: Fitted values of an earlier dataset; None to fit them here.
    """
    rows = _positives_and_negatives(log, spec, scratch).withColumn(_ROW, F.xxhash64(*ROW_KEYS))
    rows = store(rows, scratch / "impressions")
    described = [*context_features(log.is_dated, SESSION_PLACE in log.events.columns)]
    if features.as_of is not None:
        for key, prefix in ((ITEM_IDX, "item_"), (USER_IDX, "user_")):
            rows, names = _with_counts(rows, log, key, prefix, features.as_of)
            described += as_of.describe(names)
    if fitted is None:
        logged = F.lit(spec.negatives == "logged") | (F.col(DRAW) == 0)
        fitted = fit_all(training_part(rows).where(logged), features.events.encodings, FIELD)
    rows, encoded = encode_fields(
        rows,
        features.events,
        fitted,
        prefix=CONTEXT,
        key=_ROW,
        scratch=scratch / "vocabularies",
        source_prefix=FIELD,
    )
    described += encoded
    labels = [LABEL + name for name in spec.labels]
    keys = (*ROW_KEYS, PERIOD, ITEM_IDX, *labels, PROBABILITY, TIME, HISTORY_ITEMS)
    columns = feature_columns(described, rows.columns)
    stored = store(rows.select(*keys, *columns), scratch / "encoded-impressions")
    return examined(
        stored,
        training_part(stored).withColumn(_ROW, F.xxhash64(*ROW_KEYS)),
        described,
        keys,
        dict(fitted),
        row_key=_ROW,
        scratch=scratch / "impression-sample",
        also=(ITEM_IDX, USER_IDX, *labels),
    )


def _positives_and_negatives(log: NumberedLog, spec: Impressions, scratch: Path) -> DataFrame:
    """Return one row per USER_IDX, PLACE and DRAW."""
    made = (
        log.events.transform(add_period, log.cuts)
        .transform(
            add_history,
            spec.history_length,
            is_growing=log.is_in_time_order,
            ties_together=log.ties_together,
        )
        .transform(add_labels, spec.labels, log.event_types)
        .transform(add_context, log.is_dated)
        .where(F.col(PERIOD).isNotNull())
    )
    events = store(made, scratch / "impression-events")
    if spec.negatives == "logged":
        return events
    positives = events.where(is_positive(spec.labels) & (F.col(ITEM_IDX) > UNKNOWN_IDX))
    negatives = _draw(positives, events, log, spec).transform(without_labels, spec.labels)
    known = drop_known(negatives.select(events.columns), positives)
    return events.where(is_positive(spec.labels)).unionByName(known)


def _draw(
    positives: DataFrame, events: DataFrame, log: NumberedLog, spec: Impressions
) -> DataFrame:
    each = spec.negatives_per_positive
    if spec.negatives == "session":
        known = events.where(F.col(ITEM_IDX) > UNKNOWN_IDX)
        return draw_from_session(positives, known, each, log.seed)
    if spec.negatives == "uniform":
        return draw_uniform(positives, log.items.count(), each, log.seed)
    training = training_part(events).where(F.col(ITEM_IDX) >= NUM_RESERVED)
    return draw_by_popularity(positives, training, log.items, training.count(), each, log.seed)


def _with_counts(
    rows: DataFrame, log: NumberedLog, key: str, prefix: str, spec: AsOf
) -> tuple[DataFrame, list[str]]:
    """Add the counts of the item or user before the day of each row."""
    dated = rows.withColumn(as_of.DAY, as_of.day_of_time(TIME))
    counts, names = _counts(dated, log, key, prefix, spec)
    return dated.join(counts, [key, as_of.DAY], "left").drop(as_of.DAY), names


def counts_at_end(
    asked: DataFrame, log: NumberedLog, key: str, prefix: str, spec: AsOf
) -> DataFrame:
    """Return the counts on the day after the newest event, for lists that are made then.

    Args:
        asked: `key` of each item or user.
        log: The numbered events.
        key: ITEM_IDX or USER_IDX.
        prefix: Prefix of the features' names.
        spec: `etl.features.as_of`.

    Returns:
        One row per key, with the same columns as impressions have.
    """
    tomorrow = F.lit(log.newest // MICROS_PER_DAY + 1).cast("long")
    counts, names = _counts(asked.select(key, tomorrow.alias(as_of.DAY)), log, key, prefix, spec)
    return counts.select(key, *names)


def _counts(
    dated: DataFrame, log: NumberedLog, key: str, prefix: str, spec: AsOf
) -> tuple[DataFrame, list[str]]:
    """Return the counts of each key before each day in `dated`, and their names."""
    kinds = {"events": F.lit(True)}
    if len(log.event_types) > 1:
        kinds |= {name: F.col(EVENT_TYPE) == n for n, name in enumerate(log.event_types)}
    known = log.events.where(F.col(ITEM_IDX) > UNKNOWN_IDX)
    day = as_of.day_of_time(TIME)
    counts = as_of.counts_before(
        dated,
        known.select(key, EVENT_TYPE, day.alias(as_of.DAY)),
        key,
        prefix=prefix,
        kinds=kinds,
        windows_days=spec.windows_days,
        half_life_days=spec.half_life_days,
        newest_day=log.newest // MICROS_PER_DAY,
    )
    return counts, as_of.feature_names(prefix, list(kinds), spec.windows_days)
