"""Lists are read whole, and counted against their manifest."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from conf.contract import (
    AUDIENCE,
    AUDIENCES,
    POSITION,
    SCORE,
    SIMILAR_ITEMS,
    TEXTS,
    USER_ID,
)
from conf.errors import VersionError
from conf.workspace.json_files import read_json, write_json
from serving.audiences.merged import AUDIENCE_SCHEMA
from serving.delivery import reading
from serving.delivery.forms import Forms, columns_of
from serving.delivery.reading import Kind, Published, keys_of, num_lists
from serving.publishing.parts import lists_schema
from serving.similar.worker import SIMILAR_SCHEMA
from tests.serving.delivery.shops import config_of, lists_of, table_of, write_lists


def kind_of(workspace: Path, **target: Any) -> Kind:
    there = {"kind": "csv", "path": "out", **target}
    config = config_of(workspace, there=there)
    return Published(workspace, "shop").delivery("there", config.deliver).kinds[0]


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 7, 100])
def test_no_list_is_in_two_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr(reading, "_ROWS_AT_ONCE", rows)
    write_lists(tmp_path, lists_of(9, "a", length=5), parts=2)
    kind = kind_of(tmp_path)
    found = [(table[USER_ID].to_pylist(), lists) for table, lists in kind.counted()]
    users = [set(names) for names, _ in found]
    assert sum(map(len, users)) == sum(lists for _, lists in found) == 9
    assert [name for names, _ in found for name in names] == [
        f"u{user}" for user in range(9) for _ in range(5)
    ]
    assert [name for names in keys_of(kind) for name in names] == [f"u{n}" for n in range(9)]


@pytest.mark.parametrize("count", ["lists", "rows"])
def test_other_counts_than_in_the_manifest_are_told(tmp_path: Path, count: str) -> None:
    version = write_lists(tmp_path, lists_of(4, "a"))
    path = tmp_path / "lists" / version / "lists.json"
    manifest = read_json(path)
    if count == "lists":
        manifest["counts"]["lists"] = 5
    else:
        manifest["files"]["lists"][0]["rows"] = 7
    write_json(path, manifest)
    with pytest.raises(VersionError, match=rf"has \d+ {count} of the kind lists, but its manifest"):
        list(kind_of(tmp_path).counted())


def test_nothing_published_is_told(tmp_path: Path) -> None:
    with pytest.raises(VersionError, match="run headrace score first"):
        Published(tmp_path, "shop")


def test_lists_are_counted_where_their_owner_changes() -> None:
    names = pa.table({"user_id": ["a", "a", "b", "c", "c"]})
    assert [num_lists(names.slice(0, n), "user_id") for n in range(6)] == [0, 1, 1, 2, 3, 3]


def test_csv_tells_a_null_from_an_empty_text() -> None:
    table = table_of({"": ["", "b"]})
    first, second = Forms("lists").csv(table).decode().splitlines()
    assert first.startswith('"",1,"",1,"fallback",,"no_history",,')
    assert '"[{""item_id"":""b-why"",""weight"":0.25}]"' in second


def test_a_score_that_is_not_finite_is_null_in_json() -> None:
    table = table_of({"a": ["x", "y"]})
    place = table.schema.get_field_index("score")
    scores = pa.array([float("nan"), 0.5], pa.float32())
    table = table.set_column(place, table.schema.field(place), scores)
    rows = [json.loads(line) for line in Forms("lists").json_lines(table).splitlines()]
    assert [row["score"] for row in rows] == [None, 0.5]
    ((owner, document),) = Forms("lists").documents(table, "user_id")
    assert (owner, [row["score"] for row in json.loads(document)]) == ("a", [None, 0.5])
    assert "user_id" not in json.loads(document)[0]


def test_targets_have_the_columns_of_the_published_lists() -> None:
    whole = lists_schema(has_channels=True, has_rules=True, has_propensity=True)
    told = {field.name for field in whole} | {TEXTS}
    assert {*columns_of("lists")} == {*columns_of("scenarios.cart")} == told
    assert [*columns_of(SIMILAR_ITEMS)] == SIMILAR_SCHEMA.names
    assert [*columns_of(AUDIENCES)] == [AUDIENCE, POSITION, USER_ID, SCORE]
    assert {*columns_of(AUDIENCES)} == {AUDIENCE, *AUDIENCE_SCHEMA.names}
    for schema, kind in ((whole, "lists"), (SIMILAR_SCHEMA, SIMILAR_ITEMS),
                         (AUDIENCE_SCHEMA, AUDIENCES)):  # fmt: skip
        plain = {field.name: field.type for field in schema if not pa.types.is_nested(field.type)}
        assert plain == {name: columns_of(kind)[name] for name in plain}


def test_columns_that_a_version_lacks_are_null() -> None:
    plain = table_of({"a": ["x"]}).select(["user_id", "position", "item_id", "score", "source"])
    (row,) = (json.loads(line) for line in Forms("lists").json_lines(plain).splitlines())
    assert (row["item_id"], row["reasons"], row["propensity"]) == ("x", None, None)
