import random

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from etl.impressions.as_of import DAY, counts_before, feature_names
from tests.etl.making import frame_of

WINDOWS, HALF_LIFE = (1, 7), 3.0


def test_counts_are_those_of_the_days_before(spark: SparkSession) -> None:
    draw = random.Random(3)
    events = [(draw.randrange(4), draw.randrange(100, 130), draw.randrange(2)) for _ in range(200)]
    asked = sorted({(draw.randrange(5), draw.randrange(95, 135)) for _ in range(60)})

    counted = counts_before(
        frame_of(spark, f"item long, {DAY} long", *asked, *asked),
        frame_of(spark, f"item long, {DAY} long, kind int", *events),
        "item",
        prefix="item_",
        kinds={"events": F.lit(True), "buys": F.col("kind") == 1},
        windows_days=WINDOWS,
        half_life_days=HALF_LIFE,
        newest_day=129,
    )
    names = feature_names("item_", ["events", "buys"], WINDOWS)
    found = {(row["item"], row[DAY]): [row[name] for name in names] for row in counted.collect()}

    assert sorted(found) == asked
    for (item, day), row in found.items():
        before = [(at, kind) for key, at, kind in events if key == item and at < day]
        expected = [
            sum(1 for at, kind in before if kind in kinds and at >= day - length)
            for kinds in ((0, 1), (1,))
            for length in (*WINDOWS, 1000)
        ]
        decayed = sum(0.5 ** ((day - at) / HALF_LIFE) for at, _ in before)
        age = day - min((at for at, _ in before), default=day + 1)
        assert row == pytest.approx([*expected, decayed, age], rel=1e-5)
