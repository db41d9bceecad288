from typing import Any

import pytest
from pyspark.sql import SparkSession

from etl.impressions.events import add_history
from tests.etl.making import frame_of, tuples

SCHEMA = "user_idx long, place int, draw int, time long, item_idx int, period int"
# Acts at the times 1, 2, 2 and 3; before the second of time 2 an item was shown.
ROWS = [
    (2, 0, 0, 1, 10, 0), (2, 1, 0, 2, 11, 0), (2, 2, 1, 2, 99, 0), (2, 2, 0, 2, 12, 0),
    (2, 3, 0, 3, 13, 0),
]  # fmt: skip


@pytest.mark.parametrize(
    ("length", "together", "expected"),
    [
        (9, False, [[], [10], [10, 11], [10, 11], [10, 11, 12]]),
        (9, True, [[], [10], [10], [10], [10, 11, 12]]),
        (1, False, [[], [10], [11], [11], [12]]),
        (1, True, [[], [10], [10], [10], [12]]),
    ],
)
def test_a_history_can_leave_out_the_rows_own_instant(
    spark: SparkSession, length: int, together: bool, expected: Any
) -> None:
    rows = frame_of(spark, SCHEMA, *ROWS)
    made = add_history(rows, length, is_growing=True, ties_together=together)
    found = tuples(made, "place", "item_idx", "history_item_idx")
    assert [row[2] for row in found] == [expected[0], expected[1], expected[3], expected[2],
                                         expected[4]]  # fmt: skip
