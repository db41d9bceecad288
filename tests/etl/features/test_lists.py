"""Fields that hold lists: one tag per element, whatever the file."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import orc
from pyspark.sql import SparkSession

from conf.settings.features import Tags, Text
from etl.features.encoding import encode, tags_of
from etl.features.fitting import fit_all
from etl.spark.texts import as_vector
from tests.etl.making import HEADER, config_for, frame_of, make, read_part, write_lines

START = 1_772_323_200  # 2026-03-01T00:00:00Z
TAGS = [
    ('["red","wool"]', ["red", "wool"]),
    ("['a','b']", ["a", "b"]),
    ("['a', None, \"it's\"]", ["a", "it's"]),
    ("['red' 'wool']", ["red", "wool"]),  # as NumPy prints an array
    ("[red, wool]", ["red", "wool"]),
    ("[]", []),
    (" [ ] ", []),
    ('["", " ", null]', []),
    ("[1, 2.5]", ["1", "2.5"]),
    ('[["a","b"],["c"],[]]', ["a", "b", "c"]),
    ('["a|b"]', ["a|b"]),
    ('["[new]"]', ["[new]"]),
    ('["caf\\u00e9", " tea "]', ["caf\u00e9", "tea"]),
    ('[{"id":1}]', ['{"id":1}']),
    ("[new]|[sale]", ["[new]", "[sale]"]),
    ("[None]", []),
    ("a|b| ", ["a", "b"]),
    ("10| 21 |2", ["10", "21", "2"]),
    ("", []),
    (None, None),
]


def test_a_list_gives_one_tag_an_element(spark: SparkSession) -> None:
    rows = frame_of(spark, "n int, t string", *((n, text) for n, (text, _) in enumerate(TAGS)))
    found = rows.select("n", tags_of("t", Tags(kind="tags"))).orderBy("n").collect()
    assert [row[1] for row in found] == [tags for _, tags in TAGS]


def test_words_of_a_list_are_those_of_its_elements(spark: SparkSession, tmp_path: Path) -> None:
    how = Text(kind="text", hash_buckets=1 << 20)
    rows = frame_of(spark, "n int, t string", (1, '["red\\nwool", null, "tea"]'),
                    (2, "red wool tea"))  # fmt: skip
    fitted = fit_all(rows, {"t": how})["t"]
    both = encode(rows, "t", "f", how, fitted, key="n", scratch=tmp_path).orderBy("n").collect()
    assert both[0]["f"] == both[1]["f"] and len(both[0]["f"]) == 3


def test_a_vector_is_a_vector(spark: SparkSession) -> None:
    rows = frame_of(spark, "t string", ("[0.5, -1]",))
    assert rows.select(as_vector("t", 2)).collect()[0][0] == [0.5, -1.0]


ITEMS = {"i0": ["red", "wool"], "i1": [], "i2": ["wool", "tea"], "i3": None}


def write_table(root: Path, kind: str) -> dict[str, Any]:
    path = root / f"items.{kind}"
    table = pa.table({"id": list(ITEMS), "tags": pa.array(ITEMS.values(), pa.list_(pa.string()))})
    if kind == "parquet":
        pq.write_table(table, path)
    elif kind == "orc":
        orc.write_table(table, path)
    elif kind == "jsonl":
        path.write_text("\n".join(json.dumps({"id": i, "tags": t}) for i, t in ITEMS.items()))
    else:
        texts = {i: "" if t is None else f'"{t}"' for i, t in ITEMS.items()}
        write_lines(path, "id,tags", *(f"{i},{text}" for i, text in texts.items()))
    return {"paths": [path.name], "format": "csv" if kind == "txt" else kind, "id_column": "id",
            "fields": {"tags": {}}}  # fmt: skip


@pytest.mark.usefixtures("spark")
@pytest.mark.parametrize(
    "kind",
    ["parquet", *(pytest.param(one, marks=pytest.mark.slow) for one in ("jsonl", "orc", "txt"))],
)
def test_tags_of_a_table_are_the_same_whatever_the_file(tmp_path: Path, kind: str) -> None:
    write_lines(tmp_path / "log.csv", HEADER,
                *(f"u{n % 3},i{n % 4},{START + n}" for n in range(40)))  # fmt: skip
    encodings = {"tags": {"kind": "tags"}}
    config = config_for(tmp_path, items=write_table(tmp_path, kind),
                        etl={"features": {"items": {"encodings": encodings}}})  # fmt: skip
    manifest, folder = make(config)

    values = json.loads((folder / "encoders/item_features.json").read_text())["tags"]["values"]
    assert values == ["wool", "red", "tea"]
    rows = {row["item_idx"]: row["item_tags"] for row in read_part(folder, "item_features")}
    ids = {row["item_id"]: row["item_idx"] for row in read_part(folder, "items")}
    assert {i: rows[ids[i]] for i in ITEMS} == {"i0": [3, 2], "i1": [], "i2": [2, 4], "i3": []}
    assert manifest.ledger["items"].warnings == ()
