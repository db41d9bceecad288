from pathlib import Path

import numpy as np

from conf.contract import HISTORY_ITEMS, HISTORY_TIMES, HISTORY_TYPES, HISTORY_WEIGHTS, USER_IDX
from tests.bench.made_up import write_dataset
from trainer.data.columns import Columns, Ragged
from trainer.data.stream import read_row_groups
from trainer.data.trained_on import cut_windows, lengths_before_test

ROWS = [[10, 11, 12, 13, 14], [20], [], [30, 31]]


def columns() -> Columns:
    values = np.array([item for row in ROWS for item in row])
    offsets = np.cumsum([0] + [len(row) for row in ROWS])
    return {
        USER_IDX: np.array([5, 2, 3, 4]),
        HISTORY_ITEMS: Ragged(values, offsets),
        HISTORY_TYPES: Ragged(values % 2, offsets),
        HISTORY_TIMES: Ragged(values * 100, offsets),
    }


def rows_of(cut: Columns, name: str) -> list[list[float]]:
    column = cut[name]
    assert isinstance(column, Ragged)
    return [part.tolist() for part in np.split(column.values, column.offsets[1:-1])]


def test_histories_are_cut_from_the_end_as_training_rows_are() -> None:
    cut = cut_windows(columns(), window_length=3, weights=[1.0, 0.5])

    # Every event but a user's first is a target once; neighbours share one event.
    assert rows_of(cut, HISTORY_ITEMS) == [[11, 12, 13, 14], [10, 11], [30, 31]]
    assert rows_of(cut, HISTORY_WEIGHTS) == [[0.5, 1.0, 0.5, 1.0], [1.0, 0.5], [1.0, 0.5]]
    assert rows_of(cut, HISTORY_TIMES)[1] == [1000, 1100]


def test_what_comes_with_the_test_part_is_left_out() -> None:
    most = np.full(6, 100)
    most[5], most[4] = 4, 1

    cut = cut_windows(columns(), window_length=10, weights=[1.0, 1.0], most=most)

    assert rows_of(cut, HISTORY_ITEMS) == [[10, 11, 12, 13]]


def test_lengths_before_the_test_part_are_those_of_its_histories(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path, users=30, items=20, mean_length=6, row_group_rows=10)
    folder = tmp_path / "datasets" / manifest.id

    lengths = lengths_before_test(folder, manifest)

    found = {}
    for _, block in read_row_groups(folder, manifest.row_groups("test"), (USER_IDX, HISTORY_ITEMS)):
        users, histories = block[USER_IDX], block[HISTORY_ITEMS]
        assert isinstance(users, np.ndarray) and isinstance(histories, Ragged)
        found |= dict(zip(users.tolist(), np.diff(histories.offsets).tolist(), strict=True))
    assert len(found) == 30
    assert all(lengths[user] == length for user, length in found.items())
