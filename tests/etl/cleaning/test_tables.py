from pyspark.sql import SparkSession

from etl.cleaning.tables import judge_table
from tests.etl.making import by_line, frame_of

ROW = (
    "item_id string, title string, source_file string, block_start long, line_number long, "
    "redelivered boolean, damaged boolean, broken boolean"
)


def test_of_rows_with_one_id_the_first_with_a_title_stays(spark: SparkSession) -> None:
    rows = [("a", None), ("b", None), ("a", "Anvil"), ("b", " "), ("a", "Axe"), (" ", "Nobody's")]
    frame = frame_of(spark, ROW, *(
        (item, title, "f", 0, line, False, False, False) for line, (item, title) in enumerate(rows)
    ))  # fmt: skip
    repeated = "dropped:duplicate"
    assert by_line(judge_table(frame, "item_id")) == [
        repeated, None, None, repeated, repeated, "quarantined:id_missing",
    ]  # fmt: skip
    untitled = judge_table(frame.drop("title"), "item_id")
    assert by_line(untitled) == [
        None, None, repeated, repeated, repeated, "quarantined:id_missing",
    ]  # fmt: skip
