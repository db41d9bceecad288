from typing import Any

import pyarrow as pa
import pytest

from conf.errors import GateError
from conf.settings.config import Score
from serving.gates import passed_gates, require_passed
from serving.list_counts import check_lists
from serving.publish import LISTS_SCHEMA

USER_IDS = pa.array(["a", "b", "c"])
ITEM_IDS = pa.array([None, None, "x", "y", "z"])
HISTORIES = pa.array([[2], [], [2, 2, 3, 4, 1]], pa.list_(pa.int32()))
"""`a` has seen x, `b` nothing, `c` all there is."""
GOOD = [("a", 1, "y", 2.0), ("a", 2, "z", 1.0), ("b", 1, "x", 0.5), ("b", 2, "z", 0.5)]


def checked(rows: list[tuple[Any, ...]], **options: Any) -> dict[str, int]:
    sources = ["fallback" if row[0] == "b" else "model" for row in rows]
    columns = [*map(list, zip(*rows, strict=True)), sources, [None] * len(rows)]
    arrays = [pa.array(c, f.type) for c, f in zip(columns, LISTS_SCHEMA, strict=True)]
    table = pa.Table.from_arrays(arrays, schema=LISTS_SCHEMA)
    settings = {"list_length": 2, "drop_seen": True, **options}
    return check_lists(table, USER_IDS, HISTORIES, ITEM_IDS, **settings)


def test_good_lists_are_counted_and_pass() -> None:
    counts = checked(GOOD)

    assert counts == {
        "users": 3, "lists": 2, "rows": 4, "model_lists": 1, "fallback_lists": 1, "full_lists": 2,
        "catalogue_exhausted": 1, "unexplained": 0, "unknown_ids": 0, "duplicate_items": 0,
        "seen_items": 0, "misplaced_rows": 0, "bad_scores": 0,
    }  # fmt: skip
    assert all(passed_gates(counts, Score(min_full_share=0.6)).values())


def test_short_lists_count_against_the_share_whatever_their_reason() -> None:
    gates = passed_gates(checked(GOOD), Score(min_full_share=0.7))

    assert [name for name, passed in gates.items() if not passed] == ["full_lists"]


@pytest.mark.parametrize(
    ("rows", "gate", "figure"),
    [
        (GOOD[:2], "users_covered", 1),
        (GOOD[:3], "users_covered", 1),
        ([*GOOD[:3], ("b", 2, "?", 0.5)], "ids_known", 1),
        ([*GOOD[:3], ("b", 2, "x", 0.5)], "no_duplicates", 1),
        ([("a", 1, "x", 2.0), *GOOD[1:]], "no_seen_items", 1),
        ([*GOOD[:3], ("b", 3, "z", 0.5)], "positions_complete", 1),
        ([GOOD[0], GOOD[2], ("a", 1, "z", 1.0), GOOD[3]], "positions_complete", 3),
        ([GOOD[0], ("a", 2, "z", 2.5), *GOOD[2:]], "scores_ordered", 1),
        ([GOOD[0], ("a", 2, "z", float("nan")), *GOOD[2:]], "scores_ordered", 1),
        ([("a", 1, "y", float("inf")), *GOOD[1:]], "scores_ordered", 1),
    ],
)
def test_each_fault_is_caught_by_its_gate(rows: list[Any], gate: str, figure: int) -> None:
    counts = checked(rows)
    gates = passed_gates(counts, Score(min_full_share=0))
    names = {
        "users_covered": "unexplained", "ids_known": "unknown_ids",
        "no_duplicates": "duplicate_items", "no_seen_items": "seen_items",
        "positions_complete": "misplaced_rows", "scores_ordered": "bad_scores",
    }  # fmt: skip
    assert not gates[gate]
    assert counts[names[gate]] == figure


def test_seen_items_are_right_where_they_are_asked_for() -> None:
    rows = [*GOOD, ("c", 1, "x", 3.0), ("c", 2, "y", 2.0)]

    assert checked(rows)["seen_items"] == 2
    counts = checked(rows, drop_seen=False)
    assert counts["seen_items"] == 0 and counts["full_lists"] == 3


def test_a_refusal_names_each_gate_with_figure_limit_and_remedy() -> None:
    counts = checked([GOOD[0], ("a", 2, "x", 2.5), *GOOD[2:]])
    score = Score(list_length=2)
    manifest = {
        "id": "lists-1", "counts": counts, "gates": passed_gates(counts, score),
        "short_lists": {"catalogue_exhausted": 1}, "config": {"score": score.model_dump()},
    }  # fmt: skip

    with pytest.raises(GateError) as refusal:
        require_passed(manifest)

    text = str(refusal.value)
    assert refusal.value.exit_code == 5
    assert "lists-1 are not published, the previous lists stay: 3 gate(s)" in text
    seen = "1 rows contain an item that their user has already seen, 0 are allowed"
    assert f"no_seen_items: {seen}" in text
    assert "full_lists: 2 of 3 users (0.6667)" in text and "min_full_share=0.99" in text
    assert "scores_ordered: 1" in text


def test_passed_lists_are_let_through() -> None:
    require_passed({"id": "lists-1", "gates": {"full_lists": True}})
