"""What new lists lack, counted by hand."""

from pathlib import Path

import pytest

from conf.contract import ListsManifest
from conf.workspace.json_files import read_json, write_json
from conf.workspace.pointers import publish
from serving.gates import overlap
from serving.gates.losses import LOSSES, losses
from serving.gates.overlap import current_lists
from tests.serving.gates.test_overlap import Lists, published, write

BEFORE = [{"a": "xy", "gone": "xy"}, {"b": "xy", "c": "zw"}]


def lost(
    workspace: Path, parts: list[Lists], *, length: int = 2, listed: int | None = 3
) -> dict[str, int | None]:
    folder = write(workspace, "new", parts)
    current = current_lists(workspace, "2026-01-31")
    return losses(current, folder, parts=len(parts), length=length, listed_items=listed)


def with_count(workspace: Path, listed: int) -> None:
    path = workspace / "lists/before/lists.json"
    write_json(path, read_json(path) | {"counts": {"listed_items": listed}})


def test_users_without_a_list_and_fewer_items_are_counted(tmp_path: Path) -> None:
    published(tmp_path, BEFORE)
    with_count(tmp_path, 4)
    assert lost(tmp_path, [{"b": "x", "new": "y"}, {"a": "x"}]) == {
        "previous_users": 4, "lost_users": 2, "previous_listed_items": 4, "fewer_listed_items": 1,
    }  # fmt: skip


def test_more_users_and_items_are_no_loss(tmp_path: Path) -> None:
    published(tmp_path, BEFORE)
    with_count(tmp_path, 2)
    found = lost(tmp_path, [{"a": "xy", "b": "x", "c": "y", "gone": "z", "new": "w"}])
    assert (found["lost_users"], found["fewer_listed_items"]) == (0, 0)


@pytest.mark.parametrize(("length", "listed"), [(3, 3), (2, None)])
def test_items_of_lists_that_differ_in_length_are_not_compared(
    tmp_path: Path, length: int, listed: int | None
) -> None:
    published(tmp_path, BEFORE)
    with_count(tmp_path, 4)
    found = lost(tmp_path, [{"a": "xy"}], length=length, listed=listed)
    assert found["lost_users"] == 3
    assert found["previous_listed_items"] is found["fewer_listed_items"] is None


def test_lists_of_an_earlier_release_have_no_items_to_compare(tmp_path: Path) -> None:
    published(tmp_path, BEFORE)
    assert lost(tmp_path, [{"a": "xy"}])["previous_listed_items"] is None


def test_the_first_lists_lose_nobody(tmp_path: Path) -> None:
    assert lost(tmp_path, [{"a": "xy"}]) == dict.fromkeys(LOSSES)


def test_of_too_many_users_a_sample_is_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlap, "MOST_USERS", 2)
    published(tmp_path, BEFORE)
    found = lost(tmp_path, [{"a": "xy"}])
    assert (found["previous_users"], found["lost_users"]) == (2, 1)


def test_a_canary_is_not_what_new_lists_are_compared_with(tmp_path: Path) -> None:
    published(tmp_path, BEFORE)
    manifest = read_json(tmp_path / "lists/before/lists.json")
    folder = write(tmp_path, "canary", [{"only": "x"}])
    record = ListsManifest.model_validate(manifest | {"id": "canary", "files": {"lists": ()}})
    write_json(folder / "lists.json", record.model_dump(mode="json"))
    assert publish(tmp_path, "lists", "canary", "2026-01-30", share=0.1) == "canary"
    assert lost(tmp_path, [{"a": "xy"}])["previous_users"] == 4
