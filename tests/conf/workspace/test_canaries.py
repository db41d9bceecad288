"""What the pointer says with a canary: who replaces it, who ends it, what is left of it."""

import json
from pathlib import Path
from typing import Any

import pytest

from conf.errors import ConfigError, VersionError
from conf.workspace.json_files import read_json, write_json
from conf.workspace.pointers import allow, promote, publish, read_pointer, rollback
from conf.workspace.publications import all_shown, canary_of, publications

DAYS = {"a": "2026-01-01", "b": "2026-01-02", "c": "2026-01-03", "d": "2026-01-04"}


def put(workspace: Path, name: str, share: float = 1.0, number: int | None = None) -> str:
    folder = workspace / "lists" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "lists.json").write_text(json.dumps({"id": name, "logical_date": DAYS[name[0]]}))
    return publish(workspace, "lists", name, DAYS[name[0]], number, share=share)


def pointer(workspace: Path) -> dict[str, Any]:
    found = read_pointer(workspace, "lists")
    assert found is not None
    return found


def state(workspace: Path) -> tuple[str, list[str], str | None, list[str]]:
    """Return what is current, what was before it, the canary, and what was withdrawn."""
    found = pointer(workspace)
    canary = canary_of(found)
    return (
        found["id"],
        found["previous"],
        None if canary is None else canary.id,
        found["withdrawn"],
    )


def history(workspace: Path) -> list[tuple[str, float]]:
    return [(one.id, one.share) for one in publications(pointer(workspace))]


def test_the_current_lists_stay_and_the_pointer_says_who_sees_the_others(tmp_path: Path) -> None:
    put(tmp_path, "a")
    assert put(tmp_path, "b", 0.1) == "canary"
    found = pointer(tmp_path)
    assert (found["id"], found["logical_date"], found["number"]) == ("a", DAYS["a"], 2)
    assert found["canary"] == {
        "id": "b", "share": 0.1, "number": 2, "at": found["published"][0]["at"],
        "logical_date": DAYS["b"],
    }  # fmt: skip
    assert history(tmp_path) == [("b", 0.1), ("a", 1.0)]


def test_the_first_lists_are_seen_by_all(tmp_path: Path) -> None:
    assert put(tmp_path, "a", 0.1) == "published"
    assert state(tmp_path) == ("a", [], None, [])
    assert history(tmp_path) == [("a", 1.0)]


def test_a_promoted_canary_is_current_and_what_was_current_is_before_it(tmp_path: Path) -> None:
    for name, share in (("a", 1), ("b", 1), ("c", 0.1)):
        put(tmp_path, name, share)
    assert promote(tmp_path, "lists") == ("c", "b")
    assert state(tmp_path) == ("c", ["b", "a"], None, [])
    assert pointer(tmp_path)["logical_date"] == DAYS["c"]
    assert history(tmp_path)[:2] == [("c", 1.0), ("c", 0.1)]
    assert rollback(tmp_path, "lists") == ("b", "c")


def test_a_rollback_takes_the_canary_back_and_a_second_one_goes_further(tmp_path: Path) -> None:
    for name, share in (("a", 1), ("b", 1), ("c", 0.1)):
        put(tmp_path, name, share)
    assert rollback(tmp_path, "lists") == ("b", "c")
    assert state(tmp_path) == ("b", ["a"], None, ["c"])
    assert history(tmp_path)[0] == ("b", 1.0)  # from then on all see it
    assert read_json(tmp_path / "lists/WITHDRAWN.json")["ids"] == ["c"]
    assert put(tmp_path, "c", 0.1) == put(tmp_path, "c") == "withdrawn"
    assert rollback(tmp_path, "lists") == ("a", "b")
    assert state(tmp_path) == ("a", [], None, ["b", "c"])


def test_the_only_lists_stay_when_their_canary_is_taken_back(tmp_path: Path) -> None:
    put(tmp_path, "a")
    put(tmp_path, "b", 0.5)
    assert rollback(tmp_path, "lists") == ("a", "b")
    with pytest.raises(ConfigError, match="no earlier version"):
        rollback(tmp_path, "lists")
    allow(tmp_path, "lists", "b")
    assert put(tmp_path, "b", 0.5) == "canary"


