import json

import pytest
from pyspark.sql import SparkSession

from conf.errors import InputError
from conf.settings.input import Fill, InputField
from etl.features import fill
from etl.features.fill import apply_fills, fit_fills, was_missing
from tests.etl.making import frame_of

FIELDS = {
    "price": InputField(type="number", fill=Fill(kind="median", group_by="kind")),
    "stock": InputField(type="integer", fill=Fill(kind="median")),
    "brand": InputField(fill=Fill(kind="mode")),
    "kind": InputField(fill=Fill(kind="constant", value="none")),
    "empty": InputField(type="integer", fill=Fill(kind="mode", group_by="kind")),
    "title": InputField(),
}
SCHEMA = "n int, price double, stock long, brand string, kind string, empty long, title string"
ROWS = [
    (0, 1.0, 4, "x", "a", None, "t"), (1, 3.0, 6, "y", "a", None, None),
    (2, 9.0, 9, "y", "a", None, ""),
    (3, 5.0, 2, "x", "b", None, "t"), (4, None, None, None, "b", None, "t"),
    (5, None, None, " ", "a", None, "t"), (6, None, None, "z", "c", None, "t"),
    (7, 7.0, None, "x", "", None, "t"),
]  # fmt: skip


def test_missing_values_are_filled_by_group_with_a_column_that_tells(spark: SparkSession) -> None:
    fitted = fit_fills(frame_of(spark, SCHEMA, *ROWS), FIELDS)
    assert fitted == {
        # Of 1, 3, 9 of kind a the 3; of all five, 1 3 5 7 9, the 5. An empty kind is a kind.
        "price": {"value": 5.0, "groups": {"": 7.0, "a": 3.0, "b": 5.0}},
        "stock": {"value": 4, "groups": {}},  # the lower one of 4 and 6
        "brand": {"value": "x", "groups": {}},
        "kind": {"value": "none", "groups": {}},
        "empty": {"value": None, "groups": {}},
    }
    new = frame_of(spark, SCHEMA, *ROWS[4:], (8, None, 1, "w", None, 1, None))
    filled = apply_fills(new, FIELDS, json.loads(json.dumps(fitted))).orderBy("n")
    columns = ("n", "price", "stock", "brand", "kind", "empty", "title")
    assert [tuple(row) for row in filled.select(*columns).collect()] == [
        (4, 5.0, 4, "x", "b", None, "t"), (5, 3.0, 4, "x", "a", None, "t"),
        (6, 5.0, 4, "z", "c", None, "t"), (7, 7.0, 4, "x", "none", None, "t"),
        (8, 5.0, 1, "w", "none", 1, None),
    ]  # fmt: skip
    marked = [was_missing(name) for name, field in FIELDS.items() if field.fill is not None]
    assert [tuple(row) for row in filled.select(*marked).collect()] == [
        (True, True, True, False, True), (True, True, True, False, True),
        (True, True, False, False, True), (False, True, False, True, True),
        (True, False, False, True, False),
    ]  # fmt: skip


def test_two_modes_give_the_smaller_one(spark: SparkSession) -> None:
    rows = frame_of(spark, "flag boolean, kind string", *[(True, "a"), (False, "a"), (True, "b")])
    field = InputField(type="boolean", fill=Fill(kind="mode", group_by="kind"))
    assert fit_fills(rows, {"flag": field, "kind": InputField()}) == {
        "flag": {"value": True, "groups": {"a": False, "b": True}}
    }


def test_a_field_with_too_many_values_does_not_group(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fill, "_MAX_GROUPS", 3)
    rows = frame_of(spark, "price double, kind string", *((1.0, kind) for kind in "abcd"))
    with pytest.raises(InputError, match=r"group_by='kind' has more than 3 values"):
        fit_fills(rows, {"price": FIELDS["price"], "kind": InputField()})
