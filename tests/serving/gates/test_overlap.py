"""How much of the lists before is in the new ones, worked out by hand."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conf.contract import ListsManifest
from conf.workspace.parquet import describe_parquet
from conf.workspace.pointers import publish
from conf.workspace.versions import commit
from serving.gates import overlap
from serving.gates.overlap import Overlap, current_lists, overlap_with_current

ITEM_IDS = pa.array([None, None, "x", "y", "z", "w"])
Lists = dict[str, str]
"""Items of each user's list, a letter each."""


def write(workspace: Path, name: str, parts: list[Lists]) -> Path:
    folder = workspace / "lists" / name
    folder.mkdir(parents=True)
    for number, lists in enumerate(parts):
        rows = [(u, at + 1, item) for u, items in lists.items() for at, item in enumerate(items)]
        columns = [list(column) for column in zip(*rows, strict=True)] if rows else [[], [], []]
        types = (pa.string(), pa.int32(), pa.string())
        arrays = [pa.array(column, kind) for column, kind in zip(columns, types, strict=True)]
        table = pa.table(arrays, names=["user_id", "position", "item_id"])
        pq.write_table(table, folder / f"part-{number:05d}.parquet")
    return folder


def published(
    workspace: Path, parts: list[Lists], length: int = 2, day: str = "2026-01-30"
) -> None:
    folder = write(workspace, "before", parts)
    files = tuple(describe_parquet(folder, path) for path in sorted(folder.glob("part-*")))
    commit(workspace, "lists", ListsManifest(
        id="before", request="r", logical_date=day, dataset_id="d", model_id="m",
        config={"score": {"list_length": length}}, counts={}, short_lists={}, gates={},
        files={"lists": files},
    ))  # fmt: skip
    publish(workspace, "lists", "before", day)


def measured(workspace: Path, parts: list[Lists], length: int = 2) -> Overlap:
    folder = write(workspace, "new", parts)
    current = current_lists(workspace, "2026-01-31")
    return overlap_with_current(current, folder, parts=len(parts), item_ids=ITEM_IDS, length=length)


def test_it_is_the_mean_jaccard_index_over_users_with_both_lists(tmp_path: Path) -> None:
    published(tmp_path, [{"a": "xy", "gone": "xy"}, {"b": "xy", "c": "zw"}])

    found = measured(tmp_path, [{"a": "yx", "b": "xz"}, {"c": "xy", "new": "xy"}])

    assert found == Overlap("before", 3, pytest.approx((1 + 1 / 3 + 0) / 3))


def test_lists_of_other_lengths_are_compared_at_the_shorter_one(tmp_path: Path) -> None:
    published(tmp_path, [{"a": "xyz"}], length=3)

    assert measured(tmp_path, [{"a": "x"}], length=1) == Overlap("before", 1, 1.0)


def test_an_item_that_is_gone_from_the_catalogue_counts_as_another_item(tmp_path: Path) -> None:
    published(tmp_path, [{"a": "x?"}])

    assert measured(tmp_path, [{"a": "xy"}]).mean == pytest.approx(1 / 3)


@pytest.mark.parametrize("before", [[{"label": "xy"}], [{"a": "??"}], [{}]])
def test_lists_of_other_ids_are_not_compared(tmp_path: Path, before: list[Lists]) -> None:
    published(tmp_path, before)

    assert measured(tmp_path, [{"a": "xy"}]) == Overlap("before", 0, None)


def test_the_first_lists_and_those_of_an_earlier_day_have_none_before(tmp_path: Path) -> None:
    assert measured(tmp_path / "first", [{"a": "xy"}]) == Overlap(None, 0, None)
    published(tmp_path / "later", [{"a": "xy"}], day="2026-02-01")
    assert measured(tmp_path / "later", [{"a": "xy"}]) == Overlap(None, 0, None)


def test_damaged_lists_before_stop_nothing(tmp_path: Path) -> None:
    published(tmp_path, [{"a": "xy"}])
    (tmp_path / "lists/before/part-00000.parquet").unlink()

    assert measured(tmp_path, [{"a": "xy"}]) == Overlap(None, 0, None)


def test_of_too_many_users_evenly_spaced_parts_are_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlap, "MOST_USERS", 2)
    parts = [{f"u{number}": "xy"} for number in range(4)]
    published(tmp_path, parts)

    assert measured(tmp_path, [*parts[:3], {"u3": "zw"}]) == Overlap("before", 2, 1.0)
