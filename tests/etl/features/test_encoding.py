import math
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from pydantic import TypeAdapter
from pyspark.sql import SparkSession

from conf.settings.features import Encoding
from etl.features.encoding import cross, describe, encode
from etl.features.fitting import fit_all
from tests.etl.making import frame_of

TRAIN = [
    (1, "red", "1", "a|b", "Red shoe", "[1, 2]"),
    (2, "red", "2", "b", "BLUE shoe", "[0.5, -1]"),
    (3, "blue", "3", "b|c", None, None),
    (4, "blue", "10", None, "", "[3, 4]"),
    (5, "green", None, "", "x", "[5, 6]"),
    (6, None, "oops", "c", "y", "[7, 8]"),
]
LATER = [
    (7, "violet", "2.5", "z|a", "shoe", "[1]"),
    (8, " ", "-5", "b|z|b", "Café 7", "[1, null]"),
    (9, "blue", "1e3", "b", "a b c", "[9, 9]"),
]
SCHEMA = "id int, colour string, price string, tags string, name string, vector string"


def encoded(
    spark: SparkSession, field: str, **encoding: Any
) -> tuple[dict[int, tuple[Any, ...]], dict[str, Any], Any]:
    """Fit on the first rows, encode all; return the columns by id."""
    how: Any = TypeAdapter(Encoding).validate_python(encoding)
    fitted = fit_all(frame_of(spark, SCHEMA, *TRAIN), {field: how})[field]
    rows = frame_of(spark, SCHEMA, *TRAIN, *LATER)
    with TemporaryDirectory() as scratch:
        new = encode(rows, field, "f", how, fitted, key="id", scratch=Path(scratch))
        columns = [name for name in new.columns if name not in rows.columns]
        found = {row[0]: tuple(row[1:]) for row in new.select("id", *columns).collect()}
    return found, fitted, describe("f", how, fitted)


def test_a_vocabulary_is_by_frequency_and_others_share_numbers(spark: SparkSession) -> None:
    found, fitted, feature = encoded(spark, "colour", kind="categorical", min_count=2)

    assert fitted == {"values": ["blue", "red"]}  # both twice: in the order of bytes
    numbers = {row: values[0] for row, values in found.items()}
    # 0 for none, 1 for others, then the vocabulary.
    assert numbers == {1: 3, 2: 3, 3: 2, 4: 2, 5: 1, 6: 0, 7: 1, 8: 0, 9: 2}
    assert (feature.kind, feature.cardinality) == ("categorical", 4)


def test_values_out_of_the_vocabulary_are_spread_over_their_buckets(spark: SparkSession) -> None:
    found, _, feature = encoded(spark, "colour", kind="categorical", max_size=1, oov_buckets=50)

    assert found[3] == (51,)  # blue, the one that is known
    others = {found[row][0] for row in (1, 5, 7)}
    assert len(others) == 3 and all(1 <= number <= 50 for number in others)
    assert found[1] == found[2] and feature.cardinality == 52


def test_numbers_are_scaled_by_the_training_part_alone(spark: SparkSession) -> None:
    found, fitted, feature = encoded(spark, "price", kind="numeric", scale="standard")

    deviation = math.sqrt(((1 - 4) ** 2 + (2 - 4) ** 2 + (3 - 4) ** 2 + (10 - 4) ** 2) / 4)
    assert fitted == {"mean": 4.0, "deviation": pytest.approx(deviation, rel=1e-6)}
    assert found[4] == (pytest.approx(6 / deviation, rel=1e-6), 1)
    assert found[9] == (pytest.approx(996 / deviation, rel=1e-6), 1)
    assert found[5] == found[6] == (0.0, 0)  # none, and no number
    assert (feature.kind, feature.cardinality) == ("numeric", None)


