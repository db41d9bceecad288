from collections import Counter
from random import Random

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from conf.settings.privacy import ColumnRule
from etl.privacy.anonymity import COARSER, anonymise, drop_items_of_few, measure
from tests.etl.making import frame_of, tuples

AGE = {"age": ColumnRule(method="generalise", step=10)}
SCHEMA = "user_id string, age string, region string, verdict string"


def test_a_rare_combination_is_made_coarser_and_at_last_emptied(spark: SparkSession) -> None:
    rows = [
        *((f"a{n}", str(30 + n), "north", None) for n in range(3)),  # 30-39 north: three
        ("b0", "41", "north", None), ("b1", "55", "north", None),  # with steps of 20, together
        ("b2", "47", "north", None),
        ("c0", "90", "south", None), ("c1", "91", "south", None),  # two, whatever the age
        ("d0", None, None, None),
        *((f"x{n}", "90", "south", "dropped:duplicate") for n in range(9)),  # count for nobody
    ]  # fmt: skip
    frame = anonymise(frame_of(spark, SCHEMA, *rows), ["age", "region"], AGE, 3)
    kept = frame.where("verdict is null")

    found = {row[0]: row[1:] for row in tuples(kept, "user_id", "age", "region", COARSER)}
    assert found == {
        **{f"a{n}": ("30-39", "north", 0) for n in range(3)},
        **{f"b{n}": ("40-59", "north", 1) for n in range(3)},
        # Bands of 20, 40, 80, then the region goes, then the age.
        "c0": (None, None, 5), "c1": (None, None, 5),
        "d0": (None, None, 0),
    }  # fmt: skip
    assert measure(kept, ["age", "region"]) == (3, 3, 2)


def test_whatever_the_users_are_k_is_reached(spark: SparkSession) -> None:
    draw = Random(3)
    rows = [
        (f"u{n}", str(int(draw.gauss(40, 20))), draw.choice("nnnnnnsse"), None) for n in range(300)
    ]
    frame = anonymise(frame_of(spark, SCHEMA, *rows), ["age", "region"], AGE, 7).cache()
    groups = Counter((age, region) for _, age, region in tuples(frame, "user_id", "age", "region"))
    told = {group: users for group, users in groups.items() if group != (None, None)}
    reached = measure(frame, ["age", "region"])
    assert reached.k == min(told.values()) >= 7
    assert reached.rows_suppressed == groups[(None, None)]
    assert 0 < reached.rows_generalised < 300
    assert groups.total() == 300


def test_items_of_few_users_are_dropped(spark: SparkSession) -> None:
    rows = [
        ("u", "shared", None), ("v", "shared", None), ("v", "shared", None),
        ("u", "alone", None), ("u", "alone", None), ("v", "alone", "dropped:bot"),
    ]  # fmt: skip
    frame = frame_of(spark, "user_id string, item_id string, verdict string", *rows)
    judged = drop_items_of_few(frame, 2, F.lit(True))
    assert tuples(judged, "item_id", "verdict") == [
        ("alone", "dropped:bot"), *[("alone", "dropped:item_of_few_users")] * 2,
        *[("shared", None)] * 3,
    ]  # fmt: skip
