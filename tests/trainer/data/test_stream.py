import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conf.contract import RowGroup
from conf.errors import VersionError
from trainer.data.petastorm_bridge import RowGroupError, ShardError, ShardSource
from trainer.data.plan import epoch_order
from trainer.data.stream import PlannedReader, _DecodingWorker, read_row_groups

SIZES = (70, 4, 100, 33, 1, 95, 51)


def write_table(root: Path, table: pa.Table, *, row_group_rows: list[int]) -> list[RowGroup]:
    """Write one file, `train/part.parquet`, and return its row groups."""
    file = root / "train" / "part.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    start = 0
    with pq.ParquetWriter(file, table.schema) as writer:
        for rows in row_group_rows:
            writer.write_table(table.slice(start, rows), row_group_size=max(rows, 1))
            start += rows
    return [
        RowGroup(path="train/part.parquet", index=index, rows=rows, bytes=1)
        for index, rows in enumerate(row_group_rows)
    ]


def write_shards(root: Path, num_groups: int) -> list[RowGroup]:
    """Write row groups of uneven size, four a file, whose `row` numbers all rows from 0."""
    (root / "train").mkdir(parents=True, exist_ok=True)
    groups: list[RowGroup] = []
    first_row = 0
    for number in range(-(-num_groups // 4)):
        path = f"train/{number}.parquet"
        sizes = [SIZES[i % 7] + i for i in range(4 * number, min(4 * number + 4, num_groups))]
        schema = pa.schema([("row", pa.int64()), ("history", pa.list_(pa.int32()))])
        with pq.ParquetWriter(root / path, schema) as writer:
            for index, rows in enumerate(sizes):
                ids = list(range(first_row, first_row + rows))
                history = [[row] * (row % 5) for row in ids]
                writer.write_table(pa.table({"row": ids, "history": history}, schema=schema))
                groups.append(RowGroup(path=path, index=index, rows=rows, bytes=1))
                first_row += rows
    return groups


def worker_threads() -> int:
    return sum(type(thread).__name__ == "WorkerThread" for thread in threading.enumerate())


def test_fifty_readings_lose_no_row_and_leave_no_thread(tmp_path):
    groups = epoch_order(write_shards(tmp_path, 40), seed=0, epoch=0)
    for reading in range(50):
        stream = read_row_groups(tmp_path, groups, ["row"], threads=4, prefetch=reading % 3)
        assert [group for group, _ in stream] == groups
    assert worker_threads() == 0


def test_empty_row_groups_and_empty_lists_are_read(tmp_path):
    schema = pa.schema([("scalar", pa.int8()), ("list", pa.list_(pa.int32()))])
    table = pa.table({"scalar": [1, 2], "list": [[], []]}, schema=schema)
    groups = write_table(tmp_path, table, row_group_rows=[0, 2])
    (_, none), (_, two) = read_row_groups(tmp_path, groups, ["list", "scalar"])
    assert none["scalar"].shape == (0,) and none["list"].offsets.tolist() == [0]
    assert two["list"].offsets.tolist() == [0, 0, 0] and two["list"].values.shape == (0,)


def test_no_row_groups_give_an_empty_iterator(tmp_path):
    assert list(read_row_groups(tmp_path, [], ["row"])) == []


def test_a_row_group_may_be_asked_for_twice(tmp_path):
    groups = write_shards(tmp_path, 3)
    asked = [groups[2], groups[0], groups[2]]
    assert [group for group, _ in read_row_groups(tmp_path, asked, ["row"])] == asked


def test_stopping_early_ends_the_threads(tmp_path):
    stream = read_row_groups(tmp_path, write_shards(tmp_path, 40), ["row"])
    next(stream)
    assert worker_threads() == 2
    stream.close()
    assert worker_threads() == 0


class CountingWorker(_DecodingWorker):
    started: list[int]

    def process(self, position: int, piece_index: int) -> None:
        self.started.append(position)
        super().process(position, piece_index)


def test_reading_ahead_is_bounded_however_slow_the_caller(tmp_path):
    groups = write_shards(tmp_path, 40)
    source = ShardSource(tmp_path, ["row"])
    source.check(groups)
    CountingWorker.started = []

    class Reader(PlannedReader):
        worker_class = CountingWorker

    with Reader(source, groups, 2, 5) as reader:
        for taken in range(1, 41):
            next(reader)
            assert max(CountingWorker.started) < taken + 5
        with pytest.raises(StopIteration):
            next(reader)
    assert sorted(CountingWorker.started) == list(range(40))


class ForgetfulWorker(_DecodingWorker):
    """Loses each row group of a list, as often as it is in there."""

    losses: list[int]

    def process(self, position: int, piece_index: int) -> None:
        if position in self.losses:
            self.losses.remove(position)
        else:
            super().process(position, piece_index)


@pytest.mark.parametrize(("losses", "fails"), [([0, 5, 6, 39], False), ([0, 5, 5, 9], True)])
def test_a_lost_row_group_is_asked_for_again_once(tmp_path, losses, fails):
    groups = write_shards(tmp_path, 40)
    source = ShardSource(tmp_path, ["row"])
    source.check(groups)
    ForgetfulWorker.losses = losses

    class Reader(PlannedReader):
        worker_class = ForgetfulWorker

    with Reader(source, groups, 3, 7) as reader:
        if fails:
            with pytest.raises(
                RowGroupError, match=r"1\.parquet row group 1: expected 100 rows, got 0"
            ):
                list(reader)
        else:
            rows = np.concatenate([columns["row"] for columns in reader])
            assert rows.tolist() == list(range(sum(group.rows for group in groups)))


@pytest.mark.parametrize("name", ["scalar", "list", "element", "vector"])
def test_nulls_are_refused(tmp_path, name):
    columns = {
        "scalar": pa.array([1, None, 3, None], pa.int32()),
        "list": pa.array([[1], None, [], [2]], pa.list_(pa.int32())),
        "element": pa.array([[1], [2, None], [], []], pa.list_(pa.int32())),
        "vector": pa.array([[1, 2], [3, None], [5, 6], [7, 8]], pa.list_(pa.int32(), 2)),
    }
    groups = write_table(tmp_path, pa.table(columns), row_group_rows=[1, 3])
    message = rf"part\.parquet row group 1 column {name} has \d nulls; .*; fill the column"
    with pytest.raises(ShardError, match=message):
        list(read_row_groups(tmp_path, groups, [name]))


@pytest.mark.parametrize(
    "values",
    [
        pa.array(["a"]), pa.array([1], pa.uint64()), pa.array([{"a": 1}]), pa.array([[[1]]]),
        pa.array([1], pa.timestamp("us")), pa.array([["a"]]), pa.array(["a"]).dictionary_encode(),
    ],
    ids=lambda values: str(values.type)[:9],
)  # fmt: skip
def test_columns_of_other_types_are_refused_and_do_no_harm_unread(tmp_path, values):
    groups = write_table(tmp_path, pa.table({"id": [7], "other": values}), row_group_rows=[1])
    with pytest.raises(ShardError, match=r"column other is .* encode it"):
        read_row_groups(tmp_path, groups, ["id", "other"])
    ((_, columns),) = read_row_groups(tmp_path, groups, ["id"])
    assert columns["id"].tolist() == [7]


def test_a_missing_column_is_named_beside_those_present(tmp_path):
    groups = write_shards(tmp_path, 1)
    with pytest.raises(ShardError, match=r"no column \['rwo'\]; it has \['row', 'history'\]"):
        read_row_groups(tmp_path, groups, ["row", "rwo"])


@pytest.mark.parametrize("name", ["_common_metadata", "_metadata"])
@pytest.mark.parametrize("folder", [".", "train"])
def test_a_folder_with_pickled_metadata_is_refused(tmp_path, folder, name):
    groups = write_shards(tmp_path, 1)
    (tmp_path / folder / name).write_bytes(b"")
    with pytest.raises(ShardError, match=f"{name} is not part of a dataset"):
        read_row_groups(tmp_path, groups, ["row"])


@pytest.mark.parametrize("escape", ["../train/0.parquet", "/train/0.parquet", "link/0.parquet"])
def test_a_file_outside_the_folder_is_refused(tmp_path, escape):
    groups = write_shards(tmp_path, 1)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "link").symlink_to(tmp_path / "train")
    outside = groups[0].model_copy(update={"path": escape})
    with pytest.raises(ShardError, match="leads out of"):
        read_row_groups(tmp_path / "data", [outside], ["row"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": 71}, r"0\.parquet row group 0: expected 71 rows, got 70"),
        ({"index": 4}, r"0\.parquet row group 4: expected 70 rows, got 0 .*4 row groups"),
        ({"path": "train/9.parquet"}, r"9\.parquet row group 0: expected 70 rows, got 0"),
    ],
)
def test_a_row_group_unlike_the_manifest_is_refused(tmp_path, change, message):
    groups = write_shards(tmp_path, 4)
    with pytest.raises(RowGroupError, match=message):
        read_row_groups(tmp_path, [groups[0].model_copy(update=change)], ["row"])


def test_a_truncated_file_is_refused_before_anything_is_read(tmp_path):
    groups = write_shards(tmp_path, 7)
    file = tmp_path / "train/1.parquet"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(RowGroupError, match=r"1\.parquet row group 0: .*unreadable"):
        read_row_groups(tmp_path, groups, ["row"])


def test_damaged_pages_fail_after_a_second_attempt_and_print_nothing(tmp_path, capfd):
    groups = write_shards(tmp_path, 7)
    file = tmp_path / "train/1.parquet"
    start = pq.read_metadata(file).row_group(1).column(0).data_page_offset
    content = bytearray(file.read_bytes())
    content[start : start + 40] = b"\xff" * 40
    file.write_bytes(content)
    message = r"1\.parquet row group 1: expected 100 rows, got 0 \(unreadable"
    with pytest.raises(RowGroupError, match=message) as caught:
        list(read_row_groups(tmp_path, groups, ["row"]))
    assert isinstance(caught.value, VersionError) and caught.value.__cause__ is not None
    assert capfd.readouterr() == ("", "")
    assert worker_threads() == 0


@pytest.mark.parametrize("numbers", [{"threads": 0}, {"prefetch": -1}])
def test_numbers_out_of_range_are_refused(tmp_path, numbers):
    with pytest.raises(ValueError, match="threads is"):
        read_row_groups(tmp_path, [], ["row"], **numbers)
