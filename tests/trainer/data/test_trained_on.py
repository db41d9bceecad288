from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from conf.contract import HISTORY_ITEMS, HISTORY_TIMES, HISTORY_TYPES, HISTORY_WEIGHTS, USER_IDX
from tests.bench.made_up import write_dataset
from tests.trainer import small_parts
from trainer.data.columns import Columns, Ragged, lists_of, numbers_of
from trainer.data.stream import read_row_groups
from trainer.data.trained_on import cut_windows, lengths_before, with_single_events

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

    lengths = lengths_before(folder, manifest, ("test",))

    found = {}
    for _, block in read_row_groups(folder, manifest.row_groups("test"), (USER_IDX, HISTORY_ITEMS)):
        users, histories = block[USER_IDX], block[HISTORY_ITEMS]
        assert isinstance(users, np.ndarray) and isinstance(histories, Ragged)
        found |= dict(zip(users.tolist(), np.diff(histories.offsets).tolist(), strict=True))
    assert len(found) == 30
    assert all(lengths[user] == length for user, length in found.items())


def test_a_training_part_of_one_event_counts_though_no_row_holds_it(tmp_path: Path) -> None:
    """User 3 has one event before its targets, user 4 none: all of its events are held out."""
    manifest = small_parts.write_dataset(
        tmp_path, [[5, 6, 7], [5], []], [6, 7, 5], [7, 6, 6], items=6
    )
    folder, in_rows = tmp_path / "datasets" / manifest.id, np.array([0, 0, 3, 0, 0])

    def lengths(parts: dict[str, tuple[()]], **split: str) -> list[int]:
        etl = {**manifest.config["etl"], "split": split}
        changes = {
            "files": {**manifest.files, **parts},
            "config": {**manifest.config, "etl": etl},
        }
        found = with_single_events(in_rows, folder, manifest.model_copy(update=changes))
        return found[2:].tolist()

    none: dict[str, tuple[()]] = {"valid": (), "test": ()}
    assert lengths({}, kind="leave_one_out") == lengths({}, kind="temporal") == [3, 1, 0]
    # Without a target all events of a user are in the training part, unless targets are dropped.
    assert lengths(none, kind="leave_one_out", cold_items="drop") == [3, 1, 1]
    assert lengths(none, kind="temporal", cold_items="keep", cold_users="keep") == [3, 1, 1]
    assert lengths(none, kind="temporal", cold_users="drop") == [3, 0, 0]


def test_users_who_begin_after_the_cut_have_no_training_event(tmp_path: Path) -> None:
    """User 4 has no target, and all its events are after the cut: they say what comes later."""
    manifest = small_parts.write_dataset(
        tmp_path, [[5, 6, 7], [5], []], [6, 7, 5], [7, 6, 6], items=6
    )
    folder = tmp_path / "datasets" / manifest.id
    first = {}
    for _, block in read_row_groups(
        folder, manifest.row_groups("histories"), (USER_IDX, HISTORY_TIMES)
    ):
        times = lists_of(block, HISTORY_TIMES)
        first |= dict(
            zip(
                numbers_of(block, USER_IDX).tolist(),
                times.values[times.offsets[:-1]].tolist(),
                strict=True,
            )
        )
    etl = {**manifest.config["etl"], "split": {"kind": "temporal"}}
    cut = datetime.fromtimestamp((first[4] - 1) / 1e6, UTC)

    def single(instant: datetime) -> int:
        changes = {
            "files": {**manifest.files, "valid": (), "test": ()},
            "config": {**manifest.config, "etl": etl},
            "cuts": {"valid_from": instant.isoformat()},
        }
        found = with_single_events(
            np.zeros(5, dtype=np.int64), folder, manifest.model_copy(update=changes)
        )
        return int(found[4])

    assert single(cut) == 0
    assert single(cut + timedelta(days=1)) == 1