@pytest.mark.parametrize(
    ("name", "share", "told", "expected", "entries"),
    [
        ("c", 0.1, "canary", ("a", [], "c", []), 3),  # the newer one replaces the canary
        ("c", 1.0, "published", ("c", ["a"], None, []), 3),  # or ends it
        ("b", 0.1, "canary", ("a", [], "b", []), 2),  # nothing changes
        ("b", 1.0, "published", ("b", ["a"], None, []), 3),  # it is promoted
        ("b", 0.3, "canary", ("a", [], "b", []), 3),  # more users see it
        ("a", 0.1, "current", ("a", [], "b", []), 2),
        ("a", 1.0, "current", ("a", [], "b", []), 2),
        ("a2", 0.1, "older", ("a", [], "b", []), 2),  # of a day before the canary's
        ("a2", 1.0, "older", ("a", [], "b", []), 2),
    ],
)
def test_a_further_run_while_there_is_a_canary(
    tmp_path: Path, name: str, share: float, told: str, expected: Any, entries: int
) -> None:
    put(tmp_path, "a")
    put(tmp_path, "b", 0.1)
    before = pointer(tmp_path)
    assert put(tmp_path, name, share) == told
    assert state(tmp_path) == expected
    assert len(history(tmp_path)) == entries
    if entries == 2:
        assert pointer(tmp_path) == before
    canary = canary_of(pointer(tmp_path))
    assert canary is None or canary.share == (share if told == "canary" else 0.1)


def test_a_writer_who_comes_too_late_changes_no_canary(tmp_path: Path) -> None:
    put(tmp_path, "a", number=5)
    put(tmp_path, "b", 0.1, number=7)
    for share in (0.1, 1.0):
        with pytest.raises(VersionError, match="published number 7; c with number 6"):
            put(tmp_path, "c", share, number=6)
    for change in (promote, rollback):
        with pytest.raises(VersionError, match="comes too late"):
            change(tmp_path, "lists", 6)
    assert state(tmp_path) == ("a", [], "b", [])
    put(tmp_path, "b", number=9)
    with pytest.raises(VersionError, match="published number 9; a with number 8 comes too late"):
        rollback(tmp_path, "lists", 8)
    assert state(tmp_path) == ("b", ["a"], None, [])
    assert not (tmp_path / "lists/WITHDRAWN.json").exists()


def test_without_a_canary_there_is_nothing_to_promote(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no canary, so there is nothing.*publish\.share"):
        promote(tmp_path, "lists")
    put(tmp_path, "a")
    with pytest.raises(ConfigError, match="no canary"):
        promote(tmp_path, "lists")


@pytest.mark.parametrize(
    "change",
    [
        {"share": 1.0}, {"share": 0}, {"share": "0.1"}, {"id": "../x"}, {"id": 3}, {"at": None},
        {"number": 1.5}, {"more": 1}, {"at": "soon"}, {"logical_date": "../x"},
    ],
)  # fmt: skip
def test_a_damaged_canary_is_told(tmp_path: Path, change: dict[str, Any]) -> None:
    put(tmp_path, "a")
    put(tmp_path, "b", 0.1)
    found = pointer(tmp_path)
    write_json(tmp_path / "lists/CURRENT.json", {**found, "canary": found["canary"] | change})
    with pytest.raises(VersionError, match=r"CURRENT\.json is damaged: canary is"):
        read_pointer(tmp_path, "lists")


def test_the_history_of_an_earlier_release_begins_with_what_the_others_see(tmp_path: Path) -> None:
    put(tmp_path, "a", number=3)
    found = {key: value for key, value in pointer(tmp_path).items() if key != "published"}
    write_json(tmp_path / "lists/CURRENT.json", found)
    put(tmp_path, "b", 0.1)
    assert history(tmp_path) == [("b", 0.1), ("a", 1.0)]
    assert [one.number for one in publications(pointer(tmp_path))] == [4, 3]


def test_who_has_seen_what(tmp_path: Path) -> None:
    """One canary was replaced, one was promoted, one was taken back."""
    for name, share in (("a", 1), ("b", 0.1), ("b", 0.2), ("c", 0.1)):
        put(tmp_path, name, share)
    promote(tmp_path, "lists")
    put(tmp_path, "d", 0.1)
    shown = [(one.id, one.share) for one in all_shown(pointer(tmp_path), "shop")]
    assert shown == [("d", 0.1), ("c", 1.0), ("b", 0.2), ("a", 1.0)]
    rollback(tmp_path, "lists")
    shown = [(one.id, one.share) for one in all_shown(pointer(tmp_path), "shop")]
    assert shown == [("c", 1.0), ("b", 0.2), ("a", 1.0)]
