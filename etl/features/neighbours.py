"""Items that occur near each other in the histories of the training part."""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from conf.contract import HISTORY_ITEMS, ITEM_IDX, TRAIN_EVENTS, UNKNOWN_IDX
from etl.spark.columns import TRAIN_LENGTH

ITEM_NEIGHBOURS = "item_neighbours"  # the part of a dataset
NEIGHBOUR_IDX = "neighbour_item_idx"  # int32
TOGETHER = "num_together"  # int64, how often both occurred near each other
LIFT = "lift"  # float, how much more often than by chance


def find_neighbours(
    histories: DataFrame, items: DataFrame, *, distance: int, min_count: int, per_item: int
) -> DataFrame:
    """Return each item's strongest neighbours, one row per pair, in both directions.

    The strength is the cosine of the items' occurrences, count / sqrt(n_a n_b). LIFT is
    count * total / (n_a n_b), which is close to twice the distance for independent items.

    Args:
        histories: Histories as returned by `collect_histories`; only the training part is read.
        items: The vocabulary with its training events.
        distance: Maximum distance, in events, at which two events count as together.
        min_count: Minimum number of times together.
        per_item: Maximum number of neighbours per item.
    """
    train = F.slice(HISTORY_ITEMS, F.lit(1), F.col(TRAIN_LENGTH))
    # The history next to copies of itself, shifted by one place, two places and so on.
    moved = [F.slice(train, place + 1, F.col(TRAIN_LENGTH)) for place in range(distance + 1)]
    names = [ITEM_IDX, *(f"later_{place}" for place in range(1, distance + 1))]
    columns = [column.alias(name) for column, name in zip(moved, names, strict=True)]
    placed = histories.select(*columns).select(F.inline(F.arrays_zip(*names)))
    pairs = placed.select(ITEM_IDX, F.explode(F.array(*names[1:])).alias(NEIGHBOUR_IDX)).where(
        (F.col(ITEM_IDX) > UNKNOWN_IDX)
        & (F.col(NEIGHBOUR_IDX) > UNKNOWN_IDX)
        & (F.col(ITEM_IDX) != F.col(NEIGHBOUR_IDX))
    )
    low, high = F.least(ITEM_IDX, NEIGHBOUR_IDX), F.greatest(ITEM_IDX, NEIGHBOUR_IDX)
    counted = pairs.groupBy(low.alias(ITEM_IDX), high.alias(NEIGHBOUR_IDX)).agg(
        F.count(F.lit(1)).alias(TOGETHER)
    )
    enough = counted.where(F.col(TOGETHER) >= min_count)
    other_way = enough.select(
        F.col(NEIGHBOUR_IDX).alias(ITEM_IDX), F.col(ITEM_IDX).alias(NEIGHBOUR_IDX), TOGETHER
    )
    return _strongest(enough.unionByName(other_way), items, per_item)


def _strongest(pairs: DataFrame, items: DataFrame, per_item: int) -> DataFrame:
    events = items.select(F.col(ITEM_IDX), F.col(TRAIN_EVENTS).alias("n"))
    theirs = events.select(F.col(ITEM_IDX).alias(NEIGHBOUR_IDX), F.col("n").alias("n_neighbour"))
    joined = pairs.join(events, ITEM_IDX).join(theirs, NEIGHBOUR_IDX)
    product = F.col("n") * F.col("n_neighbour")
    cosine = F.col(TOGETHER) / F.sqrt(product)
    order = Window.partitionBy(ITEM_IDX).orderBy(F.col("cosine").desc(), NEIGHBOUR_IDX)
    ranked = joined.withColumn("cosine", cosine).withColumn("rank", F.row_number().over(order))
    total = items.agg(F.sum(TRAIN_EVENTS).alias("total"))
    lift = (F.col(TOGETHER) * F.col("total") / product).cast("float")
    return (
        ranked.where(F.col("rank") <= per_item)
        .crossJoin(F.broadcast(total))
        .select(ITEM_IDX, NEIGHBOUR_IDX, TOGETHER, lift.alias(LIFT))
    )
