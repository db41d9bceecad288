from pyspark.sql import SparkSession

from etl.spark.texts import normalise_ids
from tests.etl.making import frame_of

PAIRS = [
    (None, None), ("", ""), ("007", "007"), ("x" * 300, "x" * 300), ("../x", "../x"),
    ("=1+1", "=1+1"), ("\U0001f600", "\U0001f600"),
    ("cafe\u0301", "caf\u00e9"), ("caf\u00e9", "caf\u00e9"), ("A\u030a\u0301", "\u01fa"),
    ("\u1100\u1161", "\uac00"),
    ("\ufb01", "\ufb01"), ("\u2460", "\u2460"),  # of another form, NFKC
]  # fmt: skip


def test_accents_are_composed_and_nothing_else_changes(spark: SparkSession) -> None:
    rows = frame_of(spark, "n int, id string, raw string", *(
        (number, raw, raw) for number, (raw, _) in enumerate(PAIRS)
    ))  # fmt: skip
    normal = normalise_ids(rows, ["id"]).orderBy("n").collect()
    assert [(row["raw"], row["id"]) for row in normal] == PAIRS
