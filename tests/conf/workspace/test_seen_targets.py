import pyarrow as pa

from conf.workspace.seen_targets import num_seen


def targets(*rows: tuple[list[int], int]) -> pa.Table:
    histories, items = zip(*rows, strict=True)
    return pa.table({
        "history_item_idx": pa.array(histories, pa.list_(pa.int32())),
        "target_item_idx": pa.array(items, pa.int32()),
    })  # fmt: skip


def test_targets_in_their_own_history_are_counted_once() -> None:
    table = targets(([2, 3, 2], 2), ([2, 3], 4), ([], 2), ([4], 4), ([1], 1))  # 1: unknown items
    assert num_seen(table) == 2
    assert [num_seen(table.slice(row, 1)) for row in range(5)] == [1, 0, 0, 1, 0]
    assert num_seen(pa.concat_tables([table, table.slice(3)])) == 3


def test_no_targets_were_not_seen() -> None:
    assert num_seen(None) == num_seen(pa.table({"user_idx": [2]})) == 0
