from pathlib import Path
from typing import Any

import fastavro
import pytest

from conf.errors import InputError
from etl.reading.layout import read_avro_schema
from tests.etl.read_rows import check


def write_header(path: Path, schema: Any) -> Path:
    with path.open("wb") as stream:
        fastavro.writer(stream, schema, [])
    return path


def record(**fields: Any) -> dict[str, Any]:
    listed = [{"name": name, "type": type_} for name, type_ in fields.items()]
    return {"type": "record", "name": "event", "fields": listed}


def test_the_columns_of_an_avro_file_stand_in_its_header(tmp_path: Path) -> None:
    moment = {"type": "long", "logicalType": "timestamp-micros"}
    schema = record(
        user=["null", "long"], item="string", time=moment,
        more={**record(a="int"), "name": "more"}, tags={"type": "array", "items": "string"},
        kind={"type": "enum", "name": "kind", "symbols": ["view"]}, odd=["int", "string"],
    )  # fmt: skip
    found = read_avro_schema(write_header(tmp_path / "a.avro", schema))
    assert [str(field.type) for field in found] == [
        "int64", "string", "timestamp[us, tz=UTC]", "struct<a: int32>", "list<item: string>",
        "string", "struct<>",
    ]  # fmt: skip
    assert found.names == ["user", "item", "time", "more", "tags", "kind", "odd"]


def test_avro_files_are_checked_as_all_others(tmp_path: Path) -> None:
    good = write_header(tmp_path / "a.avro", record(user="long", item="string"))
    bad = write_header(tmp_path / "b.avro", record(user="double"))
    with pytest.raises(InputError) as caught:
        check(tmp_path, [good, bad], format="avro")
    assert "b.avro: column(s) item missing; present are user" in str(caught.value)
    assert "b.avro: column user is double" in str(caught.value)
    cut = tmp_path / "c.avro"
    cut.write_bytes(good.read_bytes()[:30])
    with pytest.raises(InputError, match=r"c\.avro is not a readable avro file"):
        check(tmp_path, [cut], format="avro")
