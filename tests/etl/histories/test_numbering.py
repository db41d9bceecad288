import hashlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from etl.histories.numbering import describe_vocabulary, number_items, number_users
from tests.etl.making import frame_of, tuples


def test_items_are_numbered_by_their_frequency_in_train_alone(spark: SparkSession) -> None:
    rows = [("b", "train"), ("a", "train"), ("c", "train"), ("c", "train"), ("a", "valid"),
            ("a", "test"), ("new", "test"), ("é", "train"), ("Z", "train")]  # fmt: skip
    frame = frame_of(spark, "item_id string, part string", *rows).withColumn("draw", F.lit(0))
    items = number_items(frame)
    assert tuples(items, "item_idx", "item_id", "train_events") == [
        (2, "c", 2), (3, "Z", 1), (4, "a", 1), (5, "b", 1), (6, "é", 1),
    ]  # fmt: skip


def test_users_without_a_history_are_numbered_but_no_bots(spark: SparkSession) -> None:
    judged = frame_of(
        spark, "user_id string, verdict string",
        ("kept", None), ("kept", "dropped:duplicate"), ("looks", "dropped:event_type_not_used"),
        ("low", "dropped:below_threshold"), ("bot", "dropped:bot"),
        ("bot", "dropped:event_type_not_used"), ("later", "dropped:after_logical_date"),
        ("wrong", "quarantined:time_unparsable"),
    )  # fmt: skip
    table = frame_of(spark, "user_id string", ("kept",), ("silent",))
    numbered = tuples(number_users(judged, table), "user_idx", "user_id")
    assert {user for _, user in numbered} == {"kept", "looks", "low", "silent"}
    assert [number for number, _ in numbered] == [2, 3, 4, 5]


def test_the_fingerprint_is_that_of_the_ids_in_their_order(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"item_id": ["a", "bc"], "item_idx": [2, 3]}), tmp_path / "part-00000.parquet"
    )
    pq.write_table(
        pa.table({"item_id": ["ab", "c"], "item_idx": [4, 6]}), tmp_path / "part-00001.parquet"
    )
    vocabulary = describe_vocabulary(tmp_path, "item_id", "item_idx")
    lengths = [1, 2, 2, 1]
    texts = [b"a", b"bc", b"ab", b"c"]
    expected = b"".join(
        n.to_bytes(8, "little") + text for n, text in zip(lengths, texts, strict=True)
    )
    assert vocabulary.size == 7  # 5 is free
    assert vocabulary.fingerprint == hashlib.sha256(expected).hexdigest()
