from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from etl.dataset import item_order, line_order

USERS, ITEMS = 200, 50


def line_order_warnings(folder: Path, is_dated: bool = False) -> tuple[str, ...]:
    return line_order.line_order_warnings(folder, is_dated=is_dated)


Ids = Callable[[int], str]


def write(
    folder: Path,
    histories: Sequence[Sequence[int]],
    named: Ids = "i{:03}".format,
    types: Sequence[Sequence[int]] | None = None,
) -> Path:
    """Write histories of items 0 to ITEMS - 1, which are numbered as by chance, in two files."""
    numbers = 2 + np.random.default_rng(0).permutation(ITEMS)
    table = pa.table({
        "history_item_idx": [[numbers[item] for item in items] for items in histories],
        "history_event_type": types or [[0] * len(items) for items in histories],
    }).cast(pa.schema({name: pa.list_(pa.int32()) for name in (
        "history_item_idx", "history_event_type")}))  # fmt: skip
    items = pa.table({"item_id": [named(n) for n in range(ITEMS)], "item_idx": numbers})
    for name, rows in (("histories", table), ("items", items.sort_by("item_idx"))):
        (folder / name).mkdir()
        for number, part in enumerate((rows.slice(0, len(rows) // 2), rows.slice(len(rows) // 2))):
            pq.write_table(part, folder / name / f"part-{number}.parquet", row_group_size=30)
    return folder


def at_random(num_items: int = ITEMS, num_users: int = USERS) -> list[list[int]]:
    """Return histories of 0 to 12 events, each in a random order."""
    draw = np.random.default_rng(1)
    return [draw.integers(0, num_items, draw.integers(0, 13)).tolist() for _ in range(num_users)]


@pytest.mark.parametrize("num_items", [1, 2, 3, 5, ITEMS])
def test_a_random_order_is_not_warned_of(tmp_path: Path, num_items: int) -> None:
    assert line_order_warnings(write(tmp_path, at_random(num_items))) == ()


def test_people_who_take_turns_between_items_are_not_warned_of(tmp_path: Path) -> None:
    turns = [[n % 7, n % 7 + 1 + n % 2] * (1 + n % 9) for n in range(USERS)]
    assert line_order_warnings(write(tmp_path, turns)) == ()


def test_histories_without_events_are_not_warned_of(tmp_path: Path) -> None:
    assert line_order_warnings(write(tmp_path, [[]] * USERS)) == ()


@pytest.mark.parametrize("again", [
    lambda items: items * 2,
    lambda items: items * 3,
    lambda items: items + items[len(items) // 2 :],  # the last of two files once more
    lambda items: items + items[: len(items) // 2],  # the first of two files once more
])  # fmt: skip
def test_rows_that_were_delivered_twice_are_warned_of(
    tmp_path: Path, again: Callable[[list[int]], list[int]]
) -> None:
    (warning,) = line_order_warnings(write(tmp_path, [again(items) for items in at_random()]))
    assert warning.endswith("(columns.event_id)") and "delivered twice" in warning


def test_the_same_items_as_another_type_are_no_second_delivery(tmp_path: Path) -> None:
    items = at_random()
    types = [[0] * len(row) + [1] * len(row) for row in items]
    assert line_order_warnings(write(tmp_path, [row * 2 for row in items], types=types)) == ()


@pytest.mark.parametrize("named", ["i{:03}".format, "item-{}".format, str])
@pytest.mark.parametrize("step", [1, -1])
def test_a_log_that_is_sorted_by_item_is_warned_of(tmp_path: Path, named: Ids, step: int) -> None:
    in_order = [sorted(items)[::step] for items in at_random()]
    (warning,) = line_order_warnings(write(tmp_path, in_order, named))
    verb = "ascend" if step == 1 else "descend"
    assert f"sorted by item: 100% of a user's neighbouring events {verb} by item_id" in warning


def test_a_log_that_is_sorted_by_the_text_of_numbers_is_warned_of(tmp_path: Path) -> None:
    as_text = [sorted(items, key=str) for items in at_random()]
    (warning,) = line_order_warnings(write(tmp_path, as_text, str))
    assert "sorted by item" in warning


def test_logs_of_several_types_that_are_each_sorted_are_warned_of(tmp_path: Path) -> None:
    views, purchases = at_random(), at_random()[::-1]
    both = [sorted(a) + sorted(b) for a, b in zip(views, purchases, strict=True)]
    types = [[0] * len(a) + [1] * len(b) for a, b in zip(views, purchases, strict=True)]
    (warning,) = line_order_warnings(write(tmp_path, both, types=types))
    assert "sorted by item" in warning


def test_few_users_in_order_are_not_warned_of(tmp_path: Path) -> None:
    assert line_order_warnings(write(tmp_path, [list(range(ITEMS))] * 9)) == ()


@pytest.mark.parametrize("is_dated", [False, True])
def test_a_log_that_is_sorted_by_what_it_does_not_tell_is_warned_of(
    tmp_path: Path, is_dated: bool
) -> None:
    key = np.random.default_rng(3).permutation(ITEMS)
    in_order = [sorted(items, key=key.__getitem__) for items in at_random()]
    (warning,) = line_order_warnings(write(tmp_path, in_order), is_dated)
    assert "users have the items in one order" in warning
    assert ("import" in warning) == is_dated and ("columns.time" in warning) != is_dated


def test_a_chain_without_beginning_is_no_sorting(tmp_path: Path) -> None:
    draw = np.random.default_rng(4)
    chains = [[(first + step) % ITEMS for step in range(8)]
              for first in draw.integers(0, ITEMS, USERS)]  # fmt: skip
    named = np.random.default_rng(5).permutation(ITEMS)
    assert line_order_warnings(write(tmp_path, chains, lambda n: f"i{named[n]}")) == ()


def test_few_pairs_that_happen_to_agree_are_no_sorting(tmp_path: Path) -> None:
    pairs = [[2 * n % ITEMS, 2 * n % ITEMS + 1] for n in range(USERS)]
    named = np.random.default_rng(5).permutation(ITEMS)
    assert line_order_warnings(write(tmp_path, pairs, lambda n: f"i{named[n]}")) == ()


def test_the_warning_does_not_depend_on_chance(tmp_path: Path) -> None:
    """Random orders of many sizes, from sparse to dense, are never warned of."""
    for seed in range(200):
        draw = np.random.default_rng(seed)
        size = int(draw.integers(2, 400))
        users = [draw.permutation(size)[: draw.integers(2, 12)] + 2 for _ in range(100)]
        pairs = [(items[:-1], items[1:]) for items in users]
        assert item_order._sorted_by_another_key(pairs) is None, seed
