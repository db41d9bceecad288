from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from etl.dataset.ties import Ties, read_ties

DAY = 86_400_000_000


def read(folder: Path, *files: list[list[int]]) -> Ties:
    for number, times in enumerate(files):
        table = pa.table({"history_time": pa.array(times, pa.list_(pa.int64()))})
        pq.write_table(table, folder / f"part-{number}.parquet")
    return read_ties(folder)


def test_ties_and_whole_days_are_found_in_all_files(tmp_path: Path) -> None:
    assert read(tmp_path, [[0, 0, DAY], []], [[3 * DAY]]) == Ties(4, 2, whole_days=True)
    assert read(tmp_path, [[0, 0, DAY], []], [[3 * DAY + 1]]) == Ties(4, 2, whole_days=False)


def test_days_that_begin_elsewhere_than_in_utc_are_whole_days(tmp_path: Path) -> None:
    hour = DAY // 24
    assert read(tmp_path, [[22 * hour, 46 * hour]]) == Ties(2, 0, whole_days=True)


@pytest.mark.parametrize(
    ("ties", "setting", "said"),
    [
        (Ties(100, 10, whole_days=False), "split", []),
        (Ties(100, 11, whole_days=False), "split", ["11 of 100 events (11%)", "ties=together"]),
        (Ties(100, 11, whole_days=False), "together", ["11 of 100 events (11%)"]),
        (Ties(100, 0, whole_days=True), "split", ["days without a time of day"]),
        (Ties(1, 0, whole_days=True), "split", []),
        (Ties(0, 0, whole_days=False), "split", []),
    ],
)
def test_a_warning_names_the_share_and_the_setting(
    ties: Ties, setting: str, said: list[str]
) -> None:
    warnings = ties.warnings(is_dated=True, ties=setting)
    assert len(warnings) == bool(said)
    assert all(text in warnings[0] for text in said)
    assert ("ties=together" in "".join(warnings)) == ("ties=together" in said)


def test_order_numbers_are_no_days() -> None:
    assert Ties(9, 0, whole_days=True).warnings(is_dated=False, ties="split") == ()