def test_logarithms_keep_the_sign(spark: SparkSession) -> None:
    found, fitted, _ = encoded(spark, "price", kind="numeric", scale="log_standard")

    logs = [math.log1p(x) for x in (1, 2, 3, 10)]
    mean = sum(logs) / 4
    deviation = math.sqrt(sum((x - mean) ** 2 for x in logs) / 4)
    assert found[8][0] == pytest.approx((-math.log1p(5) - mean) / deviation, rel=1e-5)
    assert fitted["mean"] == pytest.approx(mean, rel=1e-6)


def test_buckets_have_equal_shares_of_the_training_part(spark: SparkSession) -> None:
    found, fitted, feature = encoded(spark, "price", kind="bucketed", buckets=2)

    assert fitted == {"bounds": [2.5]}  # the median of 1, 2, 3 and 10
    numbers = {row: values[0] for row, values in found.items()}
    assert numbers == {1: 2, 2: 2, 3: 3, 4: 3, 5: 0, 6: 1, 7: 3, 8: 2, 9: 3}
    assert feature.cardinality == 4


def test_tags_become_a_list_in_their_order(spark: SparkSession) -> None:
    found, fitted, feature = encoded(spark, "tags", kind="tags")

    assert fitted == {"values": ["b", "c", "a"]}
    lists = {row: values[0] for row, values in found.items()}
    assert lists == {
        1: [4, 2], 2: [2], 3: [2, 3], 4: [], 5: [], 6: [3], 7: [1, 4], 8: [2, 1, 2], 9: [2],
    }  # fmt: skip
    assert (feature.kind, feature.cardinality) == ("tags", 5)


def test_words_are_hashed_without_regard_to_case(spark: SparkSession) -> None:
    found, _, feature = encoded(spark, "name", kind="text", hash_buckets=1 << 20, max_words=2)

    words = {row: values[0] for row, values in found.items()}
    assert words[1][1] == words[2][1] == words[7][0]  # shoe
    assert words[1][0] != words[2][0]
    assert words[3] == words[4] == [] and len(words[8]) == len(words[9]) == 2
    assert feature.cardinality == (1 << 20) + 1


def test_vectors_stand_beside_a_mask(spark: SparkSession) -> None:
    found, _, feature = encoded(spark, "vector", kind="vector", dimension=2)

    assert found[2] == ([0.5, -1.0], 1)
    assert found[3] == found[7] == found[8] == ([0.0, 0.0], 0)  # none, too short, a null in it
    assert (feature.kind, feature.dimension) == ("vector", 2)


def test_a_hash_and_a_cross_depend_on_the_values_alone(spark: SparkSession) -> None:
    found, _, feature = encoded(spark, "colour", kind="hashed", hash_buckets=1000)
    assert found[1] == found[2] != found[3] == found[4]
    assert found[6] == (0,) and feature.cardinality == 1001

    rows = frame_of(spark, "a int, b int", (1, 2), (1, 2), (2, 1))
    crossed = [row["c"] for row in cross(rows, ["a", "b"], "c", 1 << 30).collect()]
    assert crossed[0] == crossed[1] != crossed[2]


def test_fields_named_like_columns_on_the_way_stay_what_they_are(
    spark: SparkSession, tmp_path: Path
) -> None:
    how: Any = TypeAdapter(Encoding).validate_python({"kind": "categorical"})
    rows = frame_of(spark, "id int, value string, number string, known string",
                    (1, "a", "x", "p"), (2, "b", "x", "q"), (3, "b", "y", "q"))  # fmt: skip
    fields = ("value", "number", "known")
    fitted = fit_all(rows, dict.fromkeys(fields, how))
    for field in fields:
        rows = encode(rows, field, f"f_{field}", how, fitted[field], key="id", scratch=tmp_path)

    columns = ("value", "number", "known", "f_value", "f_number", "f_known")
    found = {row["id"]: [row[name] for name in columns] for row in rows.collect()}
    assert found == {1: ["a", "x", "p", 3, 2, 3], 2: ["b", "x", "q", 2, 2, 2],
                     3: ["b", "y", "q", 2, 3, 2]}  # fmt: skip
