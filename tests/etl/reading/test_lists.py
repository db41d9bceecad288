from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

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


def test_plain_values_are_not(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.csv", "user,item,tags", "u,i,[new]", "u,i,a", "u,i,b")
    assert check(tmp_path, path, "categorical", format="csv") == []
