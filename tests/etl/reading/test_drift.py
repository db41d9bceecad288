from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import orc

from conf.errors import InputError
from tests.etl.making import write_lines
from tests.etl.read_rows import COLUMNS, check

EVENT = {**COLUMNS, "time_text": "time", "value_text": "price"}


def write_days(root: Path, *headers: str) -> list[Path]:
    return [
        write_lines(root / f"{number}.csv", header, *([",".join("x" * len(header.split(",")))]))
        for number, header in enumerate(headers, 1)
    ]


def test_files_of_one_shape_give_no_warning(tmp_path: Path) -> None:
    days = write_days(tmp_path, "user,item,time,price", "price,time,item,user")
    assert check(tmp_path, days, EVENT) == []


def test_columns_that_come_and_go_give_a_warning_each(tmp_path: Path) -> None:
    days = write_days(
        tmp_path, "user,item,time", "user,item,time,price", "user,item,time,price,channel",
        "user,item,time", "user,item,time", "user,item,time",
    )  # fmt: skip
    assert check(tmp_path, days, EVENT) == [
        "column price is not in 1.csv, 4.csv, 5.csv and 1 more: null there",
        "column channel, which is not used, is only in 3.csv",
    ]


def test_a_file_that_is_no_table_has_a_short_message(tmp_path: Path) -> None:
    wide = ",".join(f"column{n}" for n in range(9_000))
    days = write_days(tmp_path, wide, "\0" * 2_000, '"' + "x" * 200_000)
    with pytest.raises(InputError) as caught:
        check(tmp_path, days[:2], COLUMNS)
    first, second, _ = str(caught.value).split("\n")
    assert "column29, and 8970 more" in first and len(first) < 500
    assert "\\x00\\x00" in second and len(second) < 500
    with pytest.raises(InputError, match=r"3\.csv: its first line cannot be read as the header"):
        check(tmp_path, days[2:], COLUMNS)


def test_a_needed_column_that_is_gone_is_told_for_each_file(tmp_path: Path) -> None:
    days = write_days(tmp_path, "user,item,time", "user,sku,time", "customer,item,time")
    with pytest.raises(InputError) as caught:
        check(tmp_path, days, {**COLUMNS, "time_text": "time"})
    assert caught.value.exit_code == 3
    first, second, fix = str(caught.value).split("\n")
    assert first == "2.csv: column(s) item missing; present are user, sku, time"
    assert second == "3.csv: column(s) user missing; present are customer, item, time"
    assert fix.startswith("correct the names in the input section")


def test_what_no_file_has_is_a_mistake_and_no_drift(tmp_path: Path) -> None:
    days = write_days(tmp_path, "user,item,time", "user,item,time")
    with pytest.raises(InputError, match=r"1\.csv, 2\.csv: column\(s\) price missing"):
        check(tmp_path, days, EVENT)


def test_a_file_may_hold_one_of_several_names_only(tmp_path: Path) -> None:
    columns = {"user_id": ("user", "customer"), "item_id": "item"}
    assert check(tmp_path, write_days(tmp_path, "user,item", "customer,item"), columns) == []
    with pytest.raises(InputError, match="columns user, customer could each be user_id"):
        check(tmp_path, write_days(tmp_path, "user,customer,item"), columns)
    with pytest.raises(InputError, match=r"column\(s\) user or customer missing"):
        check(tmp_path, write_days(tmp_path, "client,item"), columns)


def test_case_is_passed_over_where_that_is_asked_for_and_clear(tmp_path: Path) -> None:
    assert check(tmp_path, write_days(tmp_path, "USER,Item"), match_case=False) == []
    # The one that is written as asked for is meant.
    assert check(tmp_path, write_days(tmp_path, "user,User,item"), match_case=False) == []
    with pytest.raises(InputError, match="columns User, USER could each be user_id"):
        check(tmp_path, write_days(tmp_path, "User,USER,item"), match_case=False)
    with pytest.raises(InputError, match=r"column\(s\) user missing; present are User, item"):
        check(tmp_path, write_days(tmp_path, "User,item"))


@pytest.mark.parametrize("kind", ["parquet", "orc"])
def test_int_beside_long_beside_text_is_read_with_a_warning(tmp_path: Path, kind: str) -> None:
    write = pq.write_table if kind == "parquet" else orc.write_table
    users = (pa.array([7], pa.int32()), pa.array([7], pa.int64()), pa.array(["7"]))
    paths = [tmp_path / f"{number}.{kind}" for number in (1, 2, 3)]
    for path, user in zip(paths, users, strict=True):
        write(pa.table({"user": user, "item": ["a"]}), path)
    assert check(tmp_path, paths, format=kind) == [
        f"column user is int32 in 1.{kind}, int64 in 2.{kind}, string in 3.{kind}: read as text"
    ]


UNREADABLE: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "float as id": (
        {"user": [7.0]}, {},
        r"a\.parquet: column user is double, but user_id must be text or whole numbers",
    ),
    "list as id": ({"item": [["a"]]}, {}, r"column item is list<.*item_id must be text"),
    "number as iso time": ({"time": [1772368496]}, {}, "time is int64.*because time_unit is iso"),
    "time as seconds": (
        {"time": pa.array([0], pa.timestamp("us"))}, {"time_unit": "seconds"},
        r"time is timestamp\[us\].*a number or text, because time_unit is not iso",
    ),
    "object as value": ({"price": [{"eur": 1}]}, {}, "price is struct.*must be a number"),
}  # fmt: skip


@pytest.mark.parametrize("case", UNREADABLE)
def test_a_type_that_cannot_be_what_the_column_is_stops_the_run(case: str, tmp_path: Path) -> None:
    changed, source, message = UNREADABLE[case]
    row = {
        "user": [7],
        "item": ["a"],
        "time": ["2026-03-01"],
        "price": [Decimal("1.50")],
        **changed,
    }
    pq.write_table(pa.table(row), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=message):
        check(tmp_path, [tmp_path / "a.parquet"], EVENT, format="parquet", **source)


def test_json_keys_are_looked_for_within_objects_and_among_the_first_lines(tmp_path: Path) -> None:
    one = write_lines(
        tmp_path / "1.jsonl", '{"user": {"id": 1}, "items": [{"sku": "a"}], "price": 2}'
    )
    two = write_lines(
        tmp_path / "2.jsonl", '{"user": {"id": 1}, "items": [{"sku": "a"}]}', "broken"
    )
    only_broken = write_lines(tmp_path / "3.jsonl", "{")
    columns = {"user_id": "user.id", "item_id": "items[0].sku", "value_text": "price"}
    assert check(tmp_path, [one, two, only_broken], columns, format="jsonl") == [
        "column price is not in 2.jsonl among the first 100 lines: null there"
    ]
    with pytest.raises(
        InputError, match=r"user\.name missing; present are user, items, .*user\.id"
    ):
        check(tmp_path, [one], {**columns, "user_id": "user.name"}, format="jsonl")
