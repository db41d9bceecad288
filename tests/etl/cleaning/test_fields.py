from typing import Any

from pyspark.sql import SparkSession

from conf.settings.input import InputField
from etl.cleaning.row_rules import check_fields
from etl.spark.columns import BLANKED, VERDICT
from tests.etl.making import frame_of

TEXTS = [
    None, " ", "7", " 007 ", "1E5", "-0.5", "99999999999999999999", "true", "no", "NaN", "Infinity",
    "2026-03-01T00:00:01Z", "red",
]  # fmt: skip
# For each type the value of each text above; "-" where it is no such thing.
BY_TYPE: dict[str, list[Any]] = {
    "text": TEXTS,
    "integer": [None, None, 7, 7, 100_000, *["-"] * 8],
    "number": [None, None, 7.0, 7.0, 1e5, -0.5, 1e20, *["-"] * 6],
    "boolean": [None, None, *["-"] * 5, True, False, *["-"] * 4],
    "time": [None, None, *["-"] * 9, 1_772_323_201_000_000, "-"],
}


def test_a_field_has_its_type_or_counts_as_wrong(spark: SparkSession) -> None:
    columns = ", ".join(f"{type_} string" for type_ in BY_TYPE)
    rows = frame_of(spark, f"n int, verdict string, {columns}", *(
        (number, None, *[text] * len(BY_TYPE)) for number, text in enumerate(TEXTS)
    ))  # fmt: skip
    fields = {
        type_: InputField.model_validate({"type": type_, "bad": "blank"}) for type_ in BY_TYPE
    }
    checked = check_fields(rows, fields).orderBy("n").collect()
    for type_, expected in BY_TYPE.items():
        wrong = [f"{type_}_unparsable" in (row[BLANKED] or ()) for row in checked]
        found = ["-" if bad else row[type_] for row, bad in zip(checked, wrong, strict=True)]
        assert found == expected, type_
        assert all(row[type_] is None for row, bad in zip(checked, wrong, strict=True) if bad)


def test_ranges_and_lists_hold_at_both_ends(spark: SparkSession) -> None:
    rows = frame_of(
        spark, "n int, age string, kind string, verdict string",
        (0, "0", "a", None), (1, "120", " b ", None), (2, "-1", "a", None), (3, "120.5", "a", None),
        (4, "121", "a", None), (5, "5", "c", None), (6, "", "", None), (7, "121", "c", "dropped:x"),
        (8, "old", "c", None),
    )  # fmt: skip
    fields = {
        "age": InputField(type="integer", minimum=0, maximum=120),
        "kind": InputField(allowed=("a", "b")),
    }
    checked = check_fields(rows, fields).orderBy("n")
    low, kind = "quarantined:age_out_of_range", "quarantined:kind_out_of_range"
    assert [row[0] for row in checked.select(VERDICT).collect()] == [
        None, None, low, "quarantined:age_unparsable", low, kind, None, "dropped:x",
        "quarantined:age_unparsable",
    ]  # fmt: skip
    assert BLANKED not in checked.columns


def test_a_field_that_may_be_blank_takes_no_row_with_it(spark: SparkSession) -> None:
    rows = frame_of(
        spark, "n int, field_age string, field_price string, verdict string",
        (0, "7", "1.5", None), (1, "old", "-1", None), (2, "", "", None), (3, "8", "x", None),
    )  # fmt: skip
    fields = {
        "age": InputField(type="integer", bad="blank"),
        "price": InputField(type="number", minimum=0, bad="blank"),
    }
    checked = check_fields(rows, fields, "field_").orderBy("n").drop("n")
    assert [tuple(row) for row in checked.collect()] == [
        (7, 1.5, None, None),
        (None, None, None, ["age_unparsable", "price_out_of_range"]),
        (None, None, None, None),
        (8, None, None, ["price_unparsable"]),
    ]
