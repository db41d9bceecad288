import hashlib
from typing import Any

import numpy as np
import pyarrow as pa

from serving.publishing.list_ids import list_ids
from serving.publishing.parts import PartLists, lists_table
from tests.docs.samples import samples_of
from tests.packaging.checkout import CHECKOUT


def by_hand(scenario: str, user: str, items: list[str]) -> str:
    parts = [text.encode() for text in (scenario, user, *items)]
    whole = b"".join(b"%d:%s," % (len(part), part) for part in parts)
    return hashlib.sha256(whole).hexdigest()[:16]


def ids(lists: dict[str, list[str]], scenario: str | None = None) -> list[str]:
    offsets = np.cumsum([0, *map(len, lists.values())])
    items = pa.array([item for one in lists.values() for item in one], pa.string())
    return list_ids(scenario, pa.array([*lists]), items, offsets).to_pylist()


def test_ids_are_those_that_other_programs_compute() -> None:
    lists = {"u1": ["a", "b"], "ü:,": ["€"], "u3": ["x"] * 3}

    assert ids(lists) == [by_hand("", user, items) for user, items in lists.items()]
    assert ids(lists, "cart") == [by_hand("cart", user, items) for user, items in lists.items()]


def test_the_program_of_the_manual_computes_them() -> None:
    page = CHECKOUT / "docs" / "outcome.md"
    [program] = [one.text for one in samples_of(page, "python")]
    found: dict[str, Any] = {}
    exec(program, found)

    assert found["list_id"]("", "u7", ["kettle-3", "ü"]) == ids({"u7": ["kettle-3", "ü"]})[0]
    assert found["list_id"]("cart", "u", []) == ids({"u": []}, "cart")[0]


def test_no_two_lists_have_one_id() -> None:
    found = [
        *ids({"u": ["a", "b"], "v": ["a", "b"]}), *ids({"u": ["b", "a"]}), *ids({"u": ["ab"]}),
        *ids({"u": ["a,1:b"]}), *ids({"u1": ["a", "b"]}), *ids({"u": ["a", "b"]}, "cart"),
        *ids({"u": []}),
    ]  # fmt: skip

    assert len(set(found)) == len(found)


def test_a_list_keeps_its_id_whoever_else_has_one() -> None:
    assert ids({"u": ["a", "b"], "v": ["c"]})[1:] == ids({"v": ["c"]})


def test_each_row_has_the_id_of_its_list() -> None:
    item_idx = np.array([[2, 3], [-1, -1], [4, -1]])
    shape, none = item_idx.shape, np.zeros(3, dtype=np.int8)
    lists = PartLists(
        item_idx, np.zeros(shape, dtype=np.float32), none, none,
        np.full((*shape, 1), -1), np.zeros((*shape, 1), dtype=np.float32),
        np.zeros(shape, dtype=np.int64),
    )  # fmt: skip
    items = pa.array([None, None, "a", "b", "c"], pa.string())

    table = lists_table(pa.array(["u", "v", "w"]), items, lists, scenario="home")

    first, last = by_hand("home", "u", ["a", "b"]), by_hand("home", "w", ["c"])
    assert table["list_id"].to_pylist() == [first, first, last]
