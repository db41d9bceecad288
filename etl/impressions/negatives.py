"""Draw negatives for positive events, each with its sampling probability."""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from conf.contract import ITEM_IDX, NUM_RESERVED, TRAIN_EVENTS, USER_IDX
from etl.spark.columns import DRAW, PERIOD, PLACE, PROBABILITY, SESSION
from etl.spark.shards import rank_by_hash


def draw_uniform(positives: DataFrame, num_items: int, per_positive: int, seed: int) -> DataFrame:
    """Return `per_positive` rows for each positive, with items drawn from the whole catalogue.

    Args:
        positives: One row per USER_IDX and PLACE, with ITEM_IDX; other columns are kept.
        num_items: Number of items in the catalogue, numbered from NUM_RESERVED.
        per_positive: Draws per positive.
        seed: Seed of the draws.

    Returns:
        The rows with a drawn ITEM_IDX, DRAW (from 1) and PROBABILITY. An item may be drawn twice.
    """
    drawn = _drawn(positives, per_positive, seed, num_items)
    return drawn.withColumns(
        {
            ITEM_IDX: (F.col("drawn") + NUM_RESERVED).cast("int"),
            PROBABILITY: F.lit(1 / num_items).cast("float"),
        }
    ).drop("drawn")


def draw_by_popularity(
    positives: DataFrame,
    train_events: DataFrame,
    items: DataFrame,
    num_events: int,
    per_positive: int,
    seed: int,
) -> DataFrame:
    """Like `draw_uniform`, but draw events of the training part uniformly and take their items.

    Args:
        positives: As for `draw_uniform`.
        train_events: USER_IDX, PLACE and ITEM_IDX of the training part's events.
        items: ITEM_IDX and TRAIN_EVENTS.
        num_events: Number of events in the training part.
        per_positive: Draws per positive.
        seed: Seed of the draws.
    """
    ranked = rank_by_hash(train_events.select(USER_IDX, PLACE, ITEM_IDX), [USER_IDX, PLACE], seed)
    numbered = ranked.select(F.col("rank").alias("drawn"), F.col(ITEM_IDX).alias("item"))
    share = (F.col(TRAIN_EVENTS) / F.lit(num_events)).cast("float")
    shares = items.select(F.col(ITEM_IDX).alias("item"), share.alias(PROBABILITY))
    drawn = _drawn(positives, per_positive, seed, num_events).drop(PROBABILITY)
    joined = drawn.join(numbered, "drawn").join(shares, "item")
    return joined.withColumn(ITEM_IDX, F.col("item")).drop("drawn", "item")


def draw_from_session(
    positives: DataFrame, events: DataFrame, per_positive: int, seed: int
) -> DataFrame:
    """Like `draw_uniform`, but draw other items of the same session, each at most once.

    Args:
        positives: As for `draw_uniform`, with SESSION.
        events: USER_IDX, SESSION and ITEM_IDX of all events.
        per_positive: Maximum number of draws per positive.
        seed: Seed of the draws.
    """
    inside = events.select(USER_IDX, SESSION, F.col(ITEM_IDX).alias("item")).distinct()
    joined = positives.join(inside, [USER_IDX, SESSION]).where(F.col("item") != F.col(ITEM_IDX))
    around = Window.partitionBy(USER_IDX, PLACE)
    order = around.orderBy(F.xxhash64(F.lit(seed), USER_IDX, PLACE, "item"), "item")
    share = F.least(F.lit(per_positive) / F.count(F.lit(1)).over(around), F.lit(1.0))
    ranked = joined.withColumns({DRAW: F.row_number().over(order), PROBABILITY: share})
    chosen = ranked.where(F.col(DRAW) <= per_positive)
    return chosen.withColumns(
        {ITEM_IDX: F.col("item"), PROBABILITY: F.col(PROBABILITY).cast("float")}
    ).drop("item")


def drop_known(negatives: DataFrame, positives: DataFrame) -> DataFrame:
    """Drop negatives that are positives of the same user in the same period or an earlier one.

    Items that become positive later are kept: dropping them would leak the future.
    """
    known = positives.groupBy(USER_IDX, ITEM_IDX).agg(F.min(PERIOD).alias("known_from"))
    joined = negatives.join(known, [USER_IDX, ITEM_IDX], "left")
    is_known = F.coalesce(F.col("known_from") <= F.col(PERIOD), F.lit(False))
    return joined.where(~is_known).select(negatives.columns)


def _drawn(positives: DataFrame, per_positive: int, seed: int, upto: int) -> DataFrame:
    draws = F.explode(F.sequence(F.lit(1), F.lit(per_positive)))
    exploded = positives.drop(DRAW).withColumn(DRAW, draws)
    number = F.pmod(F.xxhash64(F.lit(seed), USER_IDX, PLACE, DRAW), F.lit(upto))
    return exploded.withColumn("drawn", number.cast("long"))
