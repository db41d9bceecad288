from collections import Counter

import pytest
from pyspark.sql import DataFrame, SparkSession

from conf.contract import ITEM_IDX, TRAIN_EVENTS, USER_IDX
from etl.impressions.negatives import (
    draw_by_popularity,
    draw_from_session,
    draw_uniform,
    drop_known,
)
from etl.spark.columns import DRAW, PERIOD, PLACE, PROBABILITY, SESSION
from tests.etl.making import frame_of

SCHEMA = f"{USER_IDX} long, {PLACE} int, {ITEM_IDX} int, {SESSION} long, {PERIOD} int"


def log(spark: SparkSession) -> DataFrame:
    """One user of 400 events: item 2 is in half of them, 3 in a quarter, 4 and 5 in an eighth."""
    items = [2, 2, 2, 2, 3, 3, 4, 5] * 50
    return frame_of(spark, SCHEMA, *((7, n, item, n // 8, 0) for n, item in enumerate(items)))


def test_uniform_draws_take_every_item_alike(spark: SparkSession) -> None:
    rows = draw_uniform(log(spark), 4, 10, seed=1).collect()

    counts = Counter(row[ITEM_IDX] for row in rows)
    assert sorted(counts) == [2, 3, 4, 5] and sum(counts.values()) == 4000
    assert all(abs(count - 1000) < 120 for count in counts.values())  # four deviations
    assert {row[PROBABILITY] for row in rows} == {0.25}
    assert {row[DRAW] for row in rows} == set(range(1, 11))


def test_draws_by_popularity_follow_the_training_events(spark: SparkSession) -> None:
    items = frame_of(spark, f"{ITEM_IDX} int, {TRAIN_EVENTS} long", (2, 200), (3, 100), (4, 50),
                     (5, 50))  # fmt: skip
    rows = draw_by_popularity(log(spark), log(spark), items, 400, 10, seed=1).collect()

    counts = Counter(row[ITEM_IDX] for row in rows)
    expected = {2: 2000, 3: 1000, 4: 500, 5: 500}
    assert all(abs(counts[item] - wanted) < 130 for item, wanted in expected.items())
    shares = {(row[ITEM_IDX], row[PROBABILITY]) for row in rows}
    assert shares == {(2, 0.5), (3, 0.25), (4, 0.125), (5, 0.125)}


def test_draws_from_the_session_are_its_other_items(spark: SparkSession) -> None:
    positives = frame_of(spark, SCHEMA, (1, 0, 2, 0, 0), (1, 5, 9, 1, 0), (2, 0, 2, 0, 0))
    events = frame_of(
        spark, SCHEMA, (1, 0, 2, 0, 0), (1, 1, 3, 0, 0), (1, 2, 4, 0, 0), (1, 3, 4, 0, 0),
        (1, 4, 5, 0, 0), (1, 5, 9, 1, 0), (2, 0, 2, 0, 0), (2, 1, 8, 0, 0),
    )  # fmt: skip
    rows = draw_from_session(positives, events, 2, seed=1).collect()

    first = [row for row in rows if row[USER_IDX] == 1]
    assert len(first) == 2 and {row[ITEM_IDX] for row in first} < {3, 4, 5}
    assert [row[PROBABILITY] for row in first] == pytest.approx([2 / 3] * 2)
    (second,) = [row for row in rows if row[USER_IDX] == 2]
    assert (second[ITEM_IDX], second[PROBABILITY], second[DRAW]) == (8, 1.0, 1)


def test_negatives_that_are_positives_later_stay(spark: SparkSession) -> None:
    positives = frame_of(spark, SCHEMA, (1, 0, 2, 0, 0), (1, 1, 3, 0, 1))
    negatives = frame_of(
        spark, SCHEMA, (1, 0, 2, 0, 0), (1, 0, 3, 0, 0), (1, 1, 2, 0, 1), (1, 1, 3, 0, 1),
        (2, 0, 2, 0, 0),
    )  # fmt: skip
    left = drop_known(negatives, positives)

    assert sorted((row[USER_IDX], row[ITEM_IDX], row[PERIOD]) for row in left.collect()) == [
        (1, 3, 0), (2, 2, 0),
    ]  # fmt: skip
