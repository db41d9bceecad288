import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import orc

from conf.errors import InputError
from conf.settings.input import EventSource
from etl.reading.sources import check_files
from tests.etl.making import write_lines
from tests.etl.read_rows import COLUMNS, input_files

LISTS = (
    "column tags of {} holds lists, and the encoding {} takes each list as one value; "
    "kind: tags takes the elements"
)


def check(root: Path, path: Path, kind: str, **source: str) -> list[str]:
    log = EventSource(paths=("*",), time_unit="iso", **source)
    columns = {**COLUMNS, "tags": "tags"}
    return check_files(log, input_files(root, path), columns, {"tags": kind})


@pytest.mark.parametrize("kind", ["categorical", "hashed", "numeric", "bucketed"])
def test_a_list_where_one_value_is_expected_is_told(tmp_path: Path, kind: str) -> None:
    pq.write_table(pa.table({"user": ["u"], "item": ["i"], "tags": [["a", "b"]]}),
                   tmp_path / "a.parquet")  # fmt: skip
    lines = write_lines(tmp_path / "a.jsonl", '{"user": "u", "item": "i", "tags": ["a"]}')
    text = write_lines(tmp_path / "a.csv", "user,item,tags", "u,i,\"['a','b']\"", "u,i,")
    for path, form in ((tmp_path / "a.parquet", "parquet"), (lines, "jsonl"), (text, "csv")):
        assert check(tmp_path, path, kind, format=form) == [LISTS.format(path.name, kind)]
        for fits in ("tags", "vector", "text"):
            assert check(tmp_path, path, fits, format=form) == []


def test_objects_are_told(tmp_path: Path) -> None:
    objects = [[{"id": 1}]]
    pq.write_table(
        pa.table({"user": ["u"], "item": ["i"], "tags": objects}), tmp_path / "a.parquet"
    )
    lines = write_lines(tmp_path / "a.jsonl", '{"user": "u", "item": "i", "tags": [{"id": 1}]}')
    for path, form in ((tmp_path / "a.parquet", "parquet"), (lines, "jsonl")):
        (warning,) = check(tmp_path, path, "tags", format=form)
        assert "holds objects, and the encoding tags takes the JSON text of each" in warning


def test_further_elements_of_a_list_that_are_not_read_are_counted(tmp_path: Path) -> None:
    lists = [["a", "b"], ["c"], [], ["d", "e", "f"]]
    lines = [json.dumps({"user": "u", "items": [{"sku": s} for s in skus]}) for skus in lists]
    write_lines(tmp_path / "a.jsonl", *lines, "not json")
    write_lines(tmp_path / "b.jsonl", *lines[:1])
    files = input_files(tmp_path, tmp_path / "a.jsonl", tmp_path / "b.jsonl")
    log = EventSource(paths=("*",), time_unit="iso", format="jsonl")
    columns = {"user_id": "user", "item_id": "items[0].sku", "all": "items"}
    (warning,) = check_files(log, files, columns)
    assert warning.startswith(
        "column items[0].sku reads the first element alone: in a sample of 5 rows, 3 have more"
    )
    write_lines(tmp_path / "a.jsonl", *lines[1:3])
    files = input_files(tmp_path, tmp_path / "a.jsonl")
    assert check_files(log, files, columns) == []


def test_lists_in_typed_files_are_read_whole_or_not_at_all(tmp_path: Path) -> None:
    table = pa.table({"user": ["u"], "items": [[{"sku": "a"}, {"sku": "b"}]], "ids": [["a", "b"]]})
    pq.write_table(table, tmp_path / "a.parquet")
    orc.write_table(table, tmp_path / "a.orc")
    for form in ("parquet", "orc"):
        log = EventSource(paths=("*",), time_unit="iso", format=form)
        files = input_files(tmp_path, tmp_path / f"a.{form}")
        for name in ("items[0].sku", "items.sku", "ids[0]", "ids"):
            with pytest.raises(InputError, match=r"missing; present are|must be text or whole"):
                check_files(log, files, {"user_id": "user", "item_id": name})


def test_plain_values_are_not(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.csv", "user,item,tags", "u,i,[new]", "u,i,a", "u,i,b")
    assert check(tmp_path, path, "categorical", format="csv") == []
