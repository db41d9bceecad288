import random
from collections import defaultdict
from functools import reduce

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from conf.settings.etl import Cancellations
from etl.cleaning.log_rules import mark_cancellations, net_cancellations
from etl.spark.columns import CANCELS, VERDICT
from tests.etl.making import by_line, events_of, frame_of, tuples

BACK = {"value": -1.0}
GONE, DONE, ALONE = "dropped:cancelled", "dropped:cancellation", "dropped:cancellation_unmatched"
BY_VALUE = Cancellations(negative_value=True)


def test_each_mark_alone_marks_a_cancellation(spark: SparkSession) -> None:
    rows = frame_of(
        spark,
        "n int, value double, type_text string, field_invoice string, event_id string",
        (0, 1.0, "buy", "536379", "1"), (1, -1.0, "buy", "536379", "2"),
        (2, 1.0, "refund", "536379", "3"), (3, 1.0, "buy", "C536379", "4"),
        (4, None, None, None, None), (5, 1.0, "buy", "536C379", "C5"),
    )  # fmt: skip
    marks = {
        (1,): BY_VALUE,
        (2,): Cancellations(event_types=("refund",)),
        (3,): Cancellations(id_prefix="C", id_field="invoice"),
        (5,): Cancellations(id_prefix="C"),
    }
    columns = [mark_cancellations(rows, mark).select("n", CANCELS) for mark in marks.values()]
    columns.append(mark_cancellations(rows.drop("type_text"), marks[(2,)], "refund"))
    found: dict[int, list[int]] = defaultdict(list)
    for number, column in enumerate(columns):
        columns[number] = column.where(CANCELS).select("n", F.lit(number).alias("mark"))
    for n, number in tuples(reduce(DataFrame.union, columns), "n", "mark"):
        found[number].append(n)
    assert [tuple(found[number]) for number in range(5)] == [*marks, (0, 1, 2, 3, 4, 5)]


def test_a_cancellation_takes_the_latest_purchase_of_that_quantity_back(
    spark: SparkSession,
) -> None:
    rows = [
        ({"time": 1, "value": 1.0}, None),
        ({"time": 2, "value": 1.0}, GONE),
        ({"time": 3, "value": 2.0}, None),  # another quantity
        ({"time": 3, "value": 1.0, "item_id": "j"}, None),
        ({"time": 3, "value": 1.0, "user_id": "v"}, None),
        ({"time": 3, "value": 1.0, "verdict": "dropped:duplicate"}, "dropped:duplicate"),
        ({"time": 4, **BACK}, DONE),
        ({"time": 5, "value": 1.0}, None),  # after it
        ({"time": 9, "value": 1.0, "item_id": "k"}, GONE),
        ({"time": 9, **BACK, "item_id": "k"}, DONE),  # of the same instant
        ({"time": 1, **BACK, "item_id": "l"}, ALONE),
        ({"time": 2, "value": 1.0, "item_id": "l"}, GONE),
        ({"time": 3, **BACK, "item_id": "l"}, DONE),
        ({"time": 4, **BACK, "item_id": "l"}, ALONE),
    ]
    frame = events_of(spark, *(row for row, _ in rows))
    netted = net_cancellations(mark_cancellations(frame, BY_VALUE), [])
    assert by_line(netted) == [verdict for _, verdict in rows]
    assert netted.columns == frame.columns


def test_only_the_types_that_can_be_cancelled_are(spark: SparkSession) -> None:
    frame = events_of(
        spark, {"time": 1, "event_type": 1, "value": 1.0}, {"time": 2, "value": 1.0},
        {"time": 3, "event_type": None, "value": 1.0},
    )  # fmt: skip
    marked = frame.withColumn(CANCELS, F.col("time") == 3)
    assert by_line(net_cancellations(marked, [1])) == [GONE, None, DONE]
    assert by_line(net_cancellations(marked, [2])) == [None, None, ALONE]


def test_pairs_are_those_that_a_stack_finds(spark: SparkSession) -> None:
    draw = random.Random(11)
    rows = [
        {"user_id": draw.choice("uvw"), "item_id": draw.choice("ab"), "time": time,
         "value": draw.choice([1.0, 2.0, -1.0, -2.0])}
        for time in range(300)
    ]  # fmt: skip
    stacks: dict[tuple[str, str, float], list[int]] = defaultdict(list)
    expected: list[str | None] = [None] * len(rows)
    for number, row in enumerate(rows):
        stack = stacks[row["user_id"], row["item_id"], abs(row["value"])]
        if row["value"] > 0:
            stack.append(number)
        elif stack:
            expected[stack.pop()], expected[number] = GONE, DONE
        else:
            expected[number] = ALONE
    marked = mark_cancellations(events_of(spark, *rows), BY_VALUE)
    assert by_line(net_cancellations(marked, []), VERDICT) == expected
    assert min(expected.count(verdict) for verdict in (None, GONE, DONE, ALONE)) > 20
