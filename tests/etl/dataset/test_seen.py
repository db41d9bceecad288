from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from etl.dataset.seen import Seen, read_seen


def test_targets_of_all_files_are_counted(tmp_path: Path) -> None:
    for number, target in enumerate((2, 3)):
        table = pa.table({
            "history_item_idx": pa.array([[2, 4], [3]], pa.list_(pa.int32())),
            "target_item_idx": pa.array([target, 3], pa.int32()),
        })  # fmt: skip
        pq.write_table(table, tmp_path / f"part-{number}.parquet")
    assert read_seen(tmp_path) == Seen(targets=4, seen=3)


@pytest.mark.parametrize("seen", [Seen(100, 50), Seen(19, 19), Seen(0, 0)])
def test_half_of_the_targets_and_few_targets_are_not_warned_of(seen: Seen) -> None:
    assert seen.warnings() == ()


def test_a_warning_names_the_share_and_the_settings() -> None:
    (warning,) = Seen(1000, 810).warnings()
    assert warning.startswith("810 of 1,000 test targets (81%) are items that their user had")
    assert "score.drop_seen=false" in warning and "etl.repeated_items" in warning
