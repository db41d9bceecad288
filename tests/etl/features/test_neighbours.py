import pytest
from pyspark.sql import SparkSession

from conf.contract import HISTORY_ITEMS, ITEM_IDX, TRAIN_EVENTS
from etl.features.neighbours import find_neighbours
from etl.spark.columns import TRAIN_LENGTH
from tests.etl.making import frame_of


def test_neighbours_stand_near_each_other_in_the_training_part(spark: SparkSession) -> None:
    histories = frame_of(
        spark, f"{HISTORY_ITEMS} array<int>, {TRAIN_LENGTH} int",
        ([2, 3, 4, 9], 3),  # 9 is held out
        ([2, 3, 3, 4], 4),
        ([4, 2, 1], 3),  # 1 is the unknown one
        ([], 0),
    )  # fmt: skip
    items = frame_of(spark, f"{ITEM_IDX} int, {TRAIN_EVENTS} long", (2, 3), (3, 3), (4, 3), (9, 1))

    found = find_neighbours(histories, items, distance=2, min_count=2, per_item=1).collect()

    # Within two places: 2-3 three times (2-3, 2-3, 2-3), 2-4 twice, 3-4 three times.
    assert sorted((row[0], row[1], row[2]) for row in found) == [(2, 3, 3), (3, 2, 3), (4, 3, 3)]
    assert [row[3] for row in found] == pytest.approx([3 * 10 / 9] * 3)
