"""Lists with reasons, and the table of users without a list, after an erasure."""

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from conf.contract import DataFile, ListsManifest
from conf.erasure.lists_and_models import rebuild_lists
from conf.erasure.rows import Target
from conf.workspace.parquet import describe_parquet

Row = tuple[str, str, str | None, str | None]
MODEL_ROWS: list[Row] = [("a", "model", None, None)] * 2
SHORT: list[Row] = [("b", "model", None, "few_known_items")]
FALLBACK: list[Row] = [("c", "fallback", "no_history", None)] * 2
OTHER: list[Row] = [("d", "fallback", "history_unknown_to_model", "few_known_items")]


def target(*users: str) -> Target:
    cipher = AESGCM(bytes(32))
    return Target(
        frozenset(users), frozenset(users), frozenset(range(2, 2 + len(users))), (cipher,)
    )


def written(folder: Path, name: str, table: pa.Table) -> DataFile:
    folder.mkdir(exist_ok=True)
    pq.write_table(table, folder / name)
    return describe_parquet(folder, folder / name)


def lists_of(folder: Path, absent: Iterable[str]) -> ListsManifest:
    rows = [*MODEL_ROWS, *SHORT, *FALLBACK, *OTHER]
    names = ["user_id", "source", "why_fallback", "why_short"]
    columns = [pa.array(list(c), pa.string()) for c in zip(*rows, strict=True)]
    missing = pa.table({"user_id": list(absent), "why_absent": ["catalogue_exhausted"] * 2})
    return ListsManifest(
        id="l", request="r", logical_date="undated", dataset_id="d", model_id="m",
        config={"score": {"list_length": 2}}, gates={"seen_items": True},
        files={"lists": (written(folder, "part-00000.parquet", pa.table(columns, names=names)),)},
        absent=written(folder, "users_without_lists.parquet", missing),
        counts={"users": 6, "lists": 4, "rows": 6, "model_lists": 2, "model_rows": 3,
                "fallback_lists": 2, "full_lists": 2, "users_without_lists": 2,
                "seen_items": None},
        short_lists={"few_known_items": 2},
        fallbacks={"history_unknown_to_model": 1, "no_history": 1},
        users_without_lists={"catalogue_exhausted": 2},
        figures={"seen_items": None, "short_lists": 4 / 6},
    )  # fmt: skip


def test_counts_and_reasons_are_those_of_the_users_that_are_left(tmp_path: Path) -> None:
    before = lists_of(tmp_path / "l", "ef")
    (tmp_path / "new").mkdir()

    after, removed = rebuild_lists(
        before, tmp_path / "l", tmp_path / "new", target("b", "c", "e"), [False]
    )

    assert removed == {"lists": 3, "users_without_lists": 1}
    assert after.counts == {
        "users": 3, "lists": 2, "rows": 3, "model_lists": 1, "model_rows": 2, "fallback_lists": 1,
        "full_lists": 1, "users_without_lists": 1, "seen_items": None,
    }  # fmt: skip
    assert after.short_lists == {"few_known_items": 1}
    assert after.fallbacks == {"history_unknown_to_model": 1}
    assert after.users_without_lists == {"catalogue_exhausted": 1}
    assert after.figures == before.figures and after.absent is not None
    left = pq.read_table(tmp_path / "new" / after.absent.path).to_pydict()
    assert left == {"user_id": ["f"], "why_absent": ["catalogue_exhausted"]}


def test_the_table_goes_with_its_last_user(tmp_path: Path) -> None:
    before = lists_of(tmp_path / "l", "ef")
    (tmp_path / "new").mkdir()

    after, removed = rebuild_lists(
        before, tmp_path / "l", tmp_path / "new", target("e", "f"), [False]
    )

    assert removed == {"lists": 0, "users_without_lists": 2}
    assert after.absent is None and after.users_without_lists == {}
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["part-00000.parquet"]


def test_the_table_stays_as_it_is_if_nobody_in_it_goes(tmp_path: Path) -> None:
    before = lists_of(tmp_path / "l", "ef")
    (tmp_path / "new").mkdir()

    after, _ = rebuild_lists(before, tmp_path / "l", tmp_path / "new", target("a"), [False])

    assert after.absent == before.absent
    assert (tmp_path / "new" / "users_without_lists.parquet").is_file()


def test_lists_of_items_stay_as_they_are(tmp_path: Path) -> None:
    before = lists_of(tmp_path / "l", "ef")
    rows = pa.table({"item_id": ["i"], "similar_id": ["j"]})
    (tmp_path / "l" / "similar_items").mkdir()
    pq.write_table(rows, tmp_path / "l" / "similar_items" / "part-00000.parquet")
    path = tmp_path / "l" / "similar_items" / "part-00000.parquet"
    files = {**before.files, "similar_items": (describe_parquet(tmp_path / "l", path),)}
    before = before.model_copy(update={"files": files})
    (tmp_path / "new").mkdir()

    after, _ = rebuild_lists(before, tmp_path / "l", tmp_path / "new", target("a"), [False])

    assert after.files["similar_items"] == files["similar_items"]
    assert pq.read_table(tmp_path / "new" / "similar_items" / "part-00000.parquet").equals(rows)
